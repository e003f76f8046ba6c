/** The project's own cases as fixtures: what each family must refuse, and what must pass. */
import {
  type Case,
  additive,
  blocking,
  breaking,
  destroying,
  opening,
  procedural,
} from "../../tests/unit/migrations/cases";
import type { Class, Fixture } from "./fixtures";

export function ownFixtures(): Fixture[] {
  const refused = (cases: readonly Case[]): readonly Case[] => cases.filter((one) => one.refused.length > 0);
  const passing = [...additive, ...opening, ...blocking].filter((one) => one.refused.length === 0);
  const own: readonly (readonly [Class, readonly Case[]])[] = [
    ["destroys", refused([...destroying, ...procedural])],
    ["breaks", refused(breaking)],
    ["weakens", refused(opening)],
    ["blocks", refused(blocking)],
    ["additive", passing],
  ];
  return own.flatMap(([name, cases]) =>
    cases.flatMap(({ title, sql }) => (typeof sql === "string" ? [{ name: title, sql, class: name }] : [])),
  );
}

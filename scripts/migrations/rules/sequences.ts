/** Sequences only move forward: a value that was given out once must not come again. */
import type { Node } from "libpg-query";
import type { Handlers, Inspector } from "../inspector";
import { as, display, relationName } from "../syntaxTree";

export const sequenceRules: Handlers = {
  AlterSeqStmt: (alter, inspector) => {
    const sequence = relationName(alter.sequence);
    if (inspector.scope.hasObject("sequence", sequence)) return;
    judgeSequenceOptions(alter.options, `the sequence ${display(sequence)}`, inspector, inspector.position.start);
  },
};

/** `generated`: ALWAYS or BY DEFAULT of an identity column; START counts only for a later RESTART. */
const harmlessOptions = new Set(["owned_by", "cache", "start", "generated"]);

/** Judges the options of ALTER SEQUENCE, or of `ALTER COLUMN … SET` on an identity column. */
export function judgeSequenceOptions(
  options: readonly Node[] | undefined,
  what: string,
  inspector: Inspector,
  offset: number,
): void {
  for (const option of (options ?? []).map((node) => as(node, "DefElem"))) {
    const name = option?.defname ?? "";
    // NO MAXVALUE lifts a limit.
    if (harmlessOptions.has(name) || (name === "maxvalue" && option?.arg === undefined)) continue;
    inspector.report("sequence-restart", `${name.toUpperCase()} changes which values ${what} gives out`, offset);
  }
}

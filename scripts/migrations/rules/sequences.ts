/** Sequences only move forward: a value that was given out once must not come again. */
import type { DefElem, Node } from "libpg-query";
import type { Handlers, Inspector } from "../inspector";
import { as, display, relationName, strings, writtenName } from "../syntaxTree";

export const sequenceRules: Handlers = {
  AlterSeqStmt: (alter, inspector) => {
    const sequence = relationName(alter.sequence);
    if (inspector.scope.hasObject("sequence", sequence)) return;
    // An old sequence goes with the table that owns it.
    const owner = optionsOf(alter.options).find(({ defname }) => defname === "owned_by");
    inspector.scope.entangle(writtenName(strings(as(owner?.arg, "List")?.items).slice(0, -1)));
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
  for (const option of optionsOf(options)) {
    const name = option.defname ?? "";
    // NO MAXVALUE lifts a limit.
    if (harmlessOptions.has(name) || (name === "maxvalue" && option.arg === undefined)) continue;
    inspector.report("sequence-restart", `${name.toUpperCase()} changes which values ${what} gives out`, offset);
  }
}

function optionsOf(options: readonly Node[] | undefined): DefElem[] {
  return (options ?? []).flatMap((node) => as(node, "DefElem") ?? []);
}

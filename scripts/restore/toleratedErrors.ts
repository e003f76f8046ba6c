/**
 * The errors that a restore may go on after: each by its exact SQLSTATE and the entry of the table of contents that
 * brings it, with its source. Never a table's definition or its rows, nor anything whose loss changes what the database
 * holds: those end a restore. What was tolerated is counted and named in the result.
 */
import type { TocEntry } from "./tableOfContents";

export interface Tolerance {
  readonly sqlstate: string;
  /** The entry's kind in pg_dump's words. */
  readonly kind: string;
  /** What the rest of the entry must look like. */
  readonly entry: RegExp;
  readonly why: string;
  readonly source: string;
}

/** insufficient_privilege (PostgreSQL manual, appendix A). */
const insufficientPrivilege = "42501";

export const tolerances: readonly Tolerance[] = [
  {
    sqlstate: insufficientPrivilege,
    kind: "EVENT TRIGGER",
    entry: /^- /,
    why: "PostgreSQL lets only a superuser create one: make it again as the platform provides",
    source: "https://github.com/supabase/supautils/issues/67",
  },
  {
    sqlstate: insufficientPrivilege,
    kind: "POLICY",
    entry: /^storage (objects|buckets) /,
    why: "the platform owns the table: make the policy again in its dashboard",
    source: "https://github.com/supabase/supabase/issues/41126",
  },
];

/** Something that was tolerated, for people. */
export interface Tolerated {
  /** The entry: `POLICY storage objects own files`. */
  readonly what: string;
  readonly sqlstate: string;
  readonly message: string;
  readonly why: string;
}

export function findTolerance(entry: Pick<TocEntry, "kind" | "rest">, sqlstate: string): Tolerance | undefined {
  return tolerances.find(
    (tolerance) => tolerance.sqlstate === sqlstate && tolerance.kind === entry.kind && tolerance.entry.test(entry.rest),
  );
}

/** What a repair is going to write: plain data, from which SQL, file and report are made. */
import type { QualifiedName } from "../database/sqlText";
import type { LiveTable } from "./liveTables";

/** Rows of one table, staged in a temporary table of the session that will write them. */
interface StagedRows {
  readonly table: LiveTable;
  /** The columns that identify a row; empty: none do. */
  readonly key: readonly string[];
  /** The temporary table's name. */
  readonly staging: string;
  /** Columns of the temporary table. */
  readonly staged: readonly string[];
  /** Columns that are written. */
  readonly written: readonly string[];
  readonly rows: number;
}

/** Rows that are missing and are inserted again. */
export type RowRepair = StagedRows;

/** Rows that are there, of which some columns get their former values. */
export interface ColumnRepair extends StagedRows {
  /** Rows with other values in these columns that were written later: they stay as they are. */
  readonly leftAlone: number;
  /** The first of them, as JSON. */
  readonly leftAloneKeys: readonly string[];
}

/** A sequence that fell behind, and where it stood. */
export interface SequenceRepair extends QualifiedName {
  readonly to: string;
  /** As it is now. */
  readonly increment: string;
}

export interface RepairPlan {
  /** What it puts back, for people: `what release v1 lost (receipt …)`. */
  readonly loss: string;
  readonly runId: string;
  readonly releaseVersion: string;
  readonly backup: string;
  /** The live database, for people. */
  readonly database: string;
  readonly serverMajor: number;
  /** In which the rows travel: that of the live database. */
  readonly encoding: string;
  /** Parents first; the tables of a group need each other. */
  readonly groups: readonly (readonly RowRepair[])[];
  readonly columns: readonly ColumnRepair[];
  /** The `pg_snapshot` that parts what the release wrote from what was written later; null where no column is repaired. */
  readonly boundary: string | null;
  readonly sequences: readonly SequenceRepair[];
  /** Lines for people: what was lost and cannot be put back by this. */
  readonly unrecoverable: readonly string[];
}

export function rowRepairsOf(plan: RepairPlan): RowRepair[] {
  return plan.groups.flat();
}

/** Everything that lies in a temporary table. */
export function stagedOf(plan: RepairPlan): (RowRepair | ColumnRepair)[] {
  return [...rowRepairsOf(plan), ...plan.columns];
}

/** Whether there is nothing to write. */
export function isEmpty(plan: RepairPlan): boolean {
  return plan.groups.length + plan.sequences.length === 0 && plan.columns.every(({ rows }) => rows === 0);
}

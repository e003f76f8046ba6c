/** What a comparison after a release found, table by table, as its event keeps it: the copy that could tell again is spent. */
import { z } from "zod";

const tableRecordSchema = z.object({
  table: z.string(),
  coverage: z.string(),
  rowsBefore: z.number(),
  rowsNow: z.number(),
  missing: z.number(),
  changed: z.number(),
  added: z.number(),
  /** Why this table fails; null: it passes. */
  failure: z.string().nullable(),
});

/** A `LiveComparison` without keys of rows: those are in the file of missing keys, not in a record that stays. */
export const comparisonRecordSchema = z.object({
  tables: z.array(tableRecordSchema),
  failures: z.array(z.string()),
  explained: z.array(z.string()),
  catalogChanges: z.array(z.string()),
});

export type ComparisonRecord = z.infer<typeof comparisonRecordSchema>;

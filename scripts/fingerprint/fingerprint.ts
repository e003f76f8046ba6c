/**
 * The fingerprint of a database: per table a row count, an order-independent checksum and, for keyed
 * tables, the same per bucket of keys; with sequences and the catalog's definitions. Read in one snapshot.
 */
import { z } from "zod";

/** How much of a table was compared. */
const coverageSchema = z.enum(["content", "keys", "count"]);
export type Coverage = z.infer<typeof coverageSchema>;

/**
 * How a row becomes the text that is hashed. `joined`: its values with a separator between them. `record`, of earlier
 * versions: PostgreSQL's text of a row.
 */
const rowTextSchema = z.enum(["joined", "record"]);
export type RowText = z.infer<typeof rowTextSchema>;

/** One bucket of rows: `[bucket, rows, sum of key hashes, sum of row hashes]`; sums are exact decimals. */
const bucketSchema = z.tuple([z.int(), z.int(), z.string(), z.string()]);
export type Bucket = z.infer<typeof bucketSchema>;

const tableFingerprintSchema = z.object({
  schema: z.string(),
  name: z.string(),
  coverage: coverageSchema,
  rowText: rowTextSchema.default("record"),
  /** The columns that were hashed, in `COLLATE "C"` order. */
  columns: z.array(z.string()),
  /** The key's columns; empty: the table has no key, a row is identified by its content. */
  key: z.array(z.string()),
  rows: z.int(),
  /** Number of buckets, a power of two; 1 for small and for unkeyed tables. */
  bucketCount: z.int(),
  /** Non-empty buckets, sorted by number. */
  buckets: z.array(bucketSchema),
});
export type TableFingerprint = z.infer<typeof tableFingerprintSchema>;

const sequenceFingerprintSchema = z.object({
  schema: z.string(),
  name: z.string(),
  lastValue: z.string().nullable(),
  increment: z.string(),
});
export type SequenceFingerprint = z.infer<typeof sequenceFingerprintSchema>;

/** A definition in the catalog: `{kind: "policy", name: "public.clients.read own", digest}`. */
const catalogItemSchema = z.object({
  kind: z.string(),
  name: z.string(),
  digest: z.string(),
  /**
   * What a release may add to, but not take from: the labels of an enum, the rights to a relation, when a trigger
   * fires, whether an index is unique. Absent: of this kind nothing is told, or an earlier version did not record it.
   */
  holds: z.array(z.string()).optional(),
});
export type CatalogItem = z.infer<typeof catalogItemSchema>;

/** All large objects at once: how many, their bytes, the sum of the hashes of content, owner and rights. */
const largeObjectsFingerprintSchema = z.object({ objects: z.int(), bytes: z.string(), checksum: z.string() });
export type LargeObjectsFingerprint = z.infer<typeof largeObjectsFingerprintSchema>;

export interface Fingerprint {
  readonly tables: readonly TableFingerprint[];
  readonly sequences: readonly SequenceFingerprint[];
  readonly catalog: readonly CatalogItem[];
  readonly largeObjects: LargeObjectsFingerprint;
}

const rowsPerBucket = 256;
const smallestBucketedTable = 1_000;
const mostBuckets = 4_096;

/** About one bucket per 256 rows, a power of two, 1 below 1,000 rows or without a key, at most 4,096. */
export function bucketCountFor(rows: number, hasKey: boolean): number {
  if (!hasKey || rows < smallestBucketedTable) return 1;
  return Math.min(mostBuckets, 2 ** Math.round(Math.log2(rows / rowsPerBucket)));
}

/** One checksum for the whole table: the sums of its buckets. Two tables with equal rows have equal totals. */
export function totalsOf(table: Pick<TableFingerprint, "buckets">): { rows: number; keys: string; content: string } {
  let rows = 0;
  let keys = 0n;
  let content = 0n;
  for (const [, count, keySum, rowSum] of table.buckets) {
    rows += count;
    keys += BigInt(keySum);
    content += BigInt(rowSum);
  }
  return { rows, keys: keys.toString(), content: content.toString() };
}

const lineSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("fingerprint"), schemaVersion: z.literal(1) }),
  z.object({ type: z.literal("table"), ...tableFingerprintSchema.shape }),
  z.object({ type: z.literal("sequence"), ...sequenceFingerprintSchema.shape }),
  z.object({ type: z.literal("catalog"), ...catalogItemSchema.shape }),
  z.object({ type: z.literal("large-objects"), ...largeObjectsFingerprintSchema.shape }),
]);

/** Newline-delimited JSON: a header line, then a line a table, sequence and catalog item, and one for all large objects. */
export function serializeFingerprint(fingerprint: Fingerprint): string {
  const lines = [
    { type: "fingerprint", schemaVersion: 1 },
    ...fingerprint.tables.map((table) => ({ type: "table", ...table })),
    ...fingerprint.sequences.map((sequence) => ({ type: "sequence", ...sequence })),
    ...fingerprint.catalog.map((item) => ({ type: "catalog", ...item })),
    { type: "large-objects", ...fingerprint.largeObjects },
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** @throws ZodError or SyntaxError when the text isn't a fingerprint of a version that this program knows. */
export function parseFingerprint(text: string): Fingerprint {
  const tables: TableFingerprint[] = [];
  const sequences: SequenceFingerprint[] = [];
  const catalog: CatalogItem[] = [];
  let largeObjects: LargeObjectsFingerprint = { objects: 0, bytes: "0", checksum: "0" };
  const [header, ...rest] = text.split("\n").filter((line) => line !== "");
  z.object({ type: z.literal("fingerprint") }).parse(JSON.parse(header ?? "null"));
  for (const text of rest) {
    const { type, ...line } = lineSchema.parse(JSON.parse(text));
    if (type === "table") tables.push(line as TableFingerprint);
    else if (type === "sequence") sequences.push(line as SequenceFingerprint);
    else if (type === "catalog") catalog.push(line as CatalogItem);
    else if (type === "large-objects") largeObjects = line as LargeObjectsFingerprint;
  }
  return { tables, sequences, catalog, largeObjects };
}

/** Compares two fingerprints: what differs, by name. Pure. */
import { displayName } from "../database/sqlText";
import type {
  CatalogItem,
  Fingerprint,
  LargeObjectsFingerprint,
  SequenceFingerprint,
  TableFingerprint,
} from "./fingerprint";
import { totalsOf } from "./fingerprint";

/** Lines that say how `copy` differs from `original`; none: the copy is equal. Sequences may be ahead. */
export function differencesOf(original: Fingerprint, copy: Fingerprint): string[] {
  return [
    ...tableDifferences(original.tables, copy.tables),
    ...sequenceRegressions(original.sequences, copy.sequences),
    ...catalogDifferences(original.catalog, copy.catalog),
    ...largeObjectDifferences(original.largeObjects, copy.largeObjects),
  ];
}

function largeObjectDifferences(original: LargeObjectsFingerprint, copy: LargeObjectsFingerprint): string[] {
  if (original.objects !== copy.objects) return [`${copy.objects} large objects, expected ${original.objects}`];
  if (original.bytes !== copy.bytes) return [`${copy.bytes} bytes of large objects, expected ${original.bytes}`];
  return original.checksum === copy.checksum ? [] : ["large objects have other content, owners or rights"];
}

function tableDifferences(original: readonly TableFingerprint[], copy: readonly TableFingerprint[]): string[] {
  const copies = new Map(copy.map((table) => [displayName(table), table]));
  const lines = original.flatMap((table) => {
    const other = copies.get(displayName(table));
    copies.delete(displayName(table));
    if (other === undefined) return [`table ${displayName(table)} is missing`];
    const [was, is] = [totalsOf(table), totalsOf(other)];
    if (was.rows !== is.rows) return [`table ${displayName(table)} has ${is.rows} rows, expected ${was.rows}`];
    return was.content === is.content && differingBuckets(table, other).length === 0
      ? []
      : [`table ${displayName(table)} has the same number of rows (${is.rows}) but other content`];
  });
  return [...lines, ...[...copies.keys()].map((name) => `table ${name} is not in the original`)];
}

/** Numbers of the buckets whose rows differ; both fingerprints must have the same number of buckets. */
export function differingBuckets(original: TableFingerprint, copy: TableFingerprint): number[] {
  if (original.bucketCount !== copy.bucketCount) throw new Error("fingerprints with other buckets cannot be compared");
  const open = new Map(copy.buckets.map((bucket) => [bucket[0], bucket.join()]));
  const differing = original.buckets.filter((bucket) => {
    const equal = open.get(bucket[0]) === bucket.join();
    open.delete(bucket[0]);
    return !equal;
  });
  return [...differing.map((bucket) => bucket[0]), ...open.keys()].sort((a, b) => a - b);
}

/** Sequences that are gone or fell behind: the next value would collide with a row that exists. */
export function sequenceRegressions(
  original: readonly SequenceFingerprint[],
  copy: readonly SequenceFingerprint[],
): string[] {
  const copies = new Map(copy.map((sequence) => [displayName(sequence), sequence]));
  return original.flatMap((sequence) => {
    const other = copies.get(displayName(sequence));
    if (other === undefined) return [`sequence ${displayName(sequence)} is missing`];
    if (sequence.lastValue === null) return [];
    const fell =
      other.lastValue === null ||
      (BigInt(other.lastValue) - BigInt(sequence.lastValue)) * BigInt(sequence.increment) < 0n;
    return fell
      ? [`sequence ${displayName(sequence)} fell back to ${other.lastValue ?? "never used"}, was ${sequence.lastValue}`]
      : [];
  });
}

export interface CatalogChange {
  readonly change: "added" | "removed" | "changed";
  readonly kind: string;
  readonly name: string;
  /** What the original held and the copy does not, where both say so: labels, rights. */
  readonly lost: readonly string[];
}

/** Kinds that earlier versions did not read: of a backup that has none of them nothing can be said to be new. */
const laterKinds: ReadonlySet<string> = new Set([
  "access-method",
  "aggregate",
  "cast",
  "collation",
  "column-options",
  "comment",
  "conversion",
  "descent",
  "extension-dependency",
  "extension-rows",
  "foreign-data-wrapper",
  "foreign-server",
  "foreign-table",
  "language",
  "large-object-comments",
  "operator",
  "operator-class",
  "operator-family",
  "options",
  "public-schema",
  "publication-part",
  "rights",
  "sequence-options",
  "sequence-rights",
  "statistics",
  "statistics-target",
  "storage",
  "text-search-configuration",
  "text-search-dictionary",
  "text-search-parser",
  "text-search-template",
  "transform",
  "type",
  "type-details",
  "user-mapping",
  "window-function",
]);

export function catalogChanges(original: readonly CatalogItem[], copy: readonly CatalogItem[]): CatalogChange[] {
  const id = (item: CatalogItem): string => `${item.kind} ${item.name}`;
  const copies = new Map(copy.map((item) => [id(item), item]));
  const changes = original.flatMap((item): CatalogChange[] => {
    const other = copies.get(id(item));
    copies.delete(id(item));
    const { kind, name, holds = [] } = item;
    if (other === undefined) return [{ change: "removed", kind, name, lost: holds }];
    const lost = other.holds === undefined ? [] : holds.filter((held) => !other.holds!.includes(held));
    return other.digest === item.digest ? [] : [{ change: "changed", kind, name, lost }];
  });
  const known = new Set(original.map(({ kind }) => kind));
  const added = [...copies.values()].filter(({ kind }) => known.has(kind) || !laterKinds.has(kind));
  return [...changes, ...added.map(({ kind, name }): CatalogChange => ({ change: "added", kind, name, lost: [] }))];
}

function catalogDifferences(original: readonly CatalogItem[], copy: readonly CatalogItem[]): string[] {
  return catalogChanges(original, copy).map(describeChange);
}

export function describeChange({ change, kind, name }: CatalogChange): string {
  const verb = { added: "is not in the original", removed: "is missing", changed: "has another definition" } as const;
  return `${kind} ${name} ${verb[change]}`;
}

/**
 * Compares the live database with the snapshot that the gate took. After a release, equality is the wrong
 * question, for live traffic writes: the rule is that no row of the snapshot is missing unless the stack's
 * config allows that table deletes, and that nothing which held rows was dropped.
 */
import type { Client } from "pg";
import type { Manifest } from "../backup/manifest";
import { Failure, Interrupted, Unavailable } from "../contract/failure";
import { connect } from "../database/connect";
import { readIdentity } from "../database/identity";
import { chooseJobs, readCapacity } from "../database/jobs";
import { type DatabaseSnapshot, openSnapshot } from "../database/snapshot";
import { displayName } from "../database/sqlText";
import { type ProtectedTable, type TableWrites, listSequences } from "../database/tables";
import type { DatabaseTarget } from "../database/target";
import { readCatalog } from "../fingerprint/catalog";
import type { WriteGrant } from "../database/writeGrants";
import { type CatalogChange, catalogChanges, differingBuckets, sequenceRegressions } from "../fingerprint/compare";
import { type ReadTable, hashTables, readTables } from "../fingerprint/compute";
import type { Fingerprint, TableFingerprint } from "../fingerprint/fingerprint";
import { isNarrowed } from "../fingerprint/narrowBuckets";
import { type RowDifferences, type RowListener, findRowDifferences } from "../fingerprint/rowDifferences";
import { type ApartTable, findWrittenDifferences, mostWrittenRows } from "../fingerprint/writtenRows";
import { type JudgedStatement, findCatalogLosses, withoutWithheld } from "./catalogLosses";
import { explainChangedText } from "./changedText";
import { MovedRows } from "./movedRows";
import { type TableComparison, judgeByBuckets, judgeRows, structuralLoss } from "./tableComparison";
import { type TablePolicies, policyOf } from "./tablePolicies";

export interface LiveComparison {
  readonly verdict: "pass" | "fail";
  readonly tables: readonly TableComparison[];
  /** Failures beyond rows: sequences that fell, and what the definitions lost (`catalogLosses.ts`). */
  readonly failures: readonly string[];
  /** Losses of the definitions that a judged migration explains. */
  readonly explained: readonly string[];
  /** Every change of the catalog; a release makes some. */
  readonly catalogChanges: readonly string[];
  /** What the comparison saw of the live database: its `pg_current_snapshot()`. */
  readonly visibility: string;
}

export interface ComparisonInput {
  readonly fingerprint: Fingerprint;
  /** The manifest of the backup that the fingerprint is of. */
  readonly manifest: Pick<Manifest, "database" | "snapshot" | "tables">;
  readonly live: DatabaseTarget;
  /**
   * The restored copy; called only when rows have to be named. Where there is none to be had (it throws a `Failure`
   * other than `Unavailable` and `Interrupted`), what the checksums cannot prove fails.
   */
  readonly copy: () => Promise<DatabaseTarget>;
  readonly policies: TablePolicies;
  /** What the judge said of the migrations of this release; default: nothing explains what the definitions lost. */
  readonly judged?: readonly JudgedStatement[];
  /** Rights that a write fence took from the live database for a while; default: none. */
  readonly withheld?: readonly WriteGrant[];
  /** Told of the rows of a table as they are found: the report shows 20 missing keys, the file has them all. */
  readonly listenerOf?: (table: string) => RowListener;
  readonly jobs?: number;
  readonly signal?: AbortSignal;
}

/** Missing keys shown per table. */
const shownKeys = 20;

/** Each job reads through one session; the leader is one of them. */
const sessionsOfJobs = { each: 1, once: 1 };

export async function compareWithLive(input: ComparisonInput): Promise<LiveComparison> {
  const snapshot = await openSnapshot(input.live);
  try {
    const fallen = sequenceRegressions(input.fingerprint.sequences, await listSequences(snapshot.leader));
    const changes = catalogChanges(input.fingerprint.catalog, await readCatalog(snapshot.leader));
    const losses = findCatalogLosses(withoutWithheld(changes, input.withheld ?? []), input.judged);
    const tables = await new TablesComparison(input, snapshot, changes).compare();
    const failures = [...fallen, ...losses.failures];
    return {
      verdict: failures.length === 0 && tables.every((table) => table.failure === null) ? "pass" : "fail",
      tables,
      failures,
      explained: losses.explained,
      catalogChanges: changes.map((change) => `${change.kind} ${change.name} ${change.change}`),
      visibility: snapshot.visibility,
    };
  } finally {
    await snapshot.close();
  }
}

interface ComparableTable {
  /** As it was in the snapshot. */
  readonly table: TableFingerprint;
  readonly live: ProtectedTable;
}

/** A table whose checksums differ, in these buckets; or of which so much was written that all of them are looked into. */
interface Suspicion extends ComparableTable, ReadTable {
  readonly buckets: readonly number[];
}

/** A table that was not read, for its rows are read anyway. */
const unread: ReadTable = { now: undefined, apart: undefined };

class TablesComparison {
  private readonly writesBefore: ReadonlyMap<string, TableWrites | null>;
  /** The snapshot that the original is of; undefined: rows say nothing of it. */
  private visibility: string | undefined;

  constructor(
    private readonly input: ComparisonInput,
    private readonly snapshot: DatabaseSnapshot,
    private readonly changes: readonly CatalogChange[],
  ) {
    this.writesBefore = new Map(input.manifest.tables.map((table) => [displayName(table), table.writes]));
  }

  async compare(): Promise<TableComparison[]> {
    const { input, snapshot } = this;
    this.visibility = await this.comparableVisibility();
    const live = new Map(snapshot.tables.map((table) => [displayName(table), table]));
    const results: TableComparison[] = [];
    const [calm, busy]: [ComparableTable[], ComparableTable[]] = [[], []];
    for (const table of input.fingerprint.tables) {
      const now = live.get(displayName(table));
      const lost = structuralLoss(table, now);
      if (lost !== undefined || now === undefined)
        results.push({ ...this.comparisonOf(table, now, 0), missing: table.rows, failure: lost ?? null });
      else (this.isBusy(table, now) ? busy : calm).push({ table, live: now });
    }
    const suspicious: Suspicion[] = busy.map((each) => ({ ...each, ...unread, buckets: allBuckets(each.table) }));
    for (const read of await this.read(calm)) {
      const { table, live: at, now } = read;
      const buckets = now === undefined ? allBuckets(table) : differingBuckets(table, now);
      if (now !== undefined && buckets.length === 0) results.push(this.comparisonOf(table, at, now.rows));
      else suspicious.push({ ...read, buckets });
    }
    if (suspicious.length > 0) results.push(...(await this.judge(suspicious)));
    return results.sort((a, b) => (a.table < b.table ? -1 : 1));
  }

  /**
   * Whether reading its buckets first would tell nothing: nearly all of them differ when as many rows were written; a table
   * as large is read once more by finer ones. Where written rows are told apart, that is so of deleted ones alone. What the
   * server counted decides here only what is read when.
   */
  private isBusy(table: TableFingerprint, now: ProtectedTable): boolean {
    const writes = this.writesOf(table, now);
    if (writes === null || !isNarrowed(table.rows)) return false;
    const { inserted, updated, deleted } = writes;
    if (this.since(table, now) === undefined) return inserted + updated + deleted >= table.bucketCount;
    return deleted >= table.bucketCount || inserted + updated > mostWrittenRows;
  }

  /** The snapshot from which on written rows are told apart; undefined: they cannot be, or there are none. */
  private since(table: TableFingerprint, now: ProtectedTable): string | undefined {
    if (table.key.length === 0 || !now.heap) return undefined;
    const writes = this.writesOf(table, now);
    return writes !== null && writes.inserted + writes.updated === 0 ? undefined : this.visibility;
  }

  private async read(tables: readonly ComparableTable[]): Promise<(ComparableTable & ReadTable)[]> {
    const toRead = tables.map(({ table, live }) => ({ at: live, as: table, since: this.since(table, live) }));
    const read = await readTables(this.snapshot, toRead, await this.readingOptions());
    return tables.map((table, place) => ({ ...table, ...read[place]! }));
  }

  private async readingOptions(): Promise<{ jobs: number; signal?: AbortSignal }> {
    const { jobs, signal } = this.input;
    const { freeConnections } = await readCapacity(this.snapshot.leader);
    return { jobs: chooseJobs(jobs, freeConnections, sessionsOfJobs), ...(signal === undefined ? {} : { signal }) };
  }

  private writesOf(table: TableFingerprint, now: ProtectedTable | undefined): TableWrites | null {
    return writesSince(this.writesBefore.get(displayName(table)) ?? null, now?.writes);
  }

  private comparisonOf(table: TableFingerprint, now: ProtectedTable | undefined, rowsNow: number): TableComparison {
    const columns = now?.columns ?? [];
    return {
      table: displayName(table),
      coverage: table.coverage,
      columns: {
        compared: table.columns.filter((column) => columns.includes(column)).length,
        ...{ before: table.columns.length, now: columns.length },
      },
      rowsBefore: table.rows,
      rowsNow,
      missing: 0,
      moved: 0,
      changed: 0,
      unwritten: 0,
      added: 0,
      missingKeys: [],
      unwrittenKeys: [],
      writes: this.writesOf(table, now),
      failure: null,
    };
  }

  private async judge(suspicious: readonly Suspicion[]): Promise<TableComparison[]> {
    let copy: DatabaseTarget;
    try {
      copy = await this.input.copy();
    } catch (error) {
      // Neither an interruption nor what may pass by itself is a verdict.
      if (!(error instanceof Failure) || error instanceof Interrupted || error instanceof Unavailable) throw error;
      return this.judgeWithoutCopy(suspicious, error.message);
    }
    return this.nameRows(copy, suspicious);
  }

  private async judgeWithoutCopy(suspicious: readonly Suspicion[], reason: string): Promise<TableComparison[]> {
    const open = suspicious.filter(({ now }) => now === undefined);
    const toRead = open.map(({ table, live }) => ({ at: live, as: table }));
    const read = await hashTables(this.snapshot, toRead, await this.readingOptions());
    const late = new Map(open.map(({ table }, place) => [table, read[place]!]));
    return suspicious.map(({ table, live, now = late.get(table)! }) => {
      const unsuspected = this.comparisonOf(table, live, now.rows);
      return judgeByBuckets(unsuspected, { table, now, policy: policyOf(live, this.input.policies) }, reason);
    });
  }

  /** Reads the differing buckets of both databases, one table after the other: each uses the leader's snapshot. */
  private async nameRows(copy: DatabaseTarget, suspicious: readonly Suspicion[]): Promise<TableComparison[]> {
    const { input, snapshot } = this;
    const original = await connect(copy);
    const lookups = new Lookups(() => connect(copy), snapshot);
    try {
      const results: TableComparison[] = [];
      for (const { table, live, buckets, apart } of suspicious) {
        input.signal?.throwIfAborted();
        const listener = input.listenerOf?.(displayName(table)) ?? {};
        const [missingKeys, unwrittenKeys]: [string[], string[]] = [[], []];
        const onMissing = (key: string, place: string): void | Promise<void> => {
          if (missingKeys.length < shownKeys) missingKeys.push(key);
          return listener.onMissing?.(key, place);
        };
        const root = live.ancestors.at(-1);
        const moves =
          root === undefined ? undefined : await MovedRows.of(await lookups.open(), root, table.key, onMissing);
        const found = await this.findDifferences(original, table, apart ?? buckets, {
          ...listener,
          onMissing: (key, place) => (moves === undefined ? onMissing(key, place) : moves.add(key, place)),
          onUnwritten: (key) => void (unwrittenKeys.length < shownKeys && unwrittenKeys.push(key)),
        });
        await moves?.flush();
        const moved = moves?.moved ?? 0;
        const differences = { ...found, missing: found.missing - moved };
        const explanations =
          found.unwritten === 0 ? [] : await explainChangedText(snapshot.leader, table, this.changes);
        const failure = judgeRows(table, differences, policyOf(live, input.policies), explanations);
        const rowsNow = table.rows - found.missing + found.added;
        const compared = this.comparisonOf(table, live, rowsNow);
        results.push({ ...compared, ...differences, moved, missingKeys, unwrittenKeys, failure });
      }
      return results;
    } finally {
      await lookups.close();
      await original.end();
    }
  }

  private findDifferences(
    original: Client,
    table: TableFingerprint,
    among: ApartTable | readonly number[],
    listener: RowListener,
  ): Promise<RowDifferences> {
    const { snapshot, visibility } = this;
    return "written" in among
      ? findWrittenDifferences(original, snapshot.leader, table, among, listener, visibility)
      : findRowDifferences(original, snapshot.leader, table, among, listener, visibility);
  }

  /** Numbers of transactions say nothing in another cluster. */
  private async comparableVisibility(): Promise<string | undefined> {
    const { manifest, live } = this.input;
    const { systemIdentifier } = await readIdentity(this.snapshot.leader, live);
    return systemIdentifier === manifest.database.systemIdentifier ? manifest.snapshot.visibility : undefined;
  }
}

/** Second sessions on both sides, for questions while rows stream through the first ones; opened when first needed. */
class Lookups {
  private sides: { readonly original: Client; readonly live: Client } | undefined;

  constructor(
    private readonly openOriginal: () => Promise<Client>,
    private readonly snapshot: DatabaseSnapshot,
  ) {}

  async open(): Promise<{ readonly original: Client; readonly live: Client }> {
    if (this.sides !== undefined) return this.sides;
    const original = await this.openOriginal();
    try {
      return (this.sides = { original, live: await this.snapshot.reader() });
    } catch (error) {
      await original.end();
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.sides?.original.end(), this.sides?.live.end()]);
  }
}

/** Also those that held no row: one may have come. */
function allBuckets({ bucketCount }: TableFingerprint): number[] {
  return Array.from({ length: bucketCount }, (_, number) => number);
}

function writesSince(before: TableWrites | null, now: TableWrites | undefined): TableWrites | null {
  if (before === null || now === undefined) return null;
  const [inserted, updated, deleted] = (["inserted", "updated", "deleted"] as const).map(
    (kind) => now[kind] - before[kind],
  ) as [number, number, number];
  return Math.min(inserted, updated, deleted) < 0 ? null : { inserted, updated, deleted };
}

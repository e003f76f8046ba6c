/**
 * Whether the replica holds what the source holds, by sums over buckets of rows. Both change while they are read: buckets
 * that differ are read again. One that stayed the same on the source while the replica, which had all of it, had another
 * sum, differs for good; one that never keeps still until the deadline is undecided, which is no proof.
 */
import type { Client } from "pg";
import { chooseJobs, readCapacity } from "../database/jobs";
import { type DatabaseSnapshot, openSnapshot } from "../database/snapshot";
import { displayName } from "../database/sqlText";
import type { ProtectedTable } from "../database/tables";
import type { DatabaseTarget } from "../database/target";
import { sequenceRegressions } from "../fingerprint/compare";
import { hashTables } from "../fingerprint/compute";
import type { TableFingerprint } from "../fingerprint/fingerprint";
import { type HashedTable, sumsQuery } from "../fingerprint/hashing";
import { listSequences } from "../database/tables";
import { beat, hasBeat } from "./heartbeat";
import { hasOwnSchema, noReplica } from "./link";
import { type ReplicaPair, type Run, ownSchema, withPair } from "./pair";
import { chooseTables } from "./tables";
import { until } from "./until";

export interface ReplicaVerification {
  /** `undecided`: until the deadline some rows never kept still, or the replica did not catch up. */
  readonly verdict: "equal" | "different" | "undecided";
  /** Whether the source was fenced: then sequences are compared too, and nothing is left to movement. */
  readonly exact: boolean;
  readonly tables: number;
  /** Rows of the source, when they were read first. */
  readonly rows: number;
  /** How often buckets that differed were read again. */
  readonly rounds: number;
  /** For people, one a table. */
  readonly findings: readonly string[];
  readonly seconds: number;
}

export interface VerifyOptions extends Run {
  /** Nobody writes to the source: a fence is up. Default false. */
  readonly exact?: boolean;
  /** Seconds until a bucket that still moves is given up, and that the replica gets to catch up. Default 60. */
  readonly seconds?: number;
  /** `schema.name` of the tables that are compared, with their partitions. Default: all. */
  readonly only?: readonly string[];
}

/** About four rows a bucket: few writers meet in one. */
const rowsPerBucket = 4;
const mostBuckets = 65_536;
/** Bytes of a small row in a table that was never analysed: it only decides how fine the buckets are. */
const smallRow = 64;

function bucketsOf({ bytes }: ProtectedTable): number {
  const wanted = Math.max(1, bytes / smallRow / rowsPerBucket);
  return Math.min(mostBuckets, 2 ** Math.ceil(Math.log2(wanted)));
}

interface OpenTable {
  readonly hashed: HashedTable;
  /** Buckets whose sums differ. */
  open: Map<number, OpenBucket>;
}

interface OpenBucket {
  /** The source's sum when it was last read. */
  readonly source: string;
  readonly replica: string;
  /** How many times in a row neither of them moved. */
  readonly still: number;
}

/** A row that is switched to and fro may look still once, while the replica is in between. */
const stillRounds = 3;

export async function verifyReplica(pair: ReplicaPair, options: VerifyOptions = {}): Promise<ReplicaVerification> {
  const started = performance.now();
  const { exact = false, seconds = 60, only, signal, onProgress } = options;
  const left = (): number => Math.max(0, seconds - (performance.now() - started) / 1000);
  return withPair(pair, async (source, replica) => {
    if (!(await hasOwnSchema(source)) || !(await hasOwnSchema(replica))) throw noReplica(pair.settings.name);
    const { chosen } = await chooseTables(source, pair.settings);
    const tables = chosen.filter(
      (table) =>
        table.schema !== ownSchema &&
        (only === undefined || [displayName(table), ...table.ancestors].some((name) => only.includes(name))),
    );
    const hashed = new Map(tables.map((table) => [displayName(table), hashedOf(table)]));
    const findings: string[] = [];
    const outcome = (verdict: ReplicaVerification["verdict"], rows: number, rounds: number): ReplicaVerification => ({
      ...{
        verdict,
        exact,
        tables: tables.length,
        rows,
        rounds,
        findings,
        seconds: (performance.now() - started) / 1000,
      },
    });
    onProgress?.(`reading ${tables.length} table(s) of the source`);
    const before = await readAll(pair.source, hashed, signal);
    const rows = before.reduce((sum, table) => sum + table.rows, 0);
    if (!(await catchUp(source, replica, left(), signal))) {
      findings.push(`the replica does not catch up within ${seconds} s`);
      return outcome("undecided", rows, 0);
    }
    onProgress?.("reading the replica");
    const after = new Map((await readAll(pair.replica, hashed, signal)).map((table) => [displayName(table), table]));
    const missing = before.filter((table) => !after.has(displayName(table)));
    findings.push(...missing.map((table) => `table ${displayName(table)} is not on the replica`));
    let open = before.flatMap((table): OpenTable[] => {
      const other = after.get(displayName(table));
      const found = other === undefined ? new Map<number, OpenBucket>() : differing(sumsOf(table), sumsOf(other));
      return found.size === 0 ? [] : [{ hashed: hashed.get(displayName(table))!, open: found }];
    });
    let rounds = 0;
    const settled = new Map<string, number>();
    while (open.length > 0 && left() > 0) {
      rounds++;
      onProgress?.(
        `reading again: ${open.map(({ hashed: table, open: { size } }) => `${displayName(table)} ${size}`).join(", ")}`,
      );
      for (const table of open) await readAgain(source, replica, table, settled, left(), signal);
      open = open.filter((table) => table.open.size > 0);
    }
    findings.push(...[...settled].map(([name, count]) => `table ${name} differs in ${count} bucket(s) of rows`));
    if (exact) findings.push(...sequenceRegressions(await listSequences(source), await listSequences(replica)));
    if (findings.length > 0) return outcome("different", rows, rounds);
    if (open.length === 0) return outcome("equal", rows, rounds);
    findings.push(
      ...open.map(
        ({ hashed: table, open: { size } }) =>
          `table ${displayName(table)}: ${size} bucket(s) of rows never kept still`,
      ),
    );
    return outcome("undecided", rows, rounds);
  });
}

function hashedOf(table: ProtectedTable): HashedTable {
  const { schema, name, columns, key } = table;
  return { schema, name, columns, key, bucketCount: bucketsOf(table), rowText: "joined" };
}

/** What is committed on the source now is on the replica. */
export async function catchUp(
  source: Client,
  replica: Client,
  seconds: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const sent = await beat(source);
  const arrived = await until(async () => ((await hasBeat(replica, sent)) ? true : undefined), {
    ...{ seconds, every: 20 },
    ...(signal === undefined ? {} : { signal }),
  });
  return arrived === true;
}

/** Every table that is there, with the columns, key and buckets of the source. */
async function readAll(
  target: DatabaseTarget,
  hashed: ReadonlyMap<string, HashedTable>,
  signal: AbortSignal | undefined,
): Promise<TableFingerprint[]> {
  const snapshot: DatabaseSnapshot = await openSnapshot(target);
  try {
    const { freeConnections } = await readCapacity(snapshot.leader);
    const tables = snapshot.tables.flatMap((at) => {
      const as = hashed.get(displayName(at));
      // Without a column of the source's it is not that table: told as missing.
      return as === undefined || !as.columns.every((column) => at.columns.includes(column)) ? [] : [{ at, as }];
    });
    const jobs = chooseJobs(undefined, freeConnections, { each: 1, once: 1 });
    return await hashTables(snapshot, tables, { jobs, ...(signal === undefined ? {} : { signal }) });
  } finally {
    await snapshot.close();
  }
}

/** As `sumsQuery` writes them. */
function sumsOf({ buckets }: TableFingerprint): Map<number, string> {
  return new Map(buckets.map(([bucket, rows, , content]) => [bucket, `${rows} ${content}`]));
}

const nothing = "none";

function differing(source: ReadonlyMap<number, string>, replica: ReadonlyMap<number, string>): Map<number, OpenBucket> {
  const buckets = [...new Set([...source.keys(), ...replica.keys()])];
  return new Map(
    buckets
      .filter((bucket) => source.get(bucket) !== replica.get(bucket))
      .map((bucket) => [
        bucket,
        { source: source.get(bucket) ?? nothing, replica: replica.get(bucket) ?? nothing, still: 0 },
      ]),
  );
}

/**
 * Replica first, which has had all of what the source's last sums were read of, then the source: equal to the source's sums
 * of before or of now proves a bucket; one that keeps still there and is another here, again and again, differs for good.
 */
async function readAgain(
  source: Client,
  replica: Client,
  table: OpenTable,
  settled: Map<string, number>,
  seconds: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const query = sumsQuery(table.hashed, { of: table.hashed.bucketCount, buckets: [...table.open.keys()] });
  if (!(await catchUp(source, replica, seconds, signal))) return;
  const here = await readSums(replica, query);
  const there = await readSums(source, query);
  const moving = new Map<number, OpenBucket>();
  for (const [bucket, before] of table.open) {
    const [mine, now] = [here.get(bucket) ?? nothing, there.get(bucket) ?? nothing];
    if (mine === before.source || mine === now) continue;
    const still = now === before.source && mine === before.replica ? before.still + 1 : 0;
    if (still < stillRounds) moving.set(bucket, { source: now, replica: mine, still });
    else settled.set(displayName(table.hashed), (settled.get(displayName(table.hashed)) ?? 0) + 1);
  }
  table.open = moving;
}

async function readSums(client: Client, query: string): Promise<Map<number, string>> {
  const { rows } = await client.query<{ bucket: string; sum: string }>(query);
  return new Map(rows.map(({ bucket, sum }) => [Number(bucket), sum]));
}

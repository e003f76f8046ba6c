/**
 * Sets a live replica up: definitions, publication, slot, subscription, first copy, sequences. Each part is looked for
 * before it is made, so a run that was cut off is gone on with; a slot is never left behind without a subscriber.
 */
import type { Client } from "pg";
import { Refusal, Unavailable } from "../contract/failure";
import { quoteName } from "../database/sqlText";
import { ensureOwnSchema, beat } from "./heartbeat";
import { type Subscription, hasOwnSchema, isLost, readPublication, readSlot, readSubscription } from "./link";
import { type PairIdentity, type ReplicaPair, type Run, identifyPair, quotedName, withPair } from "./pair";
import { type Finding, type Preflight, runPreflight } from "./preflight";
import { publish } from "./publication";
import { copySchema } from "./schemaCopy";
import { copySequences } from "./sequences";
import { createSlot } from "./slots";
import { dropSlotsOf, reconnect, subscribe, unsubscribe } from "./subscription";
import { chooseTables } from "./tables";
import { until } from "./until";

export interface SetupPlan extends Preflight {
  readonly identity: PairIdentity;
  /** What will be done, in this order; empty: all of it is there. */
  readonly steps: readonly string[];
  /** The subscription is there, and what it needs of the source is not: only a new copy helps. */
  readonly lost: boolean;
  /** Of a lost one: it is not there at all. */
  readonly slotGone: boolean;
}

/** Looks only. */
export async function planSetup(pair: ReplicaPair, resync: boolean): Promise<SetupPlan> {
  return withPair(pair, async (source, replica) => {
    const identity = await identifyPair(pair, source, replica);
    const preflight = await runPreflight(pair, source, replica, identity);
    const { name } = pair.settings;
    const [publication, slot, subscription] = [
      await readPublication(source, name),
      await readSlot(source, name),
      await readSubscription(replica, name),
    ];
    const lost = subscription !== undefined && isLost(slot);
    const afresh = resync || subscription === undefined;
    const tables = preflight.choice.chosen.length;
    const steps = [
      ...(publication === undefined ? [`publishes ${tables} table(s) on the source, as ${name}`] : []),
      ...((await hasOwnSchema(replica)) ? [] : ["copies the definitions into the replica's empty database"]),
      ...(resync && subscription !== undefined ? ["drops the subscription and its slot"] : []),
      ...(resync ? [`EMPTIES ${tables} table(s) of the replica`] : []),
      ...(afresh ? [`makes the slot ${name} on the source, subscribes, and copies all rows`] : []),
    ];
    return { ...preflight, identity, steps, lost, slotGone: slot === undefined };
  });
}

/** @throws Refusal naming what would have to be changed first. */
export function demandNoHalt(findings: readonly Finding[]): void {
  const halting = findings.filter(({ severity }) => severity === "halt");
  if (halting.length === 0) return;
  throw new Refusal(`${halting.length} finding(s) stand in the way of a live replica: nothing was changed`, {
    details: halting.map(({ id, problem, fix }) => `${id}: ${problem}; fix: ${fix}`),
  });
}

export interface SetupOptions extends Run {
  /** Empties the replica's tables and copies everything again. */
  readonly resync?: boolean;
  /** Whether to wait for the first copy. Default true. */
  readonly wait?: boolean;
}

export interface SetupResult {
  readonly identity: PairIdentity;
  readonly tables: number;
  readonly uncovered: readonly string[];
  /** Whether every table has arrived. */
  readonly ready: boolean;
  readonly seconds: number;
}

/**
 * @throws Refusal when something stands in the way, or the slot was lost and `resync` was not asked for. @throws Unavailable
 *   when another run works on this replica, or a server cannot be reached.
 */
export async function setUpReplica(pair: ReplicaPair, options: SetupOptions = {}): Promise<SetupResult> {
  const started = performance.now();
  return withPair(pair, async (source, replica) => {
    await lockReplica(replica, pair);
    const identity = await identifyPair(pair, source, replica);
    demandNoHalt((await runPreflight(pair, source, replica, identity)).findings);
    await ensureOwnSchema(source);
    const { chosen, uncovered } = await chooseTables(source, pair.settings);
    const published = await publish(source, pair.settings.name, chosen);
    try {
      if (!(await hasOwnSchema(replica))) {
        options.onProgress?.("copying the definitions");
        await copySchema(pair, source, replica, identity, options);
      }
      await connectBoth(pair, source, replica, identity, options);
    } catch (error) {
      // What this run made and nobody can use yet.
      if (published.created && (await readSubscription(replica, pair.settings.name).catch(() => null)) === undefined)
        await source.query(`DROP PUBLICATION IF EXISTS ${quotedName(pair)}`).catch(() => undefined);
      throw error;
    }
    await beat(source);
    const ready = options.wait !== false && (await waitForCopy(pair, replica, options));
    await copySequences(source, replica);
    return {
      ...{ identity, tables: chosen.length, uncovered, ready },
      seconds: (performance.now() - started) / 1000,
    };
  });
}

/** One run at a time; the lock ends with the session. */
export async function lockReplica(replica: Client, { settings }: ReplicaPair): Promise<void> {
  const { rows } = await replica.query<{ held: boolean }>(
    "SELECT pg_try_advisory_lock(hashtextextended('dbprotect replica ' || $1, 0)) AS held",
    [settings.name],
  );
  if (rows[0]?.held !== true)
    throw new Unavailable(`another run works on the replica ${settings.name}`, { hint: "wait for it" });
}

async function connectBoth(
  pair: ReplicaPair,
  source: Client,
  replica: Client,
  identity: PairIdentity,
  options: SetupOptions,
): Promise<void> {
  const { name } = pair.settings;
  const [slot, subscription] = [await readSlot(source, name), await readSubscription(replica, name)];
  if (subscription !== undefined && options.resync !== true) {
    if (isLost(slot)) throw lostSlot(pair, slot === undefined);
    await reconnect(pair, replica);
    if (!subscription.enabled) await replica.query(`ALTER SUBSCRIPTION ${quotedName(pair)} ENABLE`);
    // Tables that were published since: a subscription knows those of the time it was made.
    await replica.query(`ALTER SUBSCRIPTION ${quotedName(pair)} REFRESH PUBLICATION`);
    return;
  }
  const former = await unsubscribe(pair, replica);
  await dropSlotsOf(source, pair, former, identity.replica.systemIdentifier);
  if (options.resync === true) await emptyTables(pair, source, replica, options);
  else await demandEmpty(pair, source, replica);
  options.signal?.throwIfAborted();
  options.onProgress?.(`making the slot ${name} and the subscription`);
  await createSlot(source, name);
  try {
    await subscribe(pair, replica, true);
  } catch (error) {
    await dropSlotsOf(source, pair, undefined, identity.replica.systemIdentifier).catch((left: unknown) =>
      options.onProgress?.(`WARNING: the slot ${name} is left on the source: ${String(left)}; run replication:drop`),
    );
    throw error;
  }
}

export function lostSlot({ settings }: Pick<ReplicaPair, "settings">, gone: boolean): Refusal {
  return new Refusal(
    `the slot ${settings.name} ${gone ? "is gone" : "was lost: the source removed log that the replica had not read (max_slot_wal_keep_size)"}: the replica can follow no more`,
    { hint: "copy everything anew: npm run replication:setup -- --resync" },
  );
}

/** What of the chosen tables is on the replica, quoted. */
async function tablesThere(pair: ReplicaPair, source: Client, replica: Client): Promise<string[]> {
  const { chosen } = await chooseTables(source, pair.settings);
  const { rows } = await replica.query<{ name: string }>(
    "SELECT w.name FROM unnest($1::text[]) AS w(name) WHERE to_regclass(w.name) IS NOT NULL",
    [chosen.map(quoteName)],
  );
  return rows.map(({ name }) => name);
}

/** All in one statement: their foreign keys point at each other. One that points in from outside makes it fail. */
async function emptyTables(pair: ReplicaPair, source: Client, replica: Client, { onProgress }: Run): Promise<void> {
  const names = await tablesThere(pair, source, replica);
  if (names.length === 0) return;
  onProgress?.(`emptying ${names.length} table(s) of the replica`);
  await replica.query(`TRUNCATE ${names.map((name) => `ONLY ${name}`).join(", ")}`);
}

/** Rows that are there already would collide with the same ones when they are copied. */
async function demandEmpty(pair: ReplicaPair, source: Client, replica: Client): Promise<void> {
  for (const name of await tablesThere(pair, source, replica)) {
    const { rows } = await replica.query(`SELECT FROM ONLY ${name} LIMIT 1`);
    if (rows.length > 0)
      throw new Refusal(`the replica's table ${name} has rows, and no subscription brings them`, {
        hint: "empty its tables and copy everything: npm run replication:setup -- --resync",
      });
  }
}

/** Errors of copying after which, with no table having arrived meanwhile, it is given up: the server tries every few seconds. */
const mostCopyErrors = 5;

/**
 * Until every table is ready. Cut off, it goes on without us.
 *
 * @throws Unavailable when the same tables fail again and again, or the subscription is gone.
 */
export async function waitForCopy(pair: ReplicaPair, replica: Client, { signal, onProgress }: Run): Promise<boolean> {
  let told = -1;
  let errorsThen = 0;
  const look = async (): Promise<true | undefined> => {
    const found = await readSubscription(replica, pair.settings.name);
    if (found === undefined)
      throw new Unavailable("the subscription was dropped meanwhile", { hint: "run this again" });
    const open = unready(found);
    const [arrived, errors] = [found.tables.length - open.length, (found.copyErrors ?? 0) + (found.applyErrors ?? 0)];
    if (arrived !== told) {
      [told, errorsThen] = [arrived, errors];
      onProgress?.(`${arrived} of ${found.tables.length} table(s) have arrived`);
    }
    if (errors - errorsThen >= mostCopyErrors)
      throw new Unavailable(`${open.length} table(s) do not arrive: ${open.slice(0, 5).join(", ")}`, {
        hint: "the replica's server log says why; the server goes on trying: run this again to wait for it",
      });
    return open.length === 0 ? true : undefined;
  };
  const waiting = { seconds: Infinity, every: 200, ...(signal === undefined ? {} : { signal }) };
  return (await until(look, waiting)) === true;
}

/** `schema.name` of the tables that have not arrived. */
function unready({ tables }: Subscription): string[] {
  return tables.filter(({ state }) => state !== "ready").map(({ name }) => name);
}

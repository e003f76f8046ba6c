/**
 * Carries what the source has more of over to the replica: definitions, publication, the rows of new tables, constraints once
 * their rows have arrived, sequences; then looks whether both are alike. Cut off anywhere, running it again goes on.
 */
import type { Client } from "pg";
import { Refusal, Unavailable, messageOf } from "../contract/failure";
import { withConnection } from "../database/connect";
import { displayName } from "../database/sqlText";
import { describeChange } from "../fingerprint/compare";
import { withMissingDefinitions } from "./definitions";
import { readDrift, readSurplus } from "./drift";
import { isLost, readPublication, readSlot, readSubscription, noReplica } from "./link";
import { type PairIdentity, type ReplicaPair, type Run, identifyPair, quotedName, withPair } from "./pair";
import { runPreflight } from "./preflight";
import { publish } from "./publication";
import { prepareRoles } from "./schemaCopy";
import { copySequences } from "./sequences";
import { demandNoHalt, lockReplica, lostSlot, waitForCopy } from "./setUp";
import { type SyncPlan, planDefinitions } from "./syncPlan";
import { chooseTables } from "./tables";
import { catchUp, verifyReplica } from "./verify";

export interface PlannedSync extends SyncPlan {
  readonly identity: PairIdentity;
  /** `schema.name` of tables that will be published. */
  readonly published: readonly string[];
}

/** Looks only. @throws Refusal where there is no replica that follows. */
export async function planSync(pair: ReplicaPair, run: Run = {}): Promise<PlannedSync> {
  return withPair(pair, (source, replica) => lookAtBoth(pair, source, replica, run));
}

async function lookAtBoth(pair: ReplicaPair, source: Client, replica: Client, { signal }: Run): Promise<PlannedSync> {
  const identity = await identifyPair(pair, source, replica);
  const [slot, subscription] = [
    await readSlot(source, pair.settings.name),
    await readSubscription(replica, pair.settings.name),
  ];
  if (subscription === undefined) throw noReplica(pair.settings.name);
  if (isLost(slot)) throw lostSlot(pair, slot === undefined);
  demandNoHalt((await runPreflight(pair, source, replica, identity)).findings);
  const drift = await readDrift(source, replica);
  const surplus = await readSurplus(source, replica);
  const { chosen } = await chooseTables(source, pair.settings);
  const there = new Set((await readPublication(source, pair.settings.name))?.tables);
  const published = chosen.map(displayName).filter((name) => !there.has(name));
  const plan = await withMissingDefinitions(
    ...([pair, source, identity] as const),
    (definitions) => planDefinitions({ source, replica }, drift, surplus, definitions),
    signal,
  );
  return { ...plan, identity, published };
}

/** @throws Refusal naming everything that is no addition, with its reason. */
export function demandAdditive({ refused }: SyncPlan): void {
  if (refused.length === 0) return;
  throw new Refusal(`${refused.length} change(s) of the source are no additions: nothing was changed on the replica`, {
    details: refused.map(({ what, reason }) => `${what}: ${reason}`),
  });
}

export interface SyncOptions extends Run {
  /** Seconds that the replica gets to catch up, and the comparison to end. Default 300. */
  readonly seconds?: number;
}

export interface SyncResult {
  readonly identity: PairIdentity;
  /** What was made, for people. */
  readonly made: readonly string[];
  readonly published: readonly string[];
  /** `schema.name` of the sequences that were moved. */
  readonly sequences: readonly string[];
  /** Tables that got columns, every row of which was compared. */
  readonly compared: readonly string[];
  readonly seconds: number;
}

/**
 * @throws Refusal when something is no addition (nothing was changed), when the replica does not take a statement, or when
 *   both are not alike afterwards. @throws Unavailable when it does not catch up in time: running this again goes on.
 */
export async function syncReplica(pair: ReplicaPair, options: SyncOptions = {}): Promise<SyncResult> {
  const started = performance.now();
  const { seconds = 300, signal, onProgress } = options;
  return withPair(pair, async (source, replica) => {
    await lockReplica(replica, pair);
    const plan = await lookAtBoth(pair, source, replica, options);
    demandAdditive(plan);
    if (plan.words.length > 0) onProgress?.(`making ${plan.words.length} definition(s) on the replica`);
    await prepareRoles(pair, source, replica, options);
    for (const statement of plan.labels) await replica.query(statement);
    await runTogether(pair, plan.first);
    signal?.throwIfAborted();
    const { chosen } = await chooseTables(source, pair.settings);
    await publish(source, pair.settings.name, chosen);
    await replica.query(`ALTER SUBSCRIPTION ${quotedName(pair)} REFRESH PUBLICATION`);
    await waitForCopy(pair, replica, options);
    if (!(await catchUp(source, replica, seconds, signal)))
      throw new Unavailable(`the replica does not catch up within ${seconds} s`, {
        hint: "run this again; replication:status says what holds it",
      });
    signal?.throwIfAborted();
    await runTogether(pair, plan.last);
    const { moved } = await copySequences(source, replica);
    await demandAlike(source, replica);
    await demandSameRows(pair, plan.widened, seconds, options);
    return {
      ...{ identity: plan.identity, made: plan.words, published: plan.published, sequences: moved },
      ...{ compared: plan.widened, seconds: (performance.now() - started) / 1000 },
    };
  });
}

/** In a session of its own: the statements set what suits them. A lock that does not come makes nobody wait for long. */
async function runTogether({ replica }: ReplicaPair, statements: readonly string[]): Promise<void> {
  if (statements.length === 0) return;
  await withConnection(replica, async (session) => {
    await session.query("BEGIN; SET LOCAL lock_timeout = '20s'");
    for (const statement of statements) {
      await session.query(statement).catch((error: unknown) => {
        throw new Refusal(`the replica does not take a definition: ${messageOf(error)}: none of them was made`, {
          details: [statement.trim().slice(0, 2000)],
          cause: error,
        });
      });
    }
    await session.query("COMMIT");
  });
}

async function demandAlike(source: Client, replica: Client): Promise<void> {
  const left = await readDrift(source, replica);
  if (left.length === 0) return;
  throw new Refusal("definitions still differ: what was added is there, this is not", {
    details: left.map(describeChange),
    hint: "make them on the replica as on the source",
  });
}

async function demandSameRows(
  pair: ReplicaPair,
  tables: readonly string[],
  seconds: number,
  { signal, onProgress }: Run,
): Promise<void> {
  if (tables.length === 0) return;
  onProgress?.(`comparing every row of ${tables.join(", ")}`);
  const run = { seconds, ...(signal === undefined ? {} : { signal }) };
  const found = await verifyReplica(pair, { ...run, only: tables });
  if (found.verdict === "equal") return;
  throw new Refusal("the rows of tables with new columns are not proven equal", {
    details: found.findings,
    hint: "npm run replication:verify; where they differ: npm run replication:setup -- --resync",
  });
}

/**
 * The replica becomes the database. While the source answers: writes are fenced there, the replica gets the last of them,
 * sequences are set, both are compared to the last row, and only then the subscription goes. The fence stays up on the
 * source, so that nobody writes to both. Killed at any moment, running it again goes on.
 */
import type { Client } from "pg";
import { Refusal, Unavailable, UsageError, messageOf } from "../contract/failure";
import { type Failover, type FailoverTurn, readFailover, takeFailoverTurn } from "../control/failover";
import { isFenced, readMaintenance } from "../control/maintenance";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, isSameDatabase, readIdentity } from "../database/identity";
import { quoteIdentifier } from "../database/sqlText";
import { type CatalogChange, describeChange } from "../fingerprint/compare";
import { type MaintenancePlan, planMaintenance, raiseFence } from "../incident/maintenance";
import type { Store } from "../store/store";
import type { VariablesPlan } from "../environment/platformVariables";
import { type ConnectionsInput, planConnections, setConnections } from "./connections";
import { readDrift } from "./drift";
import { lastBeatAt } from "./heartbeat";
import { currentLsn, hasOwnSchema, noReplica, readSlot, readSubscription } from "./link";
import { type PairIdentity, type ReplicaPair, type Run, quotedName, withPair } from "./pair";
import { publish } from "./publication";
import { advanceSequences, copySequences } from "./sequences";
import { lockReplica } from "./setUp";
import { createSlot } from "./slots";
import { readStatus } from "./status";
import { dropSlotsOf, unsubscribe } from "./subscription";
import { chooseTables } from "./tables";
import { until } from "./until";
import { catchUp, verifyReplica } from "./verify";

export interface FailoverInput extends Run {
  readonly pair: ReplicaPair;
  readonly store: Store;
  readonly runId: string;
  /** Whom the fence keeps from writing to the source. */
  readonly fencedRoles: readonly string[];
  /** The source does not answer, and is given up: nothing can be fenced or compared. */
  readonly sourceLost: boolean;
  /** Seconds that the replica gets to catch up, and the comparison to end. */
  readonly seconds: number;
  /** Where the platforms' access and the application's URL stand. Default `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface FailoverPlan {
  readonly record: Failover | undefined;
  /** A former run has decided already: this one goes on with it. */
  readonly going: boolean;
  readonly identity: PairIdentity;
  /** Null: the source is lost. */
  readonly fence: MaintenancePlan | null;
  readonly lagBytes: number | null;
  readonly lagSeconds: number | null;
  /** When the newest heartbeat on the replica was written: everything committed before it is there. */
  readonly newestBeat: string | null;
  /** Application roles that cannot log in on the replica. */
  readonly withoutLogin: readonly string[];
  /** Whether rights to write are withheld on the replica: by the fence of when it was the source. */
  readonly rightsDiffer: boolean;
  /** Whether the way back will need no copy. */
  readonly wayBack: boolean;
  /** The application's variables at Railway and Vercel; undefined: none are set. */
  readonly connections: VariablesPlan | undefined;
}

const connectionsOf = ({ pair, signal, env = process.env }: FailoverInput): ConnectionsInput => ({
  ...{ variables: pair.settings.connectionVariables, env, signal },
});

/**
 * Looks only.
 *
 * @throws Refusal when the replica is not fit to take over, each reason named. @throws UsageError when the source is called
 *   lost and answers.
 */
export async function planFailover(input: FailoverInput): Promise<FailoverPlan> {
  const { pair, store, sourceLost } = input;
  const record = await readFailover(store);
  const replica = await withConnection(pair.replica, (client) => readReplicaSide(client, pair, input.fencedRoles));
  const going = isGoing(record, replica);
  if (!going && !replica.subscribed) throw noReplica(pair.settings.name);
  const connections = await planConnections(connectionsOf(input), replica.identity);
  if (going || sourceLost) {
    if (sourceLost) await demandLost(pair);
    const source = going ? record.source : lostIdentity(pair);
    const identity = { source, replica: replica.identity };
    const unknown = { fence: null, lagBytes: null, lagSeconds: null, rightsDiffer: false };
    return { ...replica, record, going, identity, connections, ...unknown };
  }
  const status = await readStatus(pair);
  const fenced = isFenced(await readMaintenance(store));
  const all = await withPair(pair, readDrift);
  const withheld = all.filter((change) => isOfFence(change, fenced));
  const drift = all.filter((change) => !withheld.includes(change));
  const reasons = [
    ...status.findings.map(({ message }) => message),
    ...drift.slice(0, 20).map((change) => `definitions: ${describeChange(change)}`),
    ...(await preparedTransactions(pair)),
  ];
  if (reasons.length > 0)
    throw new Refusal("the replica is not fit to take over: nothing was changed", { details: reasons });
  const fence = await planMaintenance({ store, live: pair.source }, input.fencedRoles);
  const { identity, lagBytes, lagSeconds } = status;
  const rightsDiffer = !fenced && withheld.length > 0;
  return { ...replica, record, going, identity, connections, fence, lagBytes, lagSeconds, rightsDiffer };
}

/** One that is promoted and follows again is the replica of a later time. */
function isGoing(record: Failover | undefined, replica: ReplicaSide): record is Failover {
  if (record === undefined || !isSameDatabase(record.replica, replica.identity)) return false;
  return record.state === "promoting" || (record.state === "promoted" && !replica.subscribed);
}

/** Definitions of which rights are part; of a sequence's nothing more is told than that it differs. */
const holdsRights: ReadonlySet<string> = new Set(["relation", "column", "sequence-rights"]);

/**
 * What a write fence withholds on one side: on the source, where it is on record, or on a replica that was the source
 * before the last failover.
 */
function isOfFence({ kind, change, lost }: CatalogChange, sourceFenced: boolean): boolean {
  if (change !== "changed" || !holdsRights.has(kind)) return false;
  const onlyWrites =
    lost.length > 0 && lost.every((right) => / (INSERT|UPDATE|DELETE|TRUNCATE)( WITH GRANT OPTION)?$/.test(right));
  return sourceFenced || kind === "sequence-rights" || onlyWrites;
}

interface ReplicaSide {
  readonly identity: DatabaseIdentity;
  readonly subscribed: boolean;
  readonly newestBeat: string | null;
  readonly withoutLogin: readonly string[];
  readonly wayBack: boolean;
}

async function readReplicaSide(client: Client, pair: ReplicaPair, roles: readonly string[]): Promise<ReplicaSide> {
  const { rows } = await client.query<{ name: string; login: boolean }>(
    `SELECT w.name, COALESCE(r.rolcanlogin, false) AS login FROM unnest($1::text[]) AS w(name)
       LEFT JOIN pg_roles r ON r.rolname = w.name`,
    [[...roles]],
  );
  const level = await client.query<{ level: string }>("SELECT current_setting('wal_level') AS level");
  return {
    identity: await readIdentity(client, pair.replica),
    subscribed: (await readSubscription(client, pair.settings.name)) !== undefined,
    newestBeat: (await hasOwnSchema(client)) ? await lastBeatAt(client) : null,
    withoutLogin: rows.filter(({ login }) => !login).map(({ name }) => name),
    wayBack: level.rows[0]?.level === "logical",
  };
}

async function demandLost({ source }: ReplicaPair): Promise<void> {
  const answers = await withConnection(source, () => Promise.resolve(true)).catch((error: unknown) => {
    if (error instanceof Unavailable) return false;
    throw error;
  });
  if (answers)
    throw new UsageError("--source-lost: found a source that answers: expected none", {
      hint: "without it the source is fenced, and nothing is lost",
    });
}

function lostIdentity({ source }: ReplicaPair): DatabaseIdentity {
  const { host, port, database } = source;
  return { host, port, database, systemIdentifier: "unknown", serverVersion: 0 };
}

/** Whoever has one could commit it after the fence. */
async function preparedTransactions({ source }: ReplicaPair): Promise<string[]> {
  return withConnection(source, async (client) => {
    const { rows } = await client.query<{ gid: string }>(
      "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()",
    );
    return rows.map(({ gid }) => `prepared transaction ${gid} on the source may still be committed: end it first`);
  });
}

export interface FailoverResult {
  readonly identity: PairIdentity;
  readonly sourceLost: boolean;
  /** Rows that were compared; null: the source is lost, or a former run compared them. */
  readonly rows: number | null;
  readonly sequences: readonly string[];
  readonly wayBack: boolean;
  readonly promotedAt: string;
  /** The application's variables that hold the new address, one line each; null: none was to be set. */
  readonly connections: readonly string[] | null;
  /** What is still there and should not be, for people. */
  readonly left: readonly string[];
  readonly seconds: number;
}

/** @throws Refusal when both are not equal: the fence is up, and the replica still follows. */
export async function failOver(input: FailoverInput, plan: FailoverPlan): Promise<FailoverResult> {
  const started = performance.now();
  const { pair, store, runId, sourceLost } = input;
  const turn = await takeFailoverTurn(store, runId, (current) =>
    plan.going && current !== undefined
      ? current
      : {
          ...{
            schemaVersion: 1,
            state: "begun",
            name: pair.settings.name,
            ...plan.identity,
            sourceLost,
            wayBack: false,
          },
          ...{ startedAt: new Date().toISOString(), promotedAt: null },
        },
  );
  try {
    let rows: number | null = null;
    let sequences: readonly string[] = [];
    if (turn.before.state === "begun") {
      ({ rows, sequences } = sourceLost ? await giveUpSource(pair, input) : await prove(input, plan));
      await turn.note({ state: "promoting", sourceLost, wayBack: plan.wayBack && !sourceLost });
    }
    const left = await promote(input, turn, plan);
    const promotedAt = turn.before.promotedAt ?? new Date().toISOString();
    await turn.note({ state: "promoted", promotedAt });
    const connections = (await setConnections(connectionsOf(input), plan.identity.replica)) ?? null;
    const done = await readFailover(store);
    return {
      connections,
      ...{ identity: plan.identity, sourceLost: done?.sourceLost ?? sourceLost, rows, sequences, promotedAt, left },
      ...{ wayBack: done?.wayBack ?? false, seconds: (performance.now() - started) / 1000 },
    };
  } finally {
    await turn.end().catch(() => undefined);
  }
}

type Proven = Pick<FailoverResult, "rows" | "sequences">;

async function prove(input: FailoverInput, plan: FailoverPlan): Promise<Proven> {
  const { pair, store, runId, seconds, signal, onProgress } = input;
  const run = { ...(signal === undefined ? {} : { signal }), ...(onProgress === undefined ? {} : { onProgress }) };
  const raised = await raiseFence({ store, live: pair.source, runId, ...run }, plan.fence!);
  onProgress?.(`the source is fenced: ${raised.refused} write(s) tried, all refused`);
  const unproven = await preparedTransactions(pair);
  if (unproven.length > 0)
    throw new Refusal("the fence is up, and something may still be written", { details: unproven });
  const sequences = await withPair(pair, async (source, replica) => {
    const lsn = await currentLsn(source);
    onProgress?.(`waiting for ${lsn}, the last write`);
    if (!(await catchUp(source, replica, seconds, signal)) || !(await hasConfirmed(source, pair, lsn, seconds)))
      throw new Unavailable(
        `the replica does not catch up to ${lsn} within ${seconds} s: the fence is up on the source`,
        {
          hint: "run this again; or give the rights back: npm run deploy:maintenance -- off",
        },
      );
    return copySequences(source, replica);
  });
  onProgress?.("comparing every row");
  const found = await verifyReplica(pair, { exact: true, seconds, ...run });
  if (found.verdict !== "equal")
    throw new Refusal(
      "source and replica are not equal: the fence is up on the source, and the replica still follows",
      {
        details: found.findings,
        hint: "give the rights back (npm run deploy:maintenance -- off) and copy anew (npm run replication:setup -- --resync)",
      },
    );
  return { rows: found.rows, sequences: sequences.moved };
}

async function hasConfirmed(source: Client, { settings }: ReplicaPair, lsn: string, seconds: number): Promise<boolean> {
  const look = async (): Promise<true | undefined> => {
    const slot = await readSlot(source, settings.name);
    const { rows } = await source.query<{ reached: boolean | null }>("SELECT $1::pg_lsn >= $2::pg_lsn AS reached", [
      slot?.confirmedLsn ?? null,
      lsn,
    ]);
    return rows[0]?.reached === true ? true : undefined;
  };
  return (await until(look, { seconds })) === true;
}

async function giveUpSource(pair: ReplicaPair, { onProgress }: Run): Promise<Proven> {
  onProgress?.("the source is given up: sequences are moved past what the rows show");
  const { moved } = await withConnection(pair.replica, advanceSequences);
  return { rows: null, sequences: moved };
}

/** Each part is looked for first: after the record says `promoting` nothing is asked of the source that it must answer. */
async function promote(input: FailoverInput, turn: FailoverTurn, plan: FailoverPlan): Promise<string[]> {
  const { pair, onProgress } = input;
  const wayBack = turn.before.state === "begun" ? plan.wayBack && !input.sourceLost : turn.before.wayBack;
  const subscription = await withConnection(pair.replica, async (replica) => {
    await lockReplica(replica, pair);
    const dropped = await unsubscribe(pair, replica);
    if (wayBack && turn.before.state !== "promoted") {
      onProgress?.("keeping what is written from now on, for the way back");
      const { chosen } = await chooseTables(replica, pair.settings);
      await publish(replica, pair.settings.name, chosen);
      if ((await readSlot(replica, pair.settings.name)) === undefined) await createSlot(replica, pair.settings.name);
    }
    return dropped;
  });
  try {
    await withConnection(pair.source, async (source) => {
      await dropSlotsOf(source, pair, subscription, plan.identity.replica.systemIdentifier);
      await source.query(`DROP PUBLICATION IF EXISTS ${quotedName(pair)}`);
    });
    return [];
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return [
      `on the former source, when it answers again: replication:drop --side source (${messageOf(error)})`,
      `whoever still writes to it writes in vain: keep the application from it (${quoteIdentifier(pair.source.database)})`,
    ];
  }
}

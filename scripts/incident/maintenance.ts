/**
 * `deploy:maintenance`: the write fence goes up and comes down. Up: the rights to write of the application's roles are put
 * on record and taken away in one transaction, their sessions ended, and a write of each role is refused before it counts
 * as up. Down: exactly these rights are given back. Killed at any moment, running it again finishes.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { Refusal, Unavailable, messageOf } from "../contract/failure";
import {
  type Maintenance,
  type MaintenanceTurn,
  demandFenceOf,
  isFenced,
  readMaintenance,
  takeMaintenanceTurn,
} from "../control/maintenance";
import {
  type FencedRoles,
  type Holes,
  fenceDatabase,
  proveFence,
  readFencedRoles,
  readHoles,
} from "../control/writeFence";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, readIdentity } from "../database/identity";
import { displayName } from "../database/sqlText";
import type { DatabaseTarget } from "../database/target";
import {
  type StatementSession,
  type WriteGrant,
  giveBackWriteGrants,
  revokeWriteGrants,
} from "../database/writeGrants";
import type { Store } from "../store/store";

export interface MaintenanceInput {
  readonly store: Store;
  readonly live: DatabaseTarget;
  readonly runId: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

export interface MaintenancePlan extends Holes {
  readonly identity: DatabaseIdentity;
  readonly fenced: FencedRoles;
  /** What would be taken away now. */
  readonly grants: readonly WriteGrant[];
  /** `schema.name` of what could not be. */
  readonly unheld: readonly string[];
  /** The record as it stands. */
  readonly record: Maintenance | undefined;
}

/**
 * Looks only: the rights are taken in a transaction that is rolled back.
 *
 * @param wanted roles to keep from writing; those of a fence that stands are kept as well.
 * @throws Refusal when a role cannot be kept from writing, or another database's fence is recorded.
 */
export async function planMaintenance(
  { store, live }: Pick<MaintenanceInput, "store" | "live">,
  wanted: readonly string[],
): Promise<MaintenancePlan> {
  const record = await readMaintenance(store);
  return withConnection(live, async (client) => {
    const identity = await readIdentity(client, live);
    if (isFenced(record)) demandFenceOf(record, identity);
    const session = sessionOf(client);
    const fenced = await readFencedRoles(session, [...wanted, ...(isFenced(record) ? record.roles : [])]);
    const { revoked, left } = await rolledBack(client, () => revokeWriteGrants(session, new Set(fenced.withGroups)));
    const holes = await readHoles(session, fenced);
    return { identity, fenced, grants: revoked, unheld: [...new Set(left.map(displayName))], ...holes, record };
  });
}

export interface RaisedFence {
  /** Rights that are on record as taken away from the live database. */
  readonly grants: number;
  readonly sessionsEnded: number;
  /** Writes that were tried and refused. */
  readonly refused: number;
}

/**
 * @throws Unavailable when another run changes the fence, or a session does not end; Refusal when a role can write all the
 *   same. The fence counts as being raised then, and what was taken is on record.
 */
export async function raiseFence(input: MaintenanceInput, plan: MaintenancePlan): Promise<RaisedFence> {
  const { store, live, runId, signal, onProgress } = input;
  const { host, port, database, systemIdentifier } = plan.identity;
  const turn = await takeMaintenanceTurn(store, runId, (current) => {
    if (isFenced(current)) demandFenceOf(current, plan.identity);
    const stands = isFenced(current) ? current : undefined;
    return {
      ...{ schemaVersion: 1, state: "raising", database: { host, port, database, systemIdentifier } },
      roles: [...new Set([...(stands?.roles ?? []), ...plan.fenced.roles])],
      raisedAt: stands?.raisedAt ?? new Date().toISOString(),
      grants: stands?.grants ?? [],
      unheld: stands?.unheld ?? [],
      platforms: current?.platforms ?? { railway: null, vercel: null },
    };
  });
  return ended(turn, () =>
    withConnection(live, async (client) => {
      const session = sessionOf(client);
      onProgress?.("taking away the rights to write");
      const { revoked, unheld } = await committed(client, () => fenceDatabase(session, plan.fenced, turn));
      signal?.throwIfAborted();
      onProgress?.(`${revoked.length} right(s) taken away; ending sessions`);
      const sessionsEnded = await endSessions(client, plan.fenced.roles);
      onProgress?.(`${sessionsEnded} session(s) ended; proving that writes are refused`);
      const taken = [...turn.before.grants, ...revoked];
      const here = await ofThisDatabase(client, taken);
      const proof = await rolledBack(client, () => proveFence(session, plan.fenced, here, unheld));
      if (proof.findings.length > 0)
        throw new Refusal("the write fence does not hold", {
          details: proof.findings.slice(0, 20),
          hint: "take these rights away too, or run this again as a role that may; deploy:maintenance off gives back what was taken",
        });
      await turn.end({ state: "on", unheld: [...unheld] });
      return { grants: here.length, sessionsEnded, refused: proof.refused };
    }),
  );
}

export interface LiftedFence {
  /** Rights that were given back just now. */
  readonly given: number;
  /** What could not be, because it is gone. */
  readonly notes: readonly string[];
}

/** The only way in which a fence comes down. @throws as `giveBackWriteGrants`, and Unavailable when another run changes it. */
export async function liftFence(input: MaintenanceInput): Promise<LiftedFence> {
  const { store, live, runId, onProgress } = input;
  const identity = await withConnection(live, (client) => readIdentity(client, live));
  const turn = await takeMaintenanceTurn(store, runId, (current) => {
    if (!isFenced(current)) throw new Refusal("no write fence is up: nothing was changed");
    demandFenceOf(current, identity);
    return { ...current, state: "lifting" };
  });
  return ended(turn, () =>
    withConnection(live, async (client) => {
      onProgress?.("giving back the rights to write");
      const lifted = await committed(client, () => giveBackWriteGrants(sessionOf(client), turn.before.grants));
      onProgress?.(`${lifted.given} right(s) given back, equal to what was taken`);
      await turn.end({ state: "off" });
      return lifted;
    }),
  );
}

export interface MaintenanceStatus {
  readonly state: Maintenance["state"];
  readonly roles: readonly string[];
  readonly raisedAt: string | null;
  /** Rights on record as taken away from this database. */
  readonly grants: number;
  readonly unheld: readonly string[];
  readonly refused: number;
  /** Why it is not what the record says; empty: it is. */
  readonly findings: readonly string[];
}

/** Looks only; where a fence is recorded, each role tries to write in a transaction that is rolled back. */
export async function readFenceStatus({
  store,
  live,
}: Pick<MaintenanceInput, "store" | "live">): Promise<MaintenanceStatus> {
  const record = await readMaintenance(store);
  if (!isFenced(record))
    return { state: "off", roles: [], raisedAt: null, grants: 0, unheld: [], refused: 0, findings: [] };
  return withConnection(live, async (client) => {
    demandFenceOf(record, await readIdentity(client, live));
    const session = sessionOf(client);
    const { state, roles, raisedAt, unheld } = record;
    const here = await ofThisDatabase(client, record.grants);
    const fenced = await readFencedRoles(session, roles);
    const proof = await rolledBack(client, () => proveFence(session, fenced, here, unheld));
    const begun =
      state === "on"
        ? []
        : [`${state} was begun and not finished: run deploy:maintenance ${state === "raising" ? "on" : "off"} again`];
    return {
      ...{ state, roles, raisedAt, grants: here.length, unheld, refused: proof.refused },
      findings: [...begun, ...(state === "lifting" ? [] : proof.findings)],
    };
  });
}

/** Rights of the live database that are on record as taken; none where no fence of it is up. */
export async function readWithheldGrants({
  store,
  live,
}: Pick<MaintenanceInput, "store" | "live">): Promise<readonly WriteGrant[]> {
  const record = await readMaintenance(store);
  if (!isFenced(record)) return [];
  return withConnection(live, (client) => ofThisDatabase(client, record.grants));
}

/** The turn is given up with whatever ends the work: what was begun stays on record as begun. */
export async function ended<T>(turn: MaintenanceTurn, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await turn.end().catch(() => undefined);
    throw error;
  }
}

export function sessionOf(client: Client): StatementSession {
  return { query: (text, values) => client.query(text, values), run: (statements) => client.query(statements) };
}

export async function committed<T>(client: Client, work: () => Promise<T>): Promise<T> {
  await client.query("BEGIN");
  try {
    const done = await work();
    await client.query("COMMIT");
    return done;
  } catch (error) {
    await client.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
}

async function rolledBack<T>(client: Client, work: () => Promise<T>): Promise<T> {
  await client.query("BEGIN");
  try {
    return await work();
  } finally {
    await client.query("ROLLBACK").catch(() => undefined);
  }
}

async function ofThisDatabase(client: Client, grants: readonly WriteGrant[]): Promise<WriteGrant[]> {
  const { rows } = await client.query<{ oid: string }>(
    "SELECT oid::int8::text AS oid FROM pg_database WHERE datname = current_database()",
  );
  return grants.filter(({ databaseOid }) => databaseOid === rows[0]?.oid);
}

/** Seconds within which a session must have ended. */
const endingSeconds = 10;

/**
 * Sessions that are, or can become, one of the roles: their statements that run already were let in before. Ours and
 * superusers' stay.
 */
async function endSessions(client: Client, roles: readonly string[]): Promise<number> {
  const { rows: found } = await client.query<{ pid: number; name: string }>(
    `SELECT a.pid, a.usename::text AS name FROM pg_stat_activity a JOIN pg_roles s ON s.oid = a.usesysid
      WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND s.rolname <> current_user AND NOT s.rolsuper
        AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname = ANY ($1::text[]) AND pg_has_role(s.oid, r.oid, 'MEMBER'))`,
    [roles],
  );
  const refusals: string[] = [];
  for (const { pid, name } of found) {
    await client
      .query("SELECT pg_terminate_backend($1)", [pid])
      .catch((error: unknown) => refusals.push(`${name} (process ${pid}): ${messageOf(error)}`));
  }
  if (refusals.length > 0)
    throw new Refusal("sessions of fenced roles cannot be ended: what they run already may still write", {
      details: refusals,
      hint: "stop the application, or GRANT pg_signal_backend to this role; then run this again",
    });
  const deadline = performance.now() + endingSeconds * 1000;
  for (;;) {
    const { rows } = await client.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE pid = ANY ($1::int[])",
      [found.map(({ pid }) => pid)],
    );
    if (rows.length === 0) return found.length;
    if (performance.now() > deadline)
      throw new Unavailable(`session(s) ${rows.map(({ pid }) => pid).join(", ")} of fenced roles do not end`, {
        hint: "run this again",
      });
    await sleep(50);
  }
}

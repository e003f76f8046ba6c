/**
 * The rows of a copy, compared from when all of them are in, while indexes and constraints are made of them. What was
 * equal then counts for the copy as it is in the end where the server says that nobody has written since; whatever was
 * not is read once more, in full.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { withConnection } from "../database/connect";
import type { Queryable } from "../database/queryable";
import { displayName } from "../database/sqlText";
import { type ProtectedTable, listProtectedTables } from "../database/tables";
import type { DatabaseTarget } from "../database/target";
import { findEqualTables } from "../fingerprint/compute";
import type { Fingerprint, TableFingerprint } from "../fingerprint/fingerprint";

/** Before it, a server counted what sessions wrote some time after they had (PostgreSQL 15's release notes). */
const countsExactly = 15;

/**
 * @returns the tables of the original whose rows the copy has; none where the server could not say later what was
 *   written.
 */
export async function findRestoredRows(
  original: Fingerprint,
  copy: DatabaseTarget,
  options: { jobs: number; serverMajor: number; signal: AbortSignal },
): Promise<TableFingerprint[]> {
  if (options.serverMajor < countsExactly) return [];
  const there = new Map((await withConnection(copy, listProtectedTables)).map((table) => [displayName(table), table]));
  const both = original.tables.flatMap((as) => {
    const at = there.get(displayName(as));
    return at === undefined || !at.readable || at.filtered || !areEqual(at.columns, as.columns) ? [] : [{ at, as }];
  });
  return (await findEqualTables(copy, both, options)).map(({ as }) => as);
}

/** Tries and milliseconds between them until the sessions of a restore, which were told to end, have ended. */
const [tries, pause] = [200, 10];

/** Once no other session of our role is there, all that was written has been counted. @returns whether that is so. */
export async function untilAlone(client: Queryable): Promise<boolean> {
  for (let left = tries; left > 0; left--) {
    const { rows } = await client.query<{ alone: boolean }>(
      `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user
                             AND pid <> pg_backend_pid()) AS alone`,
    );
    if (rows[0]?.alone === true) return true;
    await sleep(pause);
  }
  return false;
}

/**
 * Those of the tables that are as they were compared: each row was inserted once, none was updated or deleted.
 *
 * @param now of a database that was empty before its restore.
 */
export function stillSo(early: readonly TableFingerprint[], now: readonly ProtectedTable[]): TableFingerprint[] {
  const tables = new Map(now.map((table) => [displayName(table), table]));
  return early.filter((equal) => {
    const table = tables.get(displayName(equal));
    return (
      table !== undefined &&
      areEqual(table.columns, equal.columns) &&
      areEqual(table.key, equal.key) &&
      table.writes.inserted === equal.rows &&
      table.writes.updated === 0 &&
      table.writes.deleted === 0
    );
  });
}

function areEqual(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((name, place) => name === others[place]);
}

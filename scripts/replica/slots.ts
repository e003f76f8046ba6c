/** Our slots on a source: made, dropped, and remembered, so that none holds the server's log for nobody. */
import type { Client } from "pg";
import { Unavailable } from "../contract/failure";
import { currentLsn, readSlot } from "./link";
import { ownSchema } from "./pair";
import { until } from "./until";

/**
 * By plain SQL. It waits for transactions that are writing now (PostgreSQL manual, "49.2.2 Replication Slots"): no longer
 * than `statementSeconds`.
 *
 * @returns the log's position from which on the slot keeps everything.
 */
export async function createSlot(source: Client, name: string, statementSeconds = 60): Promise<string> {
  await source.query(`SET statement_timeout = '${statementSeconds}s'`);
  try {
    await source.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [name]);
  } catch (error) {
    // Cancelled half-way it is gone already; where it is not, nobody needs it.
    await source.query("SET statement_timeout = 0").catch(() => undefined);
    throw new Unavailable(`the slot ${name} could not be made: ${error instanceof Error ? error.message : ""}`, {
      hint: "a transaction that writes is open for long: SELECT * FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start",
      cause: error,
    });
  }
  await source.query("SET statement_timeout = 0");
  await source.query(
    `INSERT INTO ${ownSchema}.slots VALUES ($1, clock_timestamp(), clock_timestamp(), NULL)
     ON CONFLICT (name) DO UPDATE SET made_at = clock_timestamp(), active_at = clock_timestamp(), dropped_at = NULL`,
    [name],
  );
  return currentLsn(source);
}

/** Seconds within which the one that reads from it must have gone. */
const leavingSeconds = 10;

/**
 * Fine where there is none. One that is in use is waited for, then its reader is ended.
 *
 * @returns whether there was one.
 * @throws Unavailable when its reader does not end.
 */
export async function dropSlot(source: Client, name: string): Promise<boolean> {
  if ((await readSlot(source, name)) === undefined) return false;
  let asked = false;
  const idle = await until(
    async () => {
      const slot = await readSlot(source, name);
      if (slot === undefined || !slot.active) return true;
      if (asked) return undefined;
      asked = true;
      await source.query("SELECT pg_terminate_backend($1)", [slot.activePid]);
      return undefined;
    },
    { seconds: leavingSeconds },
  );
  if (idle !== true)
    throw new Unavailable(`the slot ${name} is still in use: it holds the source's log`, { hint: "run this again" });
  await source.query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", [
    name,
  ]);
  await noteDropped(source, name);
  return true;
}

async function noteDropped(source: Client, name: string): Promise<void> {
  const { rows } = await source.query("SELECT WHERE to_regclass($1) IS NOT NULL", [`${ownSchema}.slots`]);
  if (rows.length > 0)
    await source.query(`UPDATE ${ownSchema}.slots SET dropped_at = clock_timestamp() WHERE name = $1`, [name]);
}

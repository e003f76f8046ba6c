/** The subscription on the replica: made on a slot of ours, and taken down so that nothing of it is left on the source. */
import type { Client } from "pg";
import { quoteLiteral } from "../database/sqlText";
import { connectionInfo, runWithConnectionInfo } from "./conninfo";
import { readCopySlots, readSubscription } from "./link";
import { type ReplicaPair, quotedName } from "./pair";
import { dropSlot } from "./slots";

/**
 * On the slot that is there already: so that it is one statement that may run inside a transaction, and whoever is killed
 * leaves a slot whose name is known.
 *
 * @param copy whether the rows that are there are copied first; else both sides hold the same.
 */
export async function subscribe(pair: ReplicaPair, replica: Client, copy: boolean): Promise<void> {
  const name = quotedName(pair);
  await runWithConnectionInfo(
    replica,
    `CREATE SUBSCRIPTION ${percent(name)} CONNECTION %L PUBLICATION ${percent(name)}
       WITH (create_slot = false, slot_name = ${percent(quoteLiteral(pair.settings.name))}, copy_data = ${copy})`,
    connectionInfo(pair),
  );
}

/** Another address or password of the source. The worker starts anew only where it differs. */
export async function reconnect(pair: ReplicaPair, replica: Client): Promise<void> {
  await runWithConnectionInfo(
    replica,
    `ALTER SUBSCRIPTION ${percent(quotedName(pair))} CONNECTION %L`,
    connectionInfo(pair),
  );
}

/** For `format`. */
function percent(sql: string): string {
  return sql.replaceAll("%", "%%");
}

/**
 * The subscription alone; the source is not needed. Copying of tables that is under way ends with it.
 *
 * @returns its OID; undefined: there was none.
 */
export async function unsubscribe(pair: ReplicaPair, replica: Client): Promise<number | undefined> {
  const found = await readSubscription(replica, pair.settings.name);
  if (found === undefined) return undefined;
  const name = quotedName(pair);
  await replica.query(`ALTER SUBSCRIPTION ${name} DISABLE`);
  await replica.query(`ALTER SUBSCRIPTION ${name} SET (slot_name = NONE)`);
  await replica.query(`DROP SUBSCRIPTION ${name}`);
  return found.oid;
}

/** What a subscription holds on the source: its slot, and those of tables whose copying was cut off. */
export async function dropSlotsOf(
  source: Client,
  pair: ReplicaPair,
  subscription: number | undefined,
  replicaSystem: string,
): Promise<string[]> {
  const dropped: string[] = [];
  if (await dropSlot(source, pair.settings.name)) dropped.push(pair.settings.name);
  if (subscription === undefined) return dropped;
  for (const name of await readCopySlots(source, subscription, replicaSystem)) {
    if (await dropSlot(source, name)) dropped.push(name);
  }
  return dropped;
}

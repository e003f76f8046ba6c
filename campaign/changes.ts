/** What a release brings: its migration, and what the new version does to the rows when it becomes live. */
import type { Client } from "pg";
import type { Change, Oracle } from "./oracle";
import type { Damage, Migration } from "./plan";
import { databaseOid, followedTables, returning } from "./shop";

const additive = `
  ALTER TABLE shop.orders ADD COLUMN priority int;
  CREATE TABLE shop.remarks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text);
`;

/** Text of the file; null: there is none. */
export const migrationText: Readonly<Record<Migration, string | null>> = {
  none: null,
  additive,
  "deletes rows": `${additive} DELETE FROM shop.orders WHERE id % 10 = 0;`,
  "drops a table": "DROP TABLE shop.visits;",
  "drops a column": "ALTER TABLE shop.orders DROP COLUMN note;",
  truncates: "TRUNCATE shop.lines;",
  "deletes through a trigger": "INSERT INTO shop.archive SELECT id, 'old' FROM shop.orders WHERE id % 5 = 0;",
  "fails half-way": `${additive} ALTER TABLE shop.orders ADD CONSTRAINT never CHECK (amount < 0);`,
};

/** Whether a gate has to refuse it. */
export function mustBeRefused(migration: Migration): boolean {
  return migration !== "none" && migration !== "additive";
}

/** Of what a damage takes, `db:repair` can give back the rows; the rest only a restore. */
export function isRowLoss(damage: Damage): boolean {
  return /rows|truncates/.test(damage);
}

/**
 * Does it, in one transaction, and tells the oracle: these rows are gone by nobody's wish.
 *
 * @param odd the odd tables, quoted.
 */
export async function inflict(damage: Damage, client: Client, oracle: Oracle, odd: readonly string[]): Promise<void> {
  const gone: Change[] = [];
  const run = async (table: string, sql: string): Promise<void> => {
    const { rows } = await client.query<{ key: string }>(sql);
    gone.push(...rows.map(({ key }) => ({ table, key, content: null })));
  };
  const all = (table: string): Promise<void> => run(table, `SELECT ${returning(table)} FROM ${table}`);
  const database = await databaseOid(client);
  await client.query("BEGIN");
  // Whoever writes now waits, so that the transactions of each row have one order.
  await client.query(`LOCK TABLE ${followedTables.join(", ")} IN SHARE ROW EXCLUSIVE MODE`);
  switch (damage) {
    case "none":
      break;
    case "deletes rows":
      await run("shop.lines", `SELECT ${returning("shop.lines")} FROM shop.lines WHERE order_id % 6 = 0`);
      await run("shop.orders", `DELETE FROM shop.orders WHERE id % 6 = 0 RETURNING ${returning("shop.orders")}`);
      break;
    case "truncates a table":
      await all("shop.measures");
      await client.query("TRUNCATE shop.measures");
      break;
    case "drops a table":
      await all("shop.lines");
      await client.query("DROP TABLE shop.lines");
      break;
    case "drops a column":
      await client.query("ALTER TABLE shop.orders DROP COLUMN note");
      break;
    case "deletes rows without a key":
      await run("shop.visits", `DELETE FROM shop.visits WHERE what LIKE '%2' RETURNING ${returning("shop.visits")}`);
      break;
    case "deletes rows of an odd table": {
      const table = odd[0] ?? "shop.visits";
      if (odd.length === 0) await run(table, `DELETE FROM ${table} RETURNING ${returning(table)}`);
      else await client.query(`DELETE FROM ${table}`);
      break;
    }
    case "drops a policy":
      await client.query("DROP POLICY everybody ON shop.orders");
      break;
  }
  const { rows } = await client.query<{ xid: string }>("SELECT pg_current_xact_id()::text AS xid");
  await client.query("COMMIT");
  oracle.record(gone, BigInt(rows[0]!.xid), database);
}

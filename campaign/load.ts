/** People who go on using the shop: each writes transaction after transaction, and only what the server acknowledged counts. */
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import type { Change, Oracle } from "./oracle";
import { Dice } from "./plan";
import { databaseOid, returning } from "./shop";

/** By which a fault knows that a session is not the program's. */
export const writerName = "campaign writer";

/** Between two transactions of one writer. */
const pauseMilliseconds = 100;

export class Load {
  private readonly ending = new AbortController();
  private readonly running: Promise<void>[];
  /** Transactions that were acknowledged. */
  committed = 0;

  /** @param url of the server itself, whatever happens to the network of the commands. */
  constructor(
    private readonly url: string,
    private readonly oracle: Oracle,
    writers: number,
    seed: number,
  ) {
    this.running = Array.from({ length: writers }, (_, place) => this.write(new Dice(seed * 31 + place + 1)));
  }

  /** Ends the writers; then what became of each commit without an answer is asked. */
  async stop(): Promise<void> {
    this.ending.abort();
    await Promise.all(this.running);
  }

  private async write(dice: Dice): Promise<void> {
    /** Orders of this writer: nobody else changes them. */
    const own: string[] = [];
    while (!this.ending.signal.aborted) {
      const client = new Client({
        connectionString: this.url,
        application_name: writerName,
        connectionTimeoutMillis: 5_000,
      });
      client.on("error", () => undefined);
      try {
        await client.connect();
        const database = await databaseOid(client);
        while (!this.ending.signal.aborted) {
          await this.transaction(client, database, dice, own);
          await sleep(pauseMilliseconds);
        }
      } catch {
        // A server that crashed, a table that is gone: people try again.
        await sleep(pauseMilliseconds);
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  }

  private async transaction(client: Client, database: string, dice: Dice, own: string[]): Promise<void> {
    const changes: Change[] = [];
    const run = async (table: string, sql: string, values: unknown[] = []): Promise<Change[]> => {
      const { rows } = await client.query<{ key: string; content: string }>(
        `${sql} RETURNING ${returning(table)}`,
        values,
      );
      const made = rows.map(({ key, content }) => ({ table, key, content }));
      changes.push(...made);
      return made;
    };
    const choice = dice.between(1, 10);
    let order: string | undefined;
    await client.query("BEGIN");
    try {
      if (choice <= 5) {
        const [made] = await run("shop.orders", "INSERT INTO shop.orders (customer, amount) VALUES ($1, $2)", [
          `customer ${dice.between(1, 97)}`,
          dice.between(0, 99_999) / 100,
        ]);
        order = made!.key;
        for (let line = 1; line <= dice.between(0, 3); line++)
          await run("shop.lines", "INSERT INTO shop.lines VALUES ($1, $2, $3)", [order, line, `article ${line}`]);
      } else if (choice <= 7 && own.length > 0) {
        await run("shop.orders", "UPDATE shop.orders SET note = $2 WHERE id = $1", [
          dice.pick(own),
          `n${dice.between(1, 9_999)}`,
        ]);
      } else if (choice === 8) {
        await run("shop.visits", "INSERT INTO shop.visits SELECT 'visit ' || gen_random_uuid(), now()");
      } else if (choice === 9) {
        await run("shop.measures", "INSERT INTO shop.measures SELECT '2026-06-01', gen_random_uuid()::text, random()");
      } else {
        await run("shop.sessions", "INSERT INTO shop.sessions (data) VALUES ('new')");
        const { rows } = await client.query<{ key: string }>(
          "DELETE FROM shop.sessions WHERE id = (SELECT id FROM shop.sessions WHERE data <> 'new' LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id::text AS key",
        );
        changes.push(...rows.map(({ key }) => ({ table: "shop.sessions", key, content: null })));
      }
      if (changes.length === 0) return void (await client.query("ROLLBACK"));
    } catch (error) {
      await client.query("ROLLBACK");
      throw error;
    }
    const { rows } = await client.query<{ xid: string }>("SELECT pg_current_xact_id()::text AS xid");
    const xid = BigInt(rows[0]!.xid);
    try {
      await client.query("COMMIT");
    } catch (error) {
      this.oracle.doubt(changes, xid, database);
      throw error;
    }
    this.oracle.record(changes, xid, database);
    this.committed += 1;
    if (order !== undefined) own.push(order);
  }
}

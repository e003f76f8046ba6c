/**
 * A session that the server ends, or a query that it breaks off, while rows are read ahead or written down: whoever
 * reads or writes next hears of it, and nobody waits for an answer that never comes.
 */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import type { Client } from "pg";
import { connect } from "../../scripts/database/connect";
import { parseTarget } from "../../scripts/database/target";
import { ReadAhead } from "../../scripts/fingerprint/readAhead";
import { FoundRows } from "../../scripts/repair/foundRows";
import { freshDatabase, withSession } from "../servers/postgres";

describe("a session that ends", function () {
  this.timeout(20_000);
  let url: string;
  const opened: Client[] = [];

  before(async () => {
    url = await freshDatabase("lost_session");
  });
  after(() => Promise.all(opened.map((client) => client.end())));

  async function open(): Promise<Client> {
    const client = await connect(parseTarget(url, "test"));
    opened.push(client);
    return client;
  }

  async function terminate(client: Client): Promise<void> {
    const ended = new Promise<void>((resolve) => client.once("end", resolve));
    const { processID } = client as unknown as { processID: number };
    await withSession(url, (other) => other.query("SELECT pg_terminate_backend($1)", [processID]));
    await ended;
  }

  type Numbers = ReadAhead<{ n: number }, number>;

  const rows = (query: string, client: Client): Numbers => new ReadAhead(client, query, ({ n }) => n);

  async function readAll(reader: Numbers): Promise<number> {
    for (let count = 0; ; count++) if ((await reader.next()) === undefined) return count;
  }

  it("while nobody waits for its next rows: their reader hears of it, and is closed", async () => {
    const client = await open();
    const reader = rows("SELECT n FROM generate_series(1, 20000) n", client);
    assert.equal(await reader.next(), 1);
    await terminate(client);
    await assert.rejects(readAll(reader), /Connection terminated|terminating connection/);
    await reader.close();
  });

  it("before its rows were all wanted: their reader is closed", async () => {
    const client = await open();
    const reader = rows("SELECT n FROM generate_series(1, 20000) n", client);
    assert.equal(await reader.next(), 1);
    await terminate(client);
    await reader.close();
  });

  it("after its last row, before the server is ready again: their reader hears of it, and is closed", async () => {
    const client = await open();
    const reader = rows("SELECT n FROM generate_series(1, 10) n", client);
    const { connection } = client as unknown as { connection: { stream: Socket; sync: () => void } };
    connection.sync = () => connection.stream.destroy();
    await assert.rejects(readAll(reader), /Connection terminated/);
    await reader.close();
  });

  it("not, after a query that the server broke off: the next one is answered", async () => {
    const client = await open();
    const reader = rows("SELECT 1 / (7000 - n) AS n FROM generate_series(1, 20000) n", client);
    assert.equal(await reader.next(), 0);
    // Answered after the error of the rows that were read ahead.
    await client.query("SELECT 1");
    await assert.rejects(readAll(reader), /division by zero/);
    await reader.close();
    assert.equal((await client.query("SELECT 1")).rowCount, 1);
  });

  it("while found rows are written down: whoever finds the next hears of it", async () => {
    const found = new FoundRows(() => Promise.resolve(parseTarget(url, "test")));
    const { onMissing } = found.listener("public.t", ["missing"]);
    await onMissing!("1", "(0,1)");
    await withSession(url, async (other) => {
      const { rowCount } = await other.query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY pg_temp.found%'",
      );
      assert.equal(rowCount, 1);
    });
    await assert.rejects(
      async () => {
        for (let place = 1; ; place++) await onMissing!("1", `(0,${place})`);
      },
      (error: Error) => /terminat/i.test(error.message),
    );
    await found.close();
  });
});

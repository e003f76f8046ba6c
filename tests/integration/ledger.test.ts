/** A ledger that is written while it is backed up: in every restore each account is the sum of its transfers, and all sum up to 0. */
import assert from "node:assert/strict";
import { createBackup } from "../../scripts/backup/createBackup";
import { withConnection } from "../../scripts/database/connect";
import { type DatabaseTarget, parseTarget } from "../../scripts/database/target";
import { restoreBackup } from "../../scripts/restore/restoreBackup";
import { openStore } from "../../scripts/store/openStore";
import { randomNumbers, seeds } from "../servers/campaign";
import { freshStore } from "../servers/crm";
import { freshDatabase } from "../servers/postgres";

const accounts = 2_000;
const writers = 3;

describe("a ledger under load", function () {
  this.timeout(120_000);

  async function transfer(target: DatabaseTarget, seed: number, stop: AbortSignal): Promise<number> {
    const random = randomNumbers(seed);
    const account = (): number => 1 + Math.floor(random() * accounts);
    return withConnection(target, async (client) => {
      let done = 0;
      for (; !stop.aborted; done += 1) {
        const [from, to] = [account(), account()].sort((a, b) => a - b) as [number, number];
        const amount = Math.floor(random() * 1000) - 500;
        await client.query("BEGIN");
        await client.query("INSERT INTO public.transfers (source, target, amount) VALUES ($1, $2, $3)", [
          from,
          to,
          amount,
        ]);
        await client.query("UPDATE public.accounts SET balance = balance - $2 WHERE id = $1", [from, amount]);
        await client.query("UPDATE public.accounts SET balance = balance + $2 WHERE id = $1", [to, amount]);
        await client.query("COMMIT");
      }
      return done;
    });
  }

  interface Books {
    readonly sum: string;
    readonly transfers: number;
    readonly wrong: number;
  }

  const books = (target: DatabaseTarget): Promise<Books> =>
    withConnection(target, async (client) => {
      const { rows } = await client.query<Books>(
        `WITH moved AS (SELECT id, sum(amount) AS amount
                          FROM (SELECT source AS id, -amount AS amount FROM public.transfers
                                UNION ALL SELECT target, amount FROM public.transfers) m GROUP BY id)
         SELECT (SELECT sum(balance)::text FROM public.accounts) AS sum, (SELECT count(*)::int FROM public.transfers) AS transfers,
                (SELECT count(*)::int FROM public.accounts a LEFT JOIN moved USING (id)
                  WHERE a.balance <> COALESCE(moved.amount, 0)) AS wrong`,
      );
      return rows[0]!;
    });

  it("is in balance in every restore", async () => {
    const target = parseTarget(await freshDatabase("ledger"), "test");
    await withConnection(target, (client) =>
      client.query(
        `SET search_path = public;
         CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, filler text);
         CREATE TABLE transfers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, source int NOT NULL REFERENCES accounts,
                                 target int NOT NULL REFERENCES accounts, amount bigint NOT NULL);
         INSERT INTO accounts SELECT n, 0, repeat('x', 500) FROM generate_series(1, ${accounts}) n`,
      ),
    );
    const stop = new AbortController();
    const writing = Array.from({ length: writers }, (_, writer) => transfer(target, writer + 1, stop.signal));
    try {
      const store = openStore(freshStore());
      for (const seed of seeds(20)) {
        const before = await books(target);
        const { manifest } = await createBackup({
          ...{ target, store, tier: "manual", runId: `ledger${seed}`, jobs: 2 },
          pieceBytes: 128 * 1024,
        });
        const after = await books(target);
        assert.ok(after.transfers > before.transfers, "nothing was written meanwhile: this proves nothing");
        assert.ok(manifest.archives.filter(({ format }) => format === "copy").length > 2, "the table was not divided");
        const copy = parseTarget(await freshDatabase("books"), "test");
        await restoreBackup({ store, manifest, target: copy });
        const restored = await books(copy);
        assert.deepEqual({ ...restored, transfers: 0 }, { sum: "0", transfers: 0, wrong: 0 });
        assert.ok(restored.transfers >= before.transfers && restored.transfers <= after.transfers);
      }
    } finally {
      stop.abort();
      assert.ok((await Promise.all(writing)).every((done) => done > 0));
    }
  });
});

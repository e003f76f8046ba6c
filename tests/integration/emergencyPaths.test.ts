/**
 * `npm run emergency`: each kind of damage, from injected to verified and unfrozen, while people go on writing: what the
 * ladder recommends and why, that the damaged state is stored before anything changes it, and that no write is lost.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { listSuspects, readManifest } from "../../scripts/backup/manifest";
import { type WayBack, emergencySteps, readEmergency } from "../../scripts/control/emergency";
import { readFreezes } from "../../scripts/control/freeze";
import type { Assessment, LadderRung, Rung } from "../../scripts/incident/assessment";
import type { EmergencyResult } from "../../scripts/incident/emergency";
import type { EmergencyPlanFile } from "../../scripts/incident/emergencyChoice";
import { factsOf } from "../../scripts/incident/incidentFacts";
import { readIncident } from "../../scripts/record/incident";
import { restoreBeside } from "../../scripts/restore/restoreBeside";
import { operationSettingsSchema } from "../../scripts/settings";
import { closeCrmClients } from "../servers/crm";
import { type ProtectedCrm, protectedCrm } from "../servers/damage";
import { copyOnSharedCluster, quietSettings, respondTo } from "../servers/emergency";
import { ask } from "../servers/postgres";

const settings = operationSettingsSchema.parse({ ...quietSettings, integrationCommand: "node -e 0" });
interface Damage {
  readonly name: string;
  /** In the database, or, where it is the database that goes, in another one of its server. */
  readonly inject: (crm: ProtectedCrm) => Promise<unknown>;
  /** Beside person and reason. Default: nothing, so that the recommendation is followed. */
  readonly plan?: Partial<EmergencyPlanFile>;
  readonly way: WayBack;
  readonly recommended: { readonly rung: Rung | null; readonly reason: RegExp };
  /** Of the rungs below the chosen one, mildest first: why they are not taken. */
  readonly refused: Readonly<Partial<Record<Rung, RegExp>>>;
  /** Holds in the stored damaged state, and nowhere else; null: there is none. */
  readonly seen: string | null;
}

const query =
  (sql: string) =>
  (crm: ProtectedCrm): Promise<unknown> =>
    ask(crm.url, sql);

/** Of the server's own database, where one can be dropped from. */
const outside = (crm: ProtectedCrm): string => crm.url.replace(/\/[^/]*$/, "/postgres");
const nameOf = (crm: ProtectedCrm): string => new URL(crm.url).pathname.slice(1);
const beside = (crm: ProtectedCrm, name: string): string => crm.url.replace(/\/[^/]*$/, `/${name}`);
const noPlatform = { "deploy:rollback": /neither Railway nor Vercel is configured/ } as const;
const columnGone = "NOT EXISTS (SELECT FROM information_schema.columns WHERE column_name = 'body')";

const damages: readonly Damage[] = [
  {
    name: "rows deleted",
    inject: query("DELETE FROM tasks WHERE id % 3 = 0"),
    way: "db:repair",
    recommended: { rung: "db:repair", reason: /^rows are damaged in public\.tasks; it is the mildest way, and keeps/ },
    refused: noPlatform,
    seen: "(SELECT count(*) FROM tasks) = 400",
  },
  {
    name: "a table truncated",
    inject: query("TRUNCATE chat_messages"),
    way: "db:repair",
    recommended: { rung: "db:repair", reason: /^rows are damaged in public\.chat_messages; it is the mildest way/ },
    refused: noPlatform,
    seen: "NOT EXISTS (SELECT FROM chat_messages)",
  },
  {
    name: "values corrupted",
    inject: query("UPDATE clients SET email = NULL"),
    way: "db:repair",
    recommended: { rung: "db:repair", reason: /^rows are damaged in public\.clients; it is the mildest way/ },
    refused: noPlatform,
    seen: "(SELECT count(email) FROM clients) = 0",
  },
  {
    name: "a few values corrupted, which only a person can tell",
    inject: query("UPDATE clients SET email = 'nobody' WHERE id <= 5"),
    plan: { recover: "db:repair", columns: ["public.clients:email"] },
    way: "db:repair",
    recommended: { rung: null, reason: /^nothing that can be compared is damaged$/ },
    refused: { ...noPlatform, "db:repair": /^no row is missing$/ },
    seen: "(SELECT count(*) FROM clients WHERE email = 'nobody') = 5",
  },
  {
    name: "a column dropped",
    inject: query("ALTER TABLE chat_messages DROP COLUMN body"),
    way: "db:emergency-restore",
    recommended: {
      rung: "db:emergency-restore",
      reason: /^what is gone is more than rows: public\.chat_messages: a repair of rows cannot bring that back$/,
    },
    refused: { ...noPlatform, "db:repair": /^what is gone is more than rows: public\.chat_messages$/ },
    seen: columnGone,
  },
  {
    name: "a column dropped, where the database cannot be renamed",
    inject: query("ALTER TABLE chat_messages DROP COLUMN body"),
    plan: { inPlace: true },
    way: "db:emergency-restore",
    recommended: { rung: "db:emergency-restore", reason: /^what is gone is more than rows/ },
    refused: { ...noPlatform, "db:repair": /^what is gone is more than rows: public\.chat_messages$/ },
    seen: columnGone,
  },
  {
    name: "the whole database dropped",
    inject: (crm) => ask(outside(crm), `DROP DATABASE ${nameOf(crm)} WITH (FORCE)`),
    way: "db:emergency-restore",
    recommended: {
      rung: "db:emergency-restore",
      reason: /^the database is gone: only a restore of all of it brings it back, and nothing is left to lose$/,
    },
    refused: { ...noPlatform, "db:repair": /^there is no database to put rows back into$/ },
    seen: null,
  },
];

/** Somebody who goes on writing, connecting again whenever the connection or the database is gone. */
class Writer {
  /** What the database said that it has. */
  readonly acknowledged: number[] = [];
  readonly #ending = new AbortController();
  readonly #work: Promise<void>;

  constructor(private readonly url: string) {
    this.#work = this.#write();
  }

  async written(more: number): Promise<void> {
    const before = this.acknowledged.length;
    while (this.acknowledged.length < before + more) await sleep(5);
  }

  async end(): Promise<void> {
    this.#ending.abort();
    await this.#work;
  }

  async #write(): Promise<void> {
    for (let next = 1; !this.#ending.signal.aborted; next++) {
      const client = new Client({ connectionString: this.url });
      client.on("error", () => undefined);
      try {
        await client.connect();
        for (; !this.#ending.signal.aborted; next++) {
          await client.query(`INSERT INTO "Ünsorted ""Notes""" VALUES ('later ${next}')`);
          this.acknowledged.push(next);
          await sleep(10);
        }
      } catch {
        await sleep(10);
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  }
}

describe("each path of an emergency", function () {
  this.timeout(240_000);
  let assessed: Assessment | undefined;
  copyOnSharedCluster();
  after(closeCrmClients);

  const respond = (crm: ProtectedCrm, plan: Partial<EmergencyPlanFile> = {}): Promise<EmergencyResult> =>
    respondTo(crm, { plan, settings, whenAssessed: (assessment) => (assessed = assessment) });

  const whole = { clients: 200, emails: 200, tasks: 600, messages: 1_000 };
  async function countsOf(crm: ProtectedCrm): Promise<unknown> {
    const [counts] = await ask(
      crm.url,
      `SELECT (SELECT count(*)::int FROM clients) AS clients, (SELECT count(*)::int FROM clients WHERE email LIKE '%@%') AS emails,
              (SELECT count(*)::int FROM tasks) AS tasks, (SELECT count(body)::int FROM chat_messages) AS messages`,
    );
    return counts;
  }

  const holds = async (url: string, condition: string): Promise<boolean> =>
    (await ask<{ holds: boolean }>(url, `SELECT ${condition} AS holds`))[0]!.holds;

  async function notesIn(url: string): Promise<Set<number>> {
    const rows = await ask<{ number: string }>(
      url,
      `SELECT substr(remark, 7) AS number FROM "Ünsorted ""Notes""" WHERE remark LIKE 'later %'`,
    );
    return new Set(rows.map(({ number }) => Number(number)));
  }

  for (const { name, inject, plan = {}, way, recommended, refused, seen } of damages) {
    it(`${name}, under load: ${way}, verified, and releases go on`, async () => {
      const crm = await protectedCrm();
      const writer = new Writer(crm.url);
      await writer.written(3);
      await inject(crm);
      const atDamage = writer.acknowledged.length;
      const result = await respond(crm, plan).finally(() => writer.end());

      assert.equal(assessed?.recommendation.rung, recommended.rung);
      assert.match(assessed?.recommendation.reason ?? "", recommended.reason);
      for (const [rung, why] of Object.entries(refused)) {
        const found: LadderRung | undefined = assessed?.ladder.find((each) => each.rung === rung);
        assert.equal(found?.possible, false, rung);
        assert.match(found.detail, why);
      }
      assert.equal(result.choice?.way, way);
      assert.deepEqual(await countsOf(crm), whole);

      assert.deepEqual(
        result.steps.map(({ step, withinStrategy }) => [step, withinStrategy]),
        emergencySteps.map((step) => [step, true]),
      );
      assert.deepEqual(await readFreezes(crm.store), []);
      assert.equal((await readEmergency(crm.store))?.state, "done");
      const incident = await readIncident(crm.store, result.incident ?? "");
      const facts = factsOf(incident);
      assert.equal(incident.kind, "emergency");
      assert.match(facts.mitigated?.by ?? "", /^nothing of backup_\w+ is missing/);
      assert.deepEqual(
        facts.commands.map(({ command, exitCode }) => [command.split(" ")[0], exitCode]),
        emergencySteps.map((step) => [step === "recover" ? way : step, 0]),
      );

      const stored = [...(await listSuspects(crm.store))];
      const backupStep = result.steps.find(({ step }) => step === "db:backup")!;
      if (seen === null) {
        assert.deepEqual([stored, result.damaged, backupStep.detail], [[], null, "there is no database to store"]);
      } else {
        assert.deepEqual(stored, [result.damaged]);
        const manifest = await readManifest(crm.store, { tier: "manual", name: result.damaged ?? "" });
        const database = `${nameOf(crm)}_as_it_was`;
        await restoreBeside({ store: crm.store, manifest, live: crm.live, database });
        assert.equal(await holds(beside(crm, database), seen), true, `the stored state shows the damage: ${seen}`);
        assert.equal(await holds(crm.url, seen), false);
      }

      // In place nothing stays beside, so that what is written while it is replaced is in the stored state or gone.
      if (plan.inPlace === true) return;
      const aside = /the former database is (\w+)/.exec(
        result.steps.find(({ step }) => step === "recover")!.detail,
      )?.[1];
      const kept = await notesIn(crm.url);
      if (aside !== undefined && seen !== null) for (const note of await notesIn(beside(crm, aside))) kept.add(note);
      assert.deepEqual(
        writer.acknowledged.slice(atDamage).filter((note) => !kept.has(note)),
        [],
        "what was written after the damage is in the database, or in the one that stays beside it",
      );
      assert.ok(writer.acknowledged.length > atDamage);
    });
  }

  it("a dropped database that somebody makes again before the restore is stored first, if it holds a row", async () => {
    const crm = await protectedCrm();
    await ask(outside(crm), `DROP DATABASE ${nameOf(crm)} WITH (FORCE)`);
    const result = await respondTo(crm, {
      whenAssessed: async () => {
        await ask(outside(crm), `CREATE DATABASE ${nameOf(crm)}`);
        await ask(crm.url, "CREATE TABLE attempts AS SELECT 1 AS number");
      },
    });
    assert.equal(result.choice?.gone, true);
    assert.deepEqual([...(await listSuspects(crm.store))], [result.damaged]);
    assert.deepEqual(await countsOf(crm), whole);
  });

  it("nothing damaged: nothing is changed, and it is verified all the same", async () => {
    const crm = await protectedCrm();
    const result = await respond(crm);
    assert.equal(result.choice?.way, "nothing");
    assert.deepEqual([result.damaged, (await listSuspects(crm.store)).size], [null, 0]);
  });
});

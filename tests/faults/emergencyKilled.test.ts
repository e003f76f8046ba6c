/**
 * An emergency that is killed at every step and in the middle of it, asked to stop at every line, or cut off from its store
 * at every write: nothing half-done looks done, the damaged state is stored once before anything changes it, and the next
 * run goes on to a good end.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { listSuspects } from "../../scripts/backup/manifest";
import { Interrupted, Unavailable } from "../../scripts/contract/failure";
import {
  type Emergency,
  type EmergencyStep,
  emergencySteps,
  readEmergency,
  takeEmergencyTurn,
} from "../../scripts/control/emergency";
import { readFreezes } from "../../scripts/control/freeze";
import { listIncidents } from "../../scripts/record/incident";
import { serveLoopback } from "../../scripts/rehearsal/loopbackServer";
import { emergencyKey } from "../../scripts/store/layout";
import type { Store } from "../../scripts/store/store";
import { isCampaign } from "../servers/campaign";
import { runCli, startCli } from "../servers/cli";
import { closeCrmClients } from "../servers/crm";
import { type ProtectedCrm, protectedCrm } from "../servers/damage";
import { copyOnSharedCluster, quietSettings, respondTo } from "../servers/emergency";
import { ask, sharedCluster } from "../servers/postgres";
import { temporaryFolder } from "../servers/stores";

/** The two ways back that change the database: what is damaged, and when it is whole again. */
const ways = {
  "db:repair": {
    damage: "DELETE FROM tasks WHERE id <= 300",
    damaged: "(SELECT count(*) FROM tasks) = 300",
    whole: "(SELECT count(*) FROM tasks) = 600",
  },
  "db:emergency-restore": {
    damage: "ALTER TABLE chat_messages DROP COLUMN body",
    damaged: "NOT EXISTS (SELECT FROM information_schema.columns WHERE column_name = 'body')",
    whole: "EXISTS (SELECT FROM information_schema.columns WHERE column_name = 'body')",
  },
} as const;
type Way = keyof typeof ways;

const stateOf = ({ steps }: Emergency, step: EmergencyStep): string =>
  steps.find((each) => each.step === step)?.state ?? "none";

/** Whatever ended the run, and whenever. */
async function demandSound(crm: ProtectedCrm, way: Way, at: string): Promise<void> {
  const emergency = await readEmergency(crm.store);
  if (emergency === undefined) return;
  const [is] = await ask<{ damaged: boolean; whole: boolean }>(
    crm.url,
    `SELECT ${ways[way].damaged} AS damaged, ${ways[way].whole} AS whole`,
  );
  assert.notEqual(is!.damaged, is!.whole, `${at}: all of it or nothing`);
  const stored = await listSuspects(crm.store);
  assert.ok(stored.size <= 1, `${at}: stored ${stored.size} times`);
  if (is!.whole) assert.equal(stored.size, 1, `${at}: changed before it was stored`);
  assert.ok(is!.whole || stateOf(emergency, "recover") !== "done", `${at}: looks recovered and is not`);
  assert.ok(stored.size === 1 || stateOf(emergency, "db:backup") !== "done", `${at}: looks stored and is not`);
  const isOver = ["begun", "done"].includes(stateOf(emergency, "deploy:unfreeze"));
  if (stateOf(emergency, "deploy:freeze") === "done" && !isOver)
    assert.equal((await readFreezes(crm.store)).length, 1, `${at}: releases are frozen`);
}

/** After the run that nothing ended. */
async function demandOver(crm: ProtectedCrm, way: Way): Promise<void> {
  await demandSound(crm, way, "at the end");
  const emergency = (await readEmergency(crm.store))!;
  assert.equal(emergency.state, "done");
  assert.deepEqual([...(await listSuspects(crm.store))], [emergency.damaged]);
  assert.deepEqual(await readFreezes(crm.store), []);
  assert.deepEqual(await listIncidents(crm.store, "open"), [emergency.incident]);
  const [row] = await ask<{ whole: boolean }>(crm.url, `SELECT ${ways[way].whole} AS whole`);
  assert.ok(row!.whole);
}

async function damagedCrm(way: Way): Promise<ProtectedCrm> {
  const crm = await protectedCrm();
  await ask(crm.url, ways[way].damage);
  return crm;
}

describe("an emergency that is ended", function () {
  this.timeout(300_000);
  copyOnSharedCluster();
  after(closeCrmClients);

  /** Where its process is killed: each step when it is announced (in a campaign), and in its middle. */
  const points: readonly { readonly step: string; readonly middle: RegExp | "telling the team" }[] = [
    { step: "deploy:freeze", middle: "telling the team" },
    { step: "db:assess", middle: /^comparing with/m },
    { step: "db:backup", middle: /^schema-pre\.dump\.zst: /m },
    { step: "recover (db:emergency-restore)", middle: /about to take the place of/ },
    { step: "db:emergency-verify", middle: /5 of 7[^]*^comparing with/m },
    { step: "test:emergency", middle: /^testing what was recovered/m },
    { step: "deploy:unfreeze", middle: "telling the team" },
  ];

  it("kill -9 at each step and in its middle; a second operator waits (3), SIGTERM is 130, and the last run ends well", async () => {
    const way = "db:emergency-restore";
    const crm = await damagedCrm(way);
    let whenTold = (): unknown => undefined;
    const team = await serveLoopback(async () => {
      whenTold();
      return { status: 200, body: "" };
    });
    const plan = join(temporaryFolder(), "plan.json");
    writeFileSync(plan, JSON.stringify({ person: "Ada", reason: "a column is gone" }));
    const integrationCommand = `node -e 'console.log("testing what was recovered"); setTimeout(() => 0, 300)'`;
    const words = ["emergency", "--plan", plan, "--yes"];
    const env = {
      ...{ DATABASE_URL: crm.url, BACKUP_STORE: crm.address, NOTIFY_WEBHOOK_URL: team.url },
      DBPROTECT_SETTINGS: JSON.stringify({ ...quietSettings, integrationCommand }),
      SCRATCH_DATABASE_URL: (await sharedCluster()).url,
    };
    const endAt = async (point: RegExp | "telling the team", signal: NodeJS.Signals): Promise<number | null> => {
      const child = startCli(words, env);
      let isEnding = false;
      // Once: a signal that comes while a process exits finds its handler gone.
      const end = (): void => {
        if (!isEnding) child.process.kill(signal);
        isEnding = true;
      };
      whenTold = () => point === "telling the team" && end();
      child.process.stderr?.on("data", () => point !== "telling the team" && point.test(child.stderr()) && end());
      const { code, stderr } = await child.ended;
      assert.equal((await readEmergency(crm.store))?.state, "under way", `${String(point)}: ${stderr}`);
      await demandSound(crm, way, String(point));
      return code;
    };
    for (const [place, { step, middle }] of points.entries()) {
      const announced = new RegExp(`^${place + 1} of 7: ${step.replace(/[()]/g, "\\$&")}(, attempt \\d+)?$`, "m");
      for (const point of isCampaign ? [announced, middle] : [middle])
        assert.equal(await endAt(point, "SIGKILL"), null, String(point));
      if (step === "test:emergency") assert.equal(await endAt(middle, "SIGTERM"), 130);
    }
    await team.close();
    const turn = await takeEmergencyTurn(crm.store, "first", (current) => current!);
    const second = await runCli(words, env);
    assert.equal(second.code, 3, second.stderr);
    assert.match(second.stderr, /an emergency is being carried out: first/);
    await turn.end();
    const last = await runCli(words, env);
    assert.equal(last.code, 0, last.stderr);
    assert.match(last.stderr, /goes on with emergency [^]*6 of 7: test:emergency: done before/);
    await demandOver(crm, way);
  });

  // The repair's own transaction is shown elsewhere; what is an emergency's is the same on both ways.
  for (const way of isCampaign
    ? (["db:emergency-restore", "db:repair"] as const)
    : (["db:emergency-restore"] as const)) {
    it(`${way}, asked to stop at every line that it says`, async () => {
      const crm = await damagedCrm(way);
      const stoppedAt = new Set<string>();
      for (;;) {
        const controller = new AbortController();
        let at: string | undefined;
        const onProgress = (line: string): void => {
          const kind = line.replace(/\d[\d.:TZ_-]*/g, "#");
          if (at !== undefined || stoppedAt.has(kind)) return;
          stoppedAt.add((at = kind));
          controller.abort(new Interrupted("stopped"));
        };
        const failure = await failureOf(respondTo(crm, { onProgress, signal: controller.signal }));
        await demandSound(crm, way, at ?? "the end");
        if (failure === undefined) break;
        if (at === undefined) throw failure;
      }
      assert.ok(stoppedAt.size > 15, [...stoppedAt].join("\n"));
      await demandOver(crm, way);
    });

    it(`${way}, cut off from its store at every kind of write, as a process that is killed`, async () => {
      const crm = await damagedCrm(way);
      const seen = new Set<string>();
      for (;;) {
        const cut = new CutStore(crm.store, seen);
        const failure = await failureOf(respondTo(crm, { store: cut.store }));
        await demandSound(crm, way, cut.at ?? "the end");
        if (failure === undefined) break;
        if (cut.at === undefined) throw failure;
        // Only that it is over was written last: the next run would be another emergency.
        if ((await readEmergency(crm.store))?.state === "done") break;
        await releaseTurn(crm.store);
      }
      for (const step of emergencySteps)
        assert.ok(
          [...seen].some((kind) => kind.includes(`${step} begun`)),
          step,
        );
      await demandOver(crm, way);
    });
  }
});

async function failureOf(work: Promise<unknown>): Promise<Error | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    assert.ok(error instanceof Error);
    return error;
  }
}

/** What a dead process leaves behind is free at once; this one lives. */
async function releaseTurn(store: Store): Promise<void> {
  const found = await store.readVersioned(emergencyKey);
  if (found === undefined) return;
  const document = { ...(JSON.parse(found.body.toString()) as Emergency), turn: null };
  assert.ok(await store.swap(emergencyKey, Buffer.from(JSON.stringify(document)), found.version));
}

/** A store that is gone from a write on of a kind that was not seen before: half of the kinds are written, half are not. */
class CutStore {
  /** The kind of write at which it went. */
  at: string | undefined;
  readonly store: Store;

  constructor(inner: Store, seen: Set<string>) {
    const write = async <T>(kind: string, work: () => Promise<T>): Promise<T> => {
      this.#demandThere();
      if (seen.has(kind)) return work();
      seen.add(kind);
      const isWritten = seen.size % 2 === 0;
      if (isWritten) await work();
      this.at = kind;
      throw gone();
    };
    this.store = new Proxy(inner, {
      get: (target, name) => {
        const method = target[name as keyof Store];
        if (typeof method !== "function" || name === "pageOf") return method;
        return async (...args: unknown[]) => {
          const work = () => (method as (...given: unknown[]) => Promise<unknown>).apply(target, args);
          if (name === "create") {
            const kind = `create ${String(args[0]).replace(/[\d_]{2,}|[0-9a-f]{8}/g, "#")}`;
            return write(kind, work).finally(() => args[1] instanceof Readable && args[1].destroy());
          }
          if (name === "swap") return write(`swap ${String(args[0])} ${progressOf(args)}`, work);
          this.#demandThere();
          return work();
        };
      },
    });
  }

  #demandThere(): void {
    if (this.at !== undefined) throw gone();
  }
}

const gone = (): Unavailable => new Unavailable("the process is dead");

/** Of the emergency's document: the first step that is not done, how far it is, and what is known. */
function progressOf([key, body]: unknown[]): string {
  if (key !== emergencyKey) return "";
  const { steps, choice, damaged, incident, state, turn } = JSON.parse(String(body)) as Emergency;
  const open = steps.find((each) => each.state !== "done");
  const known = [incident, choice, damaged].map((fact) => (fact === null ? "-" : "+")).join("");
  return `${open === undefined ? state : `${open.step} ${open.state}`} ${known}${turn === null ? " free" : ""}`;
}

/** The rehearsal as people start it: every scene's verdict, its report, and that nothing of it is left behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { chooseScenes, type NumberedScene } from "../../scripts/rehearsal/chooseScenes";
import { rehearsalResultSchema, Rehearsal, type RehearsalResult } from "../../scripts/rehearsal/rehearse";
import type { Scene } from "../../scripts/rehearsal/scenes";
import { renderReport } from "../../scripts/report/html/renderReport";
import { reportOn, sceneTable } from "../../scripts/report/rehearsalReport";
import { skip } from "../skip";

/** Where processes cannot be told by what they were started with. */
const noProc = "no /proc on this system";

const clone = join(__dirname, "../..");

/** Short, because a PostgreSQL server's socket lies below it; and open to the user that the servers run as. */
function temporaryFolder(): string {
  const folder = mkdtempSync("/tmp/dbpt-");
  chmodSync(folder, 0o755);
  return folder;
}

interface Relative {
  readonly pid: number;
  readonly commandLine: string;
}

/** Processes that got this temporary folder as an environment variable or as an argument: a rehearsal's whole family. */
function familyOf(folder: string): Relative[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && entry !== String(process.pid))
    .map((pid) => ({ pid: Number(pid), commandLine: readOr(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim() }))
    .filter(({ pid, commandLine }) => `${commandLine} ${readOr(`/proc/${pid}/environ`)}`.includes(folder));
}

/** Of a family those that may live on: the gate's scratch servers, which have a deadline of their own, and their keepers. */
function withDeadline(family: readonly Relative[]): Relative[] {
  const keepers = family.filter(({ commandLine }) => /keeper\.js .*"deadline"/.test(commandLine));
  const folders = keepers.map(({ commandLine }) => /"folder":"([^"]+)"/.exec(commandLine)?.[1] ?? "none");
  return family.filter(({ commandLine }) => folders.some((folder) => commandLine.includes(folder)));
}

function readOr(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the process ended meanwhile
  }
}

describe("npm start", function () {
  this.timeout(400_000);
  let folder: string;
  let result: RehearsalResult;
  let exitCode: number | null;

  before(async () => {
    folder = temporaryFolder();
    const child = spawn("npm", ["start", "--silent", "--", "--scenes", "all", "--json"], {
      cwd: clone,
      // What the user's own environment says must not matter: this address leads nowhere.
      env: {
        ...process.env,
        TMPDIR: folder,
        DATABASE_URL: "postgres://127.0.0.1:1/none",
        BACKUP_STORE: "file:///none",
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const closed = once(child, "close") as Promise<[number | null]>;
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    [exitCode] = await closed;
    try {
      result = rehearsalResultSchema.parse(JSON.parse(stdout));
    } catch (error) {
      throw new Error(`stdout is not the rehearsal's document: ${stdout}\n${stderr}`, { cause: error });
    }
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const { number, name, expected } of chooseScenes("all")) {
    it(`scene ${number}, ${name}: ${expected}`, () => {
      const scene = result.scenes[number - 1];
      assert.equal(scene?.name, name);
      assert.deepEqual(
        scene.evidence.filter(({ holds }) => !holds),
        [],
      );
      assert.equal(scene.actual, expected);
    });
  }

  it("passes with exit 0", () => {
    assert.equal(result.verdict, "pass");
    assert.equal(exitCode, 0);
  });

  it("leaves its report and nothing else", () => {
    assert.match(readFileSync(result.report, "utf8"), /<title>Rehearsal of a protected deployment: Passed<\/title>/);
    assert.doesNotMatch(readFileSync(result.report, "utf8"), /sb_(?:secret|publishable)_of-/);
    assert.deepEqual(readdirSync(dirname(result.report)), ["report.html"]);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith("dbp-")),
      [],
    );
  });

  it("leaves no process behind", function () {
    if (!existsSync("/proc/self/environ")) return skip(this, noProc);
    assert.deepEqual(familyOf(folder), []);
  });
});

describe("a rehearsal that is killed", function () {
  this.timeout(120_000);

  before(function () {
    if (!existsSync("/proc/self/environ")) skip(this, noProc);
  });

  /** Kills a rehearsal when its family has a member like `member`, and waits for the rest of the family to end. */
  async function killWhen(member: RegExp): Promise<void> {
    const folder = temporaryFolder();
    const child = spawn(process.execPath, [join(clone, "bin", "dbprotect.js"), "rehearse"], {
      env: { ...process.env, TMPDIR: folder },
      stdio: "ignore",
    });
    while (!familyOf(folder).some(({ commandLine }) => member.test(commandLine))) {
      assert.equal(child.exitCode, null, "the rehearsal ended by itself");
      await sleep(100);
    }
    child.kill("SIGKILL");
    const living = (): Relative[] => {
      const family = familyOf(folder);
      const allowed = withDeadline(family);
      return family.filter((relative) => !allowed.some(({ pid }) => pid === relative.pid));
    };
    for (let tries = 0; tries < 150 && living().length > 0; tries++) await sleep(200);
    assert.deepEqual(living(), []);
    for (const { pid } of withDeadline(familyOf(folder))) process.kill(pid);
    for (let tries = 0; tries < 50 && familyOf(folder).length > 0; tries++) await sleep(200);
    rmSync(folder, { recursive: true, force: true });
  }

  for (const [what, member] of [
    ["its servers", /postgres -D /],
    ["the stand-in engine and its provider", /cmd\/dynamic-provider/],
    ["a gate that restores", /keeper\.js .*"deadline"/],
  ] as const) {
    it(`takes ${what} with it`, () => killWhen(member));
  }
});

describe("a rehearsal whose scenes end differently", function () {
  this.timeout(120_000);

  it("fails, and says what differs", async () => {
    let played = 0;
    const scene = (name: string, act: Scene["act"]): NumberedScene => ({
      ...{ number: ++played, name, does: "Nothing.", expected: "released", act },
    });
    const never = (): never => assert.fail("no scene of this test runs the program");
    const rehearsal = new Rehearsal({
      engine: {
        engine: { name: "in-process", up: never, prepare: () => undefined, close: () => undefined },
        reason: "none",
      },
      keep: false,
    });
    try {
      await rehearsal.open(() => undefined);
      const play = (name: string, act: Scene["act"]) => rehearsal.play(scene(name, act), () => undefined);
      const holding = { claim: "a claim", found: "the same", holds: true };
      assert.equal((await play("good", async () => ({ actual: "released", evidence: [holding] }))).asExpected, true);
      assert.equal((await play("other", async () => ({ actual: "halts", evidence: [holding] }))).asExpected, false);
      const different = { ...holding, found: "something else", holds: false };
      assert.equal((await play("odd", async () => ({ actual: "released", evidence: [different] }))).asExpected, false);
      assert.equal((await play("broken", () => Promise.reject(new Error("no disk")))).actual, "broke off: no disk");
      const result = await rehearsal.conclude((outcome) => renderReport(reportOn(outcome)));
      assert.equal(result.verdict, "fail");
      assert.match(sceneTable(result), /^4 {2}broken +released +broke off: no disk +✗/m);
      assert.match(sceneTable(result), /✗ scene 3: a claim: something else/);
      assert.match(readFileSync(result.report, "utf8"), /3 of 4 scenes ended differently: other, odd, broken\./);
      rmSync(dirname(result.report), { recursive: true });
    } finally {
      await rehearsal.close();
    }
  });
});

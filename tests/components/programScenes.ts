/**
 * What the program must do under any engine, as one story of consecutive `pulumi up`s on one stack: the wiring
 * of gate, snapshot, release and verification, seen from the commands that really ran.
 */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import * as path from "node:path";
import type { ConfigValue, Engine, UpResult } from "../../scripts/rehearsal/engine/engine";
import { type RecordedCall, RecorderProject } from "./recorderProject";

const databaseUrl = "postgres://app:spoken-friend@db.example:5432/crm";

const levelOne = "platform:check --preview";
const readOnly = ["gate preview", "env:snapshot --json"];
const gated = [...readOnly, "gate run --print receipt", "env:snapshot --json"];
const releases = [
  ...["release migrations", "release railway", "release vercel"],
  ...["deploy:watch --release", "db:verify:post-deploy"],
];

/**
 * Registers the scenes; call it inside a `describe`.
 *
 * @param engine asked for when the first scene begins.
 */
export function programScenes(engine: () => Engine): void {
  let project: RecorderProject;
  const lines: string[] = [];

  async function up(
    version: string,
    options: { config?: Record<string, ConfigValue>; env?: Record<string, string> } = {},
  ): Promise<{ result: UpResult; calls: RecordedCall[] }> {
    const result = await engine().up({
      projectDir: project.folder,
      stateDir: project.stateDir,
      stack: "scenes",
      config: {
        "database-protection:backupStore": "file:///srv/backups",
        "database-protection:releaseVersion": version,
        "database-protection:appUrl": "https://app.example",
        "database-protection:migrations": { path: "migrations" },
        "database-protection:railway": { command: "railway up --ci" },
        "database-protection:vercel": { command: "vercel deploy --prod" },
        ...options.config,
      },
      secrets: { "database-protection:databaseUrl": databaseUrl },
      env: { BACKUP_PASSPHRASE: "inherited passphrase", ...options.env },
      onLine: (line) => lines.push(line),
    });
    return { result, calls: project.takeCalls() };
  }

  /** Without Level 1's check, which runs beside the gate's preview. */
  const words = (calls: readonly RecordedCall[]): string[] =>
    calls.map((call) => call.words).filter((call) => call !== levelOne);
  const operation = (result: UpResult, name: string): string | undefined =>
    result.resources.find(({ urn }) => urn.endsWith(`::${name}`))?.op;

  /** Other tests' S3 server, which the program would pass on. */
  let aws: [string, string | undefined][] = [];

  before(() => {
    aws = Object.entries(process.env).filter(([name]) => name.startsWith("AWS_"));
    for (const [name] of aws) Reflect.deleteProperty(process.env, name);
    project = new RecorderProject();
  });
  after(() => Object.assign(process.env, Object.fromEntries(aws)));
  // A suite that is skipped as a whole never made it.
  after(() => (project as RecorderProject | undefined)?.remove());

  it("runs the gate, then the release in order, then the verification", async () => {
    const { result, calls } = await up("v1");
    assert.deepEqual(result.errors, []);
    assert.equal(result.ok, true);
    assert.deepEqual(words(calls), [...gated, "env:snapshot --json --accept", ...releases]);
    // At the preview, and at the update before the gate's Command.
    const all = calls.map((call) => call.words);
    assert.equal(all.filter((call) => call === levelOne).length, 2);
    assert.ok(all.lastIndexOf(levelOne) < all.indexOf("gate run --print receipt"));
    assert.match(lines.join("\n"), /platform: retention: plan free keeps no backup/);
    assert.deepEqual(result.outputs, {
      backupStore: "file:///srv/backups",
      receipt: "receipt-sha256",
      releaseVersion: "v1",
      environmentBaseline: "baseline-1",
      // Of Level 3.
      ...{ secondStore: "none", replicaAddress: "none", rpo: "not measured", rto: "not measured" },
    });

    const gate = calls.find((call) => call.words.startsWith("gate run"))?.env ?? {};
    assert.equal(gate["DBPROTECT_STACK"], "database-protection/scenes");
    assert.equal(gate["APP_URL"], "https://app.example");
    assert.equal(JSON.parse(gate["DBPROTECT_SETTINGS"] ?? "").railway.command, "railway up --ci");
    for (const call of calls) assert.equal(call.env["DATABASE_URL"], databaseUrl, call.words);
    for (const release of calls.filter((call) => releases.includes(call.words))) {
      // Where setup's programs are is the machine's business, not the program's.
      const given = Object.keys(release.env)
        .filter((name) => name !== "DBPROTECT_CACHE")
        .sort();
      const expected = [
        "BACKUP_PASSPHRASE",
        "BACKUP_STORE",
        "DATABASE_URL",
        "DBPROTECT_ENDS_WITH_PARENT",
        "DBPROTECT_RELEASE_VERSION",
        "DBPROTECT_STACK",
      ];
      assert.deepEqual(given, expected, `${release.words} must have no input that changes but releaseVersion`);
    }
  });

  it("runs the gate again at the next up, and deploys nothing: not for another token, nor for another PATH", async () => {
    const env = { RAILWAY_TOKEN: "another token", PATH: `${project.folder}:${process.env["PATH"]}` };
    const { result, calls } = await up("v1", { env });
    assert.equal(result.ok, true);
    assert.deepEqual(words(calls), gated);
    assert.equal(operation(result, "database-gate-run"), "update");
    for (const name of ["database-environment", "release-migrations", "release-railway", "release-verification"]) {
      assert.equal(operation(result, name), "same", name);
    }
  });

  it("registers no release when the gate halts", async () => {
    project.answer({ exitCodes: { "gate run --print receipt": 1 } });
    const { result, calls } = await up("v2");
    assert.equal(result.ok, false);
    assert.equal(result.phase, "update");
    assert.deepEqual(words(calls), [...readOnly, "gate run --print receipt"]);
    assert.match(
      result.errors.join("\n"),
      /^exit status 1: running "node \S+ bin\/dbprotect\.js gate run --print receipt"/,
    );
    assert.equal(result.errors.length, 1, "every rejection that follows from the gate's is the gate's");
    assert.equal(operation(result, "database-gate-run"), "failed");
    for (const name of ["database-environment", "release-migrations", "release-vercel", "release-verification"]) {
      assert.equal(operation(result, name), "not-run", name);
    }
  });

  it("halts the preview with one line when the platform's own protection is not as demanded", async () => {
    project.answer({ exitCodes: { [levelOne]: 1 } });
    const { result, calls } = await up("v2");
    assert.equal(result.phase, "preview");
    assert.deepEqual(result.errors, ["Level 1 halts: backup: no completed backup: change it at the platform"]);
    assert.ok(!words(calls).includes("gate run --print receipt"));
  });

  it("halts the preview with one line when the gate's read-only part halts", async () => {
    project.answer({ exitCodes: { "gate preview": 1 } });
    const { result, calls } = await up("v2");
    assert.equal(result.phase, "preview");
    assert.deepEqual(result.errors, ["the gate halts: a freeze is set: lift it with deploy:unfreeze"]);
    assert.ok(!words(calls).includes("gate run --print receipt"));
  });

  it("halts the preview when the gate's read-only part says nothing", async () => {
    project.answer({ exitCodes: { "gate preview": 99 } });
    const { result } = await up("v2");
    assert.equal(result.phase, "preview");
    assert.deepEqual(result.errors, [
      "the gate halts: its preview printed no verdict: run `dbprotect gate preview` to see why",
    ]);
  });

  it("halts the preview with one line when a critical variable changed", async () => {
    project.answer({ exitCodes: { "env:snapshot --json": 1 } });
    const { result, calls } = await up("v2");
    assert.equal(result.phase, "preview");
    assert.equal(result.errors.length, 1);
    assert.match(
      result.errors[0] ?? "",
      /^pulumi-nodejs:dynamic\/database-protection:EnvironmentSnapshot resource 'database-environment' has a problem: SUPABASE_URL \(process\): changed$/,
    );
    assert.ok(!words(calls).includes("gate run --print receipt"));
  });

  it("stops at the first step of the release that fails, and takes it up again at the next up", async () => {
    project.answer({ exitCodes: { "release railway": 1 } });
    const failed = await up("v2");
    assert.deepEqual(words(failed.calls), [...gated, "release migrations", "release railway"]);
    assert.equal(operation(failed.result, "release-vercel"), "not-run");
    assert.equal(operation(failed.result, "release-verification"), "not-run");

    project.answer({});
    const mended = await up("v2");
    assert.equal(mended.result.ok, true);
    assert.deepEqual(words(mended.calls), [...gated, ...releases.slice(1)]);
  });

  it("accepts a change that passed, after the gate", async () => {
    project.answer({ digest: "digest-2" });
    const { result, calls } = await up("v2");
    assert.equal(operation(result, "database-environment"), "update");
    assert.deepEqual(words(calls), [...gated, "env:snapshot --json --accept"]);
  });

  it("drops a step that is no longer configured, without running anything for it", async () => {
    const { result, calls } = await up("v2", { config: { "database-protection:vercel": {} } });
    assert.equal(result.ok, true);
    assert.equal(operation(result, "release-vercel"), "delete");
    assert.deepEqual(words(calls), gated);
  });

  it("ends with one line that names the key when a setting is wrong, before any resource", async () => {
    const { result, calls } = await up("v2", { config: { "database-protection:verification": { depth: 5 } } });
    assert.equal(result.phase, "preview");
    assert.equal(result.errors.length, 1);
    assert.match(result.errors[0] ?? "", /^database-protection:verification\.depth: found 5: /);
    assert.deepEqual(calls, []);
  });

  it("leaves no secret and no variable's value in state or progress", () => {
    for (const secret of ["spoken-friend", "inherited passphrase", "value-of-supabase-url"]) {
      for (const file of filesBelow(project.stateDir)) {
        assert.ok(!readFileSync(file, "utf8").includes(secret), `${file} holds ${JSON.stringify(secret)}`);
      }
      assert.ok(!lines.some((line) => line.includes(secret)), `progress holds ${JSON.stringify(secret)}`);
    }
  });
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}

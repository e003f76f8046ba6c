/** The variables of Railway and Vercel, beside a dotenv file and the process: watched, stored, compared, set back. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Damage, Refusal, UsageError } from "../../scripts/contract/failure";
import { acceptEnvironment } from "../../scripts/environment/acceptEnvironment";
import { type EnvironmentCheck, checkEnvironment } from "../../scripts/environment/checkEnvironment";
import { describeDifference, diffSnapshots } from "../../scripts/environment/diffSnapshots";
import { snapshotAccess } from "../../scripts/environment/openSnapshot";
import { planRestore, restoreVariables } from "../../scripts/environment/restoreVariables";
import { type RailwayFake, startRailwayFake } from "../../scripts/rehearsal/platforms/railwayFake";
import { RequestLog } from "../../scripts/rehearsal/platforms/requestLog";
import { type VercelFake, startVercelFake } from "../../scripts/rehearsal/platforms/vercelFake";
import { environmentSettingsSchema } from "../../scripts/settings";
import { FileStore } from "../../scripts/store/fileStore";
import { claimStore } from "../../scripts/store/storeIdentity";
import { runCli } from "../servers/cli";

/** All of these are searched for in everything that is stored or printed. */
const secrets = {
  anon: "railway-anon-key-4711-value",
  service: "railway-service-role-4712-value",
  frontend: "vercel-anon-key-4713-value",
  sensitive: "vercel-sensitive-4714-value",
  smtp: "dotenv-smtp-4715-value",
  jwt: "process-jwt-4716-value",
  changed: "railway-anon-key-5711-changed",
  changedFrontend: "vercel-anon-key-5713-changed",
  passphrase: "correct horse battery staple of platforms",
  railwayToken: "railway-token-4717-value",
  vercelToken: "vercel-token-4718-value",
};

describe("variables of Railway and Vercel", function () {
  this.timeout(60_000);
  let folder: string;
  let store: FileStore;
  let env: Record<string, string>;
  let railway: RailwayFake;
  let vercel: VercelFake;
  /** Everything that was said in a test. */
  let said: unknown[];

  beforeEach(async () => {
    said = [];
    folder = mkdtempSync(join(tmpdir(), "environment-platforms-"));
    store = new FileStore(join(folder, "store"));
    await claimStore(store, { systemIdentifier: "7300000000000000001", name: "crm" });
    const platform = {
      log: new RequestLog(),
      liveCommit: "c0ffee",
      phaseMilliseconds: 1,
      goLive: async () => undefined,
    };
    railway = await startRailwayFake({
      ...platform,
      projectToken: secrets.railwayToken,
      accountToken: "unused",
      variables: {
        SUPABASE_URL: "https://abcdefghijklmnopqrst.supabase.co",
        SUPABASE_ANON_KEY: secrets.anon,
        SUPABASE_SERVICE_ROLE_KEY: secrets.service,
        RAILWAY_DEPLOYMENT_ID: "changes with every deployment",
      },
    });
    vercel = await startVercelFake({
      ...platform,
      token: secrets.vercelToken,
      variables: [
        {
          key: "VITE_SUPABASE_URL",
          value: "https://abcdefghijklmnopqrst.supabase.co",
          type: "plain",
          target: ["production", "preview"],
        },
        { key: "VITE_SUPABASE_ANON_KEY", value: secrets.frontend, type: "encrypted", target: ["production"] },
        { key: "SESSION_SECRET", value: secrets.sensitive, type: "sensitive", target: ["production"] },
        { key: "ONLY_PREVIEW", value: "elsewhere", type: "plain", target: ["preview"] },
      ],
    });
    writeFileSync(join(folder, ".env"), `SMTP_PASSWORD=${secrets.smtp}\n`);
    env = {
      BACKUP_PASSPHRASE: secrets.passphrase,
      JWT_SECRET: secrets.jwt,
      RAILWAY_API_URL: railway.url,
      RAILWAY_TOKEN: secrets.railwayToken,
      RAILWAY_SERVICE_ID: railway.serviceId,
      VERCEL_API_URL: vercel.url,
      VERCEL_TOKEN: secrets.vercelToken,
      VERCEL_ORG_ID: vercel.teamId,
      VERCEL_PROJECT_ID: vercel.projectId,
    };
  });
  afterEach(async () => {
    const stored = readdirSync(join(folder, "store"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"));
    await railway.close();
    await vercel.close();
    rmSync(folder, { recursive: true });
    const all = [...stored, JSON.stringify(said)].join("\n");
    for (const [name, value] of Object.entries(secrets))
      assert.ok(!all.includes(value), `the value of ${name} is there`);
  });

  const sources = [{ kind: "railway" }, { kind: "vercel" }, { kind: "dotenv", path: ".env" }, { kind: "process" }];
  const inputOf = (over: object = {}) => ({
    ...{ store, env, folder },
    settings: environmentSettingsSchema.parse({ sources, content: "ignore", ...over }),
  });
  async function check(over: object = {}): Promise<EnvironmentCheck> {
    const result = await checkEnvironment(inputOf(over));
    said.push(result);
    return result;
  }
  const accept = (runId: string, over: object = {}) => acceptEnvironment({ ...inputOf(over), runId });
  const change = (name: string, value: string): void => {
    railway.variables[name] = value;
  };

  it("are read from all sources at once, without what the platforms set themselves", async () => {
    const { verdict, variables, lines } = await check();
    assert.equal(verdict, "pass", lines.join("\n"));
    const production = `${vercel.projectId} production`;
    assert.deepEqual(
      variables.map(({ name, source, target, kind }) => [name, source, target, kind]),
      [
        ["JWT_SECRET", "process", "run", "secret"],
        ["SESSION_SECRET", "vercel", production, "unreadable"],
        ["SMTP_PASSWORD", "dotenv", ".env", "secret"],
        ["SUPABASE_ANON_KEY", "railway", railway.serviceId, "secret"],
        ["SUPABASE_SERVICE_ROLE_KEY", "railway", railway.serviceId, "secret"],
        ["SUPABASE_URL", "railway", railway.serviceId, "plain"],
        ["VITE_SUPABASE_ANON_KEY", "vercel", production, "secret"],
        ["VITE_SUPABASE_URL", "vercel", production, "plain"],
      ],
    );
  });

  it("halt when a critical one changed, with who and when where the platform tells", async () => {
    await accept("run-1");
    change("SUPABASE_ANON_KEY", secrets.changed);
    vercel.edit("VITE_SUPABASE_ANON_KEY", secrets.changedFrontend);
    const { verdict, lines } = await check();
    assert.equal(verdict, "halt");
    assert.equal(lines[0], `SUPABASE_ANON_KEY (railway ${railway.serviceId}): changed; critical: not acknowledged`);
    assert.match(
      lines[1] ?? "",
      /^VITE_SUPABASE_ANON_KEY \(vercel prj_\w+ production\): changed at 20\S+Z by Ada Example;/,
    );
  });

  it("of another project do not pass for those of this one", async () => {
    await accept("run-1");
    const other = await startVercelFake({
      ...{ log: new RequestLog(), liveCommit: "c0ffee", phaseMilliseconds: 1, goLive: async () => undefined },
      token: secrets.vercelToken,
      variables: [],
    });
    Object.assign(env, { VERCEL_API_URL: other.url, VERCEL_ORG_ID: other.teamId, VERCEL_PROJECT_ID: other.projectId });
    const { verdict, lines } = await check({ required: [] });
    await other.close();
    assert.equal(verdict, "halt");
    assert.match(lines.join("\n"), /VITE_SUPABASE_URL \(vercel \S+ production\): removed; critical: not acknowledged/);
  });

  it("that nobody may read are named, told by their last edit, and halt in strict mode", async () => {
    const over = { critical: ["SESSION_SECRET"] };
    await accept("run-1", over);
    const { verdict, lines } = await check(over);
    assert.equal(verdict, "pass");
    assert.match(
      lines[0] ?? "",
      /^SESSION_SECRET \(vercel \S+ production\): its value cannot be read, and is in no snapshot/,
    );
    const strict = await check({ ...over, strict: true });
    assert.equal(strict.verdict, "halt");
    assert.match(strict.findings[0]?.message ?? "", /cannot be read.*: environment\.strict halts$/);
    // An edit within the same millisecond would not be one.
    await new Promise((resolve) => setTimeout(resolve, 2));
    vercel.edit("SESSION_SECRET", secrets.sensitive);
    assert.match((await check(over)).lines.join("\n"), /SESSION_SECRET .*: changed at .*critical: not acknowledged/);
  });

  it("halt when a platform does not answer, refuses the token, or answers half", async () => {
    vercel.faults.plan({ kind: "status", status: 403 }, 9);
    await assert.rejects(check(), (error) => /Vercel/.test(String(error)));
    env["RAILWAY_TOKEN"] = "";
    await assert.rejects(
      check(),
      (error) => error instanceof UsageError && /RAILWAY_TOKEN: found nothing/.test(error.message),
    );
  });

  it("are set back as a snapshot has them, chosen, shown first, read again", async () => {
    const { name } = await accept("run-1");
    change("SUPABASE_ANON_KEY", secrets.changed);
    change("SUPABASE_URL", "https://zzzzzzzzzzzzzzzzzzzz.supabase.co");
    vercel.edit("VITE_SUPABASE_ANON_KEY", secrets.changedFrontend);
    vercel.edit("VITE_SUPABASE_URL", "https://zzzzzzzzzzzzzzzzzzzz.supabase.co");
    const access = await snapshotAccess(store, env);
    const input = { access, snapshot: "latest", names: ["*SUPABASE_ANON_KEY", "VITE_SUPABASE_URL", "S*_SECRET"], env };
    const plan = await planRestore(input);
    said.push(
      plan.changes.map(({ line }) => line),
      plan.same,
      plan.left,
    );
    assert.equal(plan.snapshot, name);
    assert.deepEqual(
      plan.changes.map(({ line }) => line.replace(/ \(.*?\)/, "")),
      [
        "SUPABASE_ANON_KEY: is set back",
        "VITE_SUPABASE_ANON_KEY: is set back",
        "VITE_SUPABASE_URL: is set back, also for preview, which share it",
      ],
    );
    assert.match(plan.left.join(), /SESSION_SECRET .* could not be read then/);
    await restoreVariables(input, plan);
    assert.equal(railway.variables["SUPABASE_ANON_KEY"], secrets.anon);
    assert.equal(railway.variables["SUPABASE_URL"], "https://zzzzzzzzzzzzzzzzzzzz.supabase.co", "it was not chosen");
    assert.equal(vercel.valueOf("VITE_SUPABASE_ANON_KEY"), secrets.frontend);
    const again = await planRestore(input);
    assert.deepEqual([again.changes.length, again.same.length], [0, 3]);
    assert.equal((await check({ critical: ["*ANON_KEY"] })).verdict, "pass");

    await assert.rejects(planRestore({ ...input, names: ["NO_SUCH"] }), UsageError);
    await assert.rejects(planRestore({ ...input, names: ["SMTP_PASSWORD"] }), Refusal);
    const elsewhere = { ...env, RAILWAY_SERVICE_ID: "another-service" };
    await assert.rejects(
      planRestore({ ...input, env: elsewhere }),
      /RAILWAY_SERVICE_ID: found another-service: expected/,
    );
  });

  it("are compared between snapshots by digest, and by the command line; damage exits 4, another passphrase 2", async () => {
    const settings = { critical: ["SUPABASE_*"] };
    const first = await accept("run-1", settings);
    change("SMTP_HOST", "mail.example.com");
    const second = await accept("run-2", settings);
    const access = await snapshotAccess(store, env);
    const input = { ...inputOf(settings), access, from: first.name, to: second.name };
    const diff = await diffSnapshots(input);
    said.push(diff);
    assert.deepEqual(
      diff.differences.map(({ name, change: what, critical }) => [name, what, critical]),
      [["SMTP_HOST", "added", false]],
    );
    assert.match(describeDifference(diff.differences[0]!), /^SMTP_HOST \(railway \S+\): added d1:\S{6}$/);
    change("SUPABASE_ANON_KEY", secrets.changed);
    const now = await diffSnapshots({ ...input, from: "latest", to: "now" });
    said.push(now);
    assert.match(
      now.differences.map(describeDifference).join(),
      /^SUPABASE_ANON_KEY .* changed d1:\S+ -> d1:\S+, critical$/,
    );
    await assert.rejects(diffSnapshots({ ...input, from: "environment_gone" }), UsageError);

    const surroundings = { ...env, BACKUP_STORE: pathToFileURL(join(folder, "store")).href };
    const cli = async (words: string[], over: Record<string, string> = {}) => {
      const run = await runCli(words, { ...surroundings, ...over }, folder);
      said.push(run.stdout, run.stderr);
      return run;
    };
    const words = ["env:diff", first.name, second.name];
    assert.equal((await cli(["env:restore", "latest", "SUPABASE_ANON_KEY"])).code, 2, "nobody is there to be asked");
    const restored = await cli(["env:restore", "latest", "SUPABASE_ANON_KEY", "--yes", "--json"]);
    assert.equal(restored.code, 0, restored.stderr);
    assert.equal(railway.variables["SUPABASE_ANON_KEY"], secrets.anon);

    assert.equal((await cli(words, { BACKUP_PASSPHRASE: "another passphrase of nobody" })).code, 2);
    const file = (name: string) => join(folder, "store", "environment", `${name}.json.enc`);
    const whole = readFileSync(file(first.name));
    const flipped = Buffer.from(whole);
    flipped[flipped.length >> 1]! ^= 1;
    const overwrite = (bytes: Buffer) => {
      rmSync(file(first.name));
      writeFileSync(file(first.name), bytes);
    };
    overwrite(flipped);
    assert.equal((await cli(words)).code, 4);
    for (const damaged of [whole.subarray(0, whole.length / 2), Buffer.alloc(0)]) {
      overwrite(damaged);
      await assert.rejects(diffSnapshots(input), Damage);
    }
    rmSync(file(first.name));
    renameSync(file(second.name), file(first.name));
    await assert.rejects(planRestore({ access, snapshot: first.name, names: ["SUPABASE_URL"], env }), Damage);
  });
});

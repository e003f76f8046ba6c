/**
 * The packed program, as the container holds it: outside the source tree, with production packages only, run by a user who
 * may write to nothing but the scratch folder.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { pack } from "../../../bin/pack.js";
import { searchPostgres } from "../../../bin/setup/postgresSearch.js";
import { serverUser } from "../../../bin/setup/serverUser.js";
import { freshCrm } from "../../servers/crm";

const project = resolve(__dirname, "../../..");

describe("the packed program", function () {
  this.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-packed-"));
  const packed = join(folder, "packed");
  const scratch = join(folder, "scratch");
  const user = serverUser();

  before(async () => {
    chmodSync(folder, 0o755);
    await pack(packed);
    mkdirSync(scratch);
    if (user !== undefined) chownSync(scratch, user.uid, user.gid);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** As a task of the schedule runs it: its own user, a scratch volume, and nothing of this machine but the servers. */
  function run(
    words: readonly string[],
    env: Record<string, string> = {},
  ): Promise<{ code: number | null; out: string; err: string }> {
    const postgres = searchPostgres("server").map(({ binDir }) => binDir);
    const child = spawn(process.execPath, [join(packed, "cli.js"), ...words], {
      cwd: packed,
      env: {
        PATH: [dirname(process.execPath), ...postgres, "/usr/bin", "/bin"].join(delimiter),
        HOME: "/nonexistent",
        TMPDIR: scratch,
        DBPROTECT_CACHE: join(scratch, "cache"),
        DBPROTECT_REPORTS: join(scratch, "reports"),
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
      ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
    });
    let [out, err] = ["", ""];
    child.stdout.on("data", (chunk) => (out += String(chunk)));
    child.stderr.on("data", (chunk) => (err += String(chunk)));
    return new Promise((done) => child.once("close", (code) => done({ code, out, err })));
  }

  it("holds JavaScript and no trace of where it was made, and no package that only development needs", () => {
    const files = readdirSync(packed, { recursive: true, encoding: "utf8" });
    assert.deepEqual(
      files.filter((file) => !file.startsWith("node_modules") && /\.ts$|rehearsal|\.test\./.test(file)),
      [],
    );
    assert.ok(!readFileSync(join(packed, "cli.js"), "utf8").includes(`${project}/`));
    const lock = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8")).packages;
    const names = readdirSync(join(packed, "node_modules"), { recursive: true, encoding: "utf8" })
      .filter((file) => /(^|\/)package\.json$/.test(file))
      .map((file) => `node_modules/${dirname(file)}`)
      .filter((name) => lock[name] !== undefined);
    assert.ok(names.includes("node_modules/libpg-query"));
    assert.deepEqual(
      names.filter((name) => lock[name].dev === true || /pulumi|tsx|esbuild/.test(name)),
      [],
    );
    const { dependencies } = JSON.parse(readFileSync(join(packed, "package.json"), "utf8"));
    for (const name of Object.keys(dependencies)) assert.ok(names.includes(`node_modules/${name}`), name);
  });

  it("has every command but the rehearsal, which it says in one line", async () => {
    const [help, rehearse] = await Promise.all([run(["--help"]), run(["rehearse"])]);
    assert.equal(help.code, 0, help.err);
    assert.match(help.out, /db:backup[\s\S]*db:drill[\s\S]*migrations:lint/);
    assert.equal(rehearse.code, 2);
    assert.match(rehearse.err, /^error: the packed program has no rehearsal/m);
  });

  it("takes a backup, restores it on a server of its own, compares it, and prunes", async () => {
    const database = await freshCrm(50);
    const env = { DATABASE_URL: database.url, BACKUP_STORE: `file://${scratch}/store` };
    const backup = await run(["db:backup", "--tier", "scheduled", "--json"], env);
    assert.equal(backup.code, 0, backup.err);
    assert.equal(JSON.parse(backup.out).verification.depth, 4, "restored and compared");
    const prune = await run(["db:prune", "--yes"], env);
    assert.equal(prune.code, 0, prune.err);
  });

  it("judges migrations, for which it needs PostgreSQL's parser", async () => {
    const file = join(scratch, "20260101000000_drop.sql");
    writeFileSync(file, "DROP TABLE clients;\n");
    const { code, out, err } = await run(["migrations:lint", file]);
    assert.equal(code, 1, err);
    assert.match(out, /drop-table/);
  });
});

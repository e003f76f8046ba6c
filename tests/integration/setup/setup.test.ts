/** Setup as a person runs it, in a small clone of its own: packages of nobody, the real programs of this machine. */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { isNodeNewEnough } from "../../../bin/setup/projectNode.js";
import { findPostgres } from "../../../scripts/database/postgresPrograms";
import { skip } from "../../skip";

const projectFolder = join(__dirname, "..", "..", "..");

describe("bin/setup.js", () => {
  let clone: string;

  beforeEach(() => {
    clone = mkdtempSync(join(tmpdir(), "setup-"));
    cpSync(join(projectFolder, "bin"), join(clone, "bin"), { recursive: true });
    writeLockfile("1.0.0");
  });

  afterEach(() => rmSync(clone, { recursive: true, force: true }));

  function writeLockfile(version: string): void {
    const manifest = { name: "clone", version };
    writeFileSync(join(clone, "package.json"), JSON.stringify(manifest));
    writeFileSync(
      join(clone, "package-lock.json"),
      JSON.stringify({ ...manifest, lockfileVersion: 3, packages: { "": manifest } }),
    );
  }

  function setup(
    args: readonly string[] = [],
    env: NodeJS.ProcessEnv = {},
    node = process.execPath,
  ): SpawnSyncReturns<string> {
    return spawnSync(node, [join(clone, "bin", "setup.js"), ...args], {
      cwd: tmpdir(),
      encoding: "utf8",
      env: { ...process.env, ...env },
    });
  }

  it("installs once; a second run does nothing and says one line", () => {
    const first = setup();
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stderr, /^setup: npm packages installed from the lockfile/m);
    const stamp = join(clone, "node_modules", ".dbprotect-stamp");
    const { mtimeMs } = statSync(stamp);

    const start = Date.now();
    const second = setup();
    assert.equal(second.status, 0, second.stderr);
    assert.match(second.stderr, /^setup: ready: Node\.js \d+\.\d+\.\d+, PostgreSQL 17\S* in \/\S+\n$/);
    assert.equal(second.stdout, "");
    assert.equal(statSync(stamp).mtimeMs, mtimeMs);
    assert.ok(Date.now() - start < 5000, "a second run takes about a second");
  });

  it("installs again when the lockfile changed, and after an install that did not end", () => {
    assert.equal(setup().status, 0);
    writeLockfile("2.0.0");
    assert.match(setup().stderr, /packages installed/);
    rmSync(join(clone, "node_modules", ".dbprotect-stamp"));
    assert.match(setup().stderr, /packages installed/);
  });

  it("names a failing npm ci with the command, and does not take it for done", () => {
    writeFileSync(
      join(clone, "package.json"),
      JSON.stringify({ name: "clone", version: "1.0.0", dependencies: { zod: "4.6.7" } }),
    );
    for (let run = 0; run < 2; run++) {
      const failed = setup();
      assert.equal(failed.status, 2, failed.stderr);
      assert.match(failed.stderr, /^setup: npm ci failed: .+\nsetup: what to do: npm ci --ignore-scripts\n$/);
    }
  });

  it("lets two setups of one clone run at once, and passes over the lock of one that was killed", async () => {
    const codes = await Promise.all(
      [1, 2].map(
        () =>
          new Promise((resolve) => {
            spawn(process.execPath, [join(clone, "bin", "setup.js")], { stdio: "ignore" }).once("exit", resolve);
          }),
      ),
    );
    assert.deepEqual(codes, [0, 0]);

    const dead = spawnSync(process.execPath, ["-e", ""]).pid;
    const name = createHash("sha256").update(clone).digest("hex").slice(0, 16);
    const lock = join(tmpdir(), `dbprotect-setup-${name}-${process.getuid?.() ?? 0}.lock`);
    writeFileSync(lock, String(dead));
    writeLockfile("2.0.0");
    assert.match(setup().stderr, /packages installed/);
    assert.equal(existsSync(lock), false);
  });

  it("finds PostgreSQL by the wanted major, and names the command for one it cannot get", () => {
    const failed = setup(["--postgres", "99"]);
    assert.equal(failed.status, 2);
    assert.match(failed.stderr, /^setup: PostgreSQL 99 is not on this machine/m);
    assert.match(failed.stderr, /^setup: what to do: .*PostgreSQL 99|brew install postgresql@99/m);
  });

  it("says so when the cache cannot be written", () => {
    writeFileSync(join(clone, "file"), "");
    const failed = setup(["--for", "test"], {
      DBPROTECT_CACHE: join(clone, "file", "cache"),
      PATH: foldersOnPath((folder) => !existsSync(join(folder, "weed"))).join(delimiter),
      PG_BIN: findPostgres({ major: 17 }).binDir,
    });
    assert.equal(failed.status, 2, failed.stderr);
    assert.match(
      failed.stderr,
      /^setup: the cache folder .* cannot be written: .*\nsetup: what to do: set DBPROTECT_CACHE/m,
    );
  });

  for (const [args, message] of [
    [["--bogus"], /^setup: Unknown option '--bogus'/],
    [["extra"], /^setup: Unexpected argument 'extra'/],
    [["--postgres", "seventeen"], /^setup: --postgres: found seventeen: expected a major/],
    [["--for", "production"], /^setup: --for: found production: expected test/],
  ] as const) {
    it(`exits 2 at ${args.join(" ")} before it changes anything`, () => {
      const refused = setup(args);
      assert.equal(refused.status, 2);
      assert.match(refused.stderr, message);
      assert.equal(existsSync(join(clone, "node_modules")), false);
    });
  }

  it("notices flags that npm took for itself", () => {
    const refused = setup(["15"], { npm_config_postgres: "true" });
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /put -- before them/);
  });

  it("prints its help on stdout", () => {
    const help = setup(["--help"]);
    assert.equal(help.status, 0);
    assert.match(help.stdout, /^Usage: npm run setup/);
  });

  describe("where the system's Node.js is too old", () => {
    let old: string;

    before(function () {
      const found = oldNode();
      if (found === undefined) return skip(this, "no Node.js older than 22.15 on PATH");
      old = found;
    });

    it("puts the fetched one first for npm scripts", function () {
      this.timeout(120_000);
      const first = setup([], {}, old);
      assert.equal(first.status, 0, first.stderr);
      const link = join(clone, "node_modules", ".bin", "node");
      assert.match(spawnSync(link, ["--version"], { encoding: "utf8" }).stdout, /^v24\./);
      assert.match(readlinkSync(link), /node-24\.\d+\.\d+\/bin\/node$/);
      assert.equal(setup([], {}, old).stderr.split("\n").length, 2);
    });

    it("continues there with arguments and exit code", function () {
      this.timeout(120_000);
      assert.equal(setup([], {}, old).status, 0);
      const script = join(clone, "script.js");
      writeFileSync(
        script,
        `const { continuesUnderProjectNode } = require("./bin/setup/projectNode.js");
         if (!continuesUnderProjectNode(__filename)) {
           console.log(process.versions.node.split(".")[0], process.argv.slice(2).join());
           process.exitCode = 7;
         }`,
      );
      const ended = spawnSync(old, [script, "a b", "--c"], { encoding: "utf8" });
      assert.deepEqual([ended.status, ended.stdout], [7, "24 a b,--c\n"]);
    });

    it("passes signals on", async function () {
      this.timeout(120_000);
      assert.equal(setup([], {}, old).status, 0);
      const script = join(clone, "script.js");
      writeFileSync(
        script,
        `const { continuesUnderProjectNode } = require("./bin/setup/projectNode.js");
         if (!continuesUnderProjectNode(__filename)) {
           process.on("SIGTERM", () => process.exit(130));
           setInterval(() => undefined, 1000);
           console.log("waiting");
         }`,
      );
      const child = spawn(old, [script], { stdio: ["ignore", "pipe", "inherit"] });
      await new Promise((resolve) => child.stdout.once("data", resolve));
      child.kill("SIGTERM");
      assert.equal(await new Promise((resolve) => child.once("exit", resolve)), 130);
    });
  });
});

describe("bin/dbprotect.js", () => {
  it("says in one line how to install what is missing", () => {
    const clone = mkdtempSync(join(tmpdir(), "launcher-"));
    try {
      cpSync(join(projectFolder, "bin"), join(clone, "bin"), { recursive: true });
      const refused = spawnSync(process.execPath, [join(clone, "bin", "dbprotect.js"), "gate"], {
        encoding: "utf8",
        cwd: "/",
      });
      assert.equal(refused.status, 2);
      assert.equal(refused.stderr, "dbprotect: its packages are not installed; run: npm run setup\n");
    } finally {
      rmSync(clone, { recursive: true });
    }
  });
});

/** A Node.js on this machine that the program cannot run on. */
function oldNode(): string | undefined {
  const programs = foldersOnPath(() => true).map((folder) => join(folder, "node"));
  return programs
    .filter((program) => existsSync(program))
    .find((program) => {
      const { stdout } = spawnSync(program, ["--version"], { encoding: "utf8" });
      return stdout.startsWith("v") && !isNodeNewEnough(stdout.slice(1).trim());
    });
}

function foldersOnPath(keep: (folder: string) => boolean): string[] {
  return (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "" && keep(folder));
}

/** The search for PostgreSQL's programs, on folders with stand-ins that only know their version. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { UsageError } from "../../../scripts/contract/failure";
import { findPostgres } from "../../../scripts/database/postgresPrograms";
import { skip } from "../../skip";

const clientPrograms = ["pg_dump", "pg_restore", "pg_dumpall", "psql"];
const serverPrograms = [...clientPrograms, "postgres", "initdb"];

// Majors that no machine has, so that what is really installed cannot be found instead.
describe("findPostgres", () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "postgres-search-"));
    chmodSync(root, 0o755);
  });

  afterEach(() => rmSync(root, { recursive: true }));

  function install(name: string, version: string, programs = serverPrograms): string {
    const folder = join(root, name);
    mkdirSync(folder, { recursive: true });
    for (const program of programs) {
      writeFileSync(join(folder, program), `#!/bin/sh\necho "${program} (PostgreSQL) ${version}"\n`, { mode: 0o755 });
    }
    return folder;
  }

  function search(folders: readonly string[], more: Record<string, string> = {}): NodeJS.ProcessEnv {
    return { PATH: [...folders, "/bin", "/usr/bin"].join(delimiter), DBPROTECT_CACHE: join(root, "cache"), ...more };
  }

  it("picks by the wanted major, not the first on PATH", () => {
    const env = search([install("a", "96.2"), install("b", "98.1 (Debian 98.1-1)"), install("c", "97beta1")]);
    assert.deepEqual(findPostgres({ major: 98 }, env), { binDir: join(root, "b"), major: 98, version: "98.1" });
    assert.equal(findPostgres({ major: 97 }, env).version, "97beta1");
  });

  it("takes the lowest major that is high enough, wherever it stands", () => {
    const env = search([install("a", "98.0"), install("b", "96.0"), install("c", "97.0")]);
    assert.equal(findPostgres({ atLeast: 97 }, env).binDir, join(root, "c"));
  });

  it("prefers PG_BIN over PATH when its major will do, and passes it by when not", () => {
    const env = search([install("a", "97.0")], { PG_BIN: install("b", "98.0") });
    assert.equal(findPostgres({ atLeast: 97 }, env).binDir, join(root, "b"));
    assert.equal(findPostgres({ major: 97 }, env).binDir, join(root, "a"));
  });

  it("says that PG_BIN is wrong instead of silently taking another", () => {
    const env = search([install("a", "97.0")], { PG_BIN: join(root, "nowhere") });
    assert.throws(() => findPostgres({ major: 97 }, env), /PG_BIN: found .*nowhere: expected a folder with/);
  });

  it("asks for server programs only where a server is to run", () => {
    const env = search([install("clients", "97.3", clientPrograms), install("full", "97.1")]);
    assert.equal(findPostgres({ major: 97, use: "client" }, env).binDir, join(root, "clients"));
    assert.equal(findPostgres({ major: 97 }, env).binDir, join(root, "full"));
  });

  it("follows links to the folder that holds the whole set", () => {
    const full = install("real", "97.0");
    mkdirSync(join(root, "links"));
    symlinkSync(join(full, "postgres"), join(root, "links", "postgres"));
    assert.equal(findPostgres({ major: 97 }, search([join(root, "links")])).binDir, full);
  });

  it("finds what setup put into the cache", () => {
    const folder = install("cache/postgres-97.4.0/bin", "97.4");
    assert.equal(findPostgres({ major: 97 }, search([])).binDir, folder);
  });

  it("passes by a folder that the server's user cannot enter", function () {
    if (process.getuid?.() !== 0) return skip(this, "only root runs servers under another user");
    install("closed/bin", "97.0");
    chmodSync(join(root, "closed"), 0o700);
    const env = search([join(root, "closed/bin")]);
    assert.throws(() => findPostgres({ major: 97 }, env), UsageError);
    assert.equal(findPostgres({ major: 97, use: "client" }, env).major, 97);
  });

  it("names the command that gets what is missing", () => {
    assert.throws(
      () => findPostgres({ major: 97 }, search([install("a", "96.0")])),
      (error) =>
        error instanceof UsageError &&
        /^PostgreSQL 97 is not on this machine .*96/.test(error.message) &&
        error.hint === "run: npm run setup -- --postgres 97",
    );
  });
});

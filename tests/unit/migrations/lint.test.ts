/** `migrations:lint`: what it reads, its four outputs, its exit codes, and that any bytes get an answer. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { judgeMigrations } from "../../../scripts/migrations/judge";
import { type Lint, decodeMigration, lintMigrations } from "../../../scripts/migrations/lint";
import type { MigrationTool } from "../../../scripts/migrations/toolFolders";
import { askSquawk } from "../../../scripts/migrations/squawk";
import { githubAnnotation, sarifOf } from "../../../scripts/report/lintFormats";
import { randomNumbers, seeds } from "../../servers/campaign";
import { type CliRun, runCli } from "../../servers/cli";

describe("migrations:lint", function () {
  this.timeout(60_000);
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "dbprotect-lint-")));
  const lint = (...words: string[]): Promise<CliRun> => runCli(["migrations:lint", ...words], {}, folder);
  const git = (...words: string[]): void =>
    void execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@example.com", ...words], { cwd: folder });

  before(() => {
    mkdirSync(join(folder, "m", "2_purge"), { recursive: true });
    writeFileSync(join(folder, "m", "1_clients.sql"), "CREATE TABLE clients (id int PRIMARY KEY);\n");
    git("init", "-q");
    git("add", "-A");
    git("commit", "-q", "-m", "first");
    writeFileSync(join(folder, "m", "2_purge", "migration.sql"), "SELECT 1;\n  DROP TABLE clients;\n");
    writeFileSync(join(folder, "bytes.sql"), Buffer.from("SELECT 'ü';\nSELECT '\xff';", "latin1"));
  });

  it("tells line, column, caret, rule, reason and safer way, and exits 1", async () => {
    const { code, stdout } = await lint("m");
    assert.equal(code, 1);
    assert.match(
      stdout,
      /^m\/2_purge\/migration\.sql:2:3: refused drop-table: drops .*clients.*\n {6}DROP TABLE clients;\n {6}\^\n {4}stop using it/m,
    );
    assert.match(stdout, /\nREFUSED: 2 file\(s\), 1 refused, 2 to know\n$/);
  });

  it("passes what is additive, and judges what changed since a commit as one set", async () => {
    assert.equal((await lint("m/1_clients.sql")).code, 0);
    const since = JSON.parse((await lint("m", "--since", "HEAD", "--json")).stdout);
    assert.deepEqual([since.verdict, since.files], ["refused", ["m/2_purge/migration.sql"]]);
    writeFileSync(join(folder, "m", "1_clients.sql"), "CREATE TABLE clients (id bigint PRIMARY KEY);\n");
    assert.equal(JSON.parse((await lint("m", "--since", "HEAD", "--json")).stdout).verdict, "pass");
  });

  it("writes SARIF and GitHub's annotations", async () => {
    const { runs } = JSON.parse((await lint("m", "--sarif")).stdout);
    const [{ ruleId, level, locations }] = runs[0].results;
    assert.deepEqual([ruleId, level], ["drop-table", "error"]);
    assert.deepEqual(locations[0].physicalLocation, {
      artifactLocation: { uri: "m/2_purge/migration.sql" },
      region: { startLine: 2, startColumn: 3 },
    });
    assert.match(
      (await lint("m", "--github")).stdout,
      /^::error file=m\/2_purge\/migration\.sql,line=2,col=3,title=drop-table::drops [^\n]*%0A/,
    );
    const { findings } = await judgeMigrations([{ file: "a,b:c%.sql", sql: "DROP TABLE clients" }]);
    assert.match(githubAnnotation(findings[0]!), /^::error file=a%2Cb%3Ac%25\.sql,line=1,/);
  });

  it("refuses bytes that are not UTF-8, with their place; exits 2 for what cannot be read", async () => {
    const { code, stdout } = await lint("bytes.sql", "--json");
    const [finding] = JSON.parse(stdout).findings;
    assert.deepEqual([code, finding.rule, finding.line], [1, "unparseable", 1]);
    for (const words of [["nowhere"], [".git"], ["m", "--since", "nothing"]])
      assert.equal((await lint(...words)).code, 2);
  });

  it("leaves out what only takes a migration back, where the settings name the tool, and folders", async () => {
    const files = (tool: MigrationTool, ...names: string[]): Promise<Lint> => {
      const root = mkdtempSync(join(folder, "tool-"));
      for (const name of names) {
        mkdirSync(join(root, name, ".."), { recursive: true });
        const down = /down|^U/.test(name) ? "DROP TABLE a;" : "SELECT 1;\n";
        writeFileSync(
          join(root, name),
          tool === "node-pg-migrate" ? `SELECT 1;\n-- Down Migration\nDROP TABLE a;` : down,
        );
      }
      mkdirSync(join(root, "folder.sql"));
      return lintMigrations({ paths: [root], tool });
    };
    const named = ({ files: all }: Lint): string[] => all.map((file) => file.replace(/^.*tool-[^/]*\//, ""));
    const prisma = await files("prisma", "1_a/migration.sql", "1_a/down.sql");
    assert.deepEqual([prisma.verdict, named(prisma)], ["pass", ["1_a/migration.sql"]]);
    assert.equal((await files("supabase", "1_a/migration.sql", "1_a/down.sql")).verdict, "refused");
    const flyway = await files("flyway", "R__view.sql", "U2__b.sql", "V10__c.sql", "V2__b.sql");
    assert.deepEqual([flyway.verdict, named(flyway)], ["pass", ["V2__b.sql", "V10__c.sql", "R__view.sql"]]);
    assert.equal((await files("node-pg-migrate", "1_a.sql")).verdict, "pass");
  });

  it("SARIF holds characters, percent-encoded paths, and each rule once", async () => {
    const { findings } = await judgeMigrations([
      { file: "m/a b#1.sql", sql: "SELECT 'é😀'; DROP TABLE a; DROP TABLE b;" },
    ]);
    const [run] = sarifOf(findings).runs;
    assert.deepEqual(
      run?.tool.driver.rules?.map(({ id }) => id),
      ["drop-table"],
    );
    const places = run?.results?.map(({ locations }) => locations?.[0]?.physicalLocation);
    assert.deepEqual(
      places?.map((place) => [place?.artifactLocation?.uri, place?.region?.startColumn]),
      [
        ["m/a%20b%231.sql", 14],
        ["m/a%20b%231.sql", 28],
      ],
    );
    assert.deepEqual(sarifOf([]).runs[0]?.results, []);
  });

  const fragments = [
    "DROP TABLE",
    "$$",
    "'",
    '"',
    ";",
    "(",
    ")",
    "/*",
    "--",
    "DO",
    "BEGIN",
    "\0",
    "\ufeff",
    "é",
    "😀",
    "E'\\",
    "SELECT",
    "(((",
    "1",
    "\n",
    "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS ",
  ];
  const anyBytes = (seed: number): ReturnType<typeof decodeMigration> => {
    const random = randomNumbers(seed);
    const pieces = Array.from({ length: 1 + Math.floor(random() * 400) }, () =>
      random() < 0.1
        ? Buffer.from([Math.floor(random() * (seed % 2 === 0 ? 128 : 256))]) // every other one is UTF-8
        : Buffer.from(`${fragments[Math.floor(random() * fragments.length)]!} `),
    );
    return decodeMigration(`${seed}.sql`, Buffer.concat(pieces));
  };
  for (const seed of seeds(200)) {
    it(`any bytes give a verdict or their place within a second: seed ${seed}`, async () => {
      const { file, sql, fault } = anyBytes(seed);
      const started = performance.now();
      const { verdict, findings } = await judgeMigrations([{ file, sql }]);
      assert.ok(performance.now() - started < 1000);
      for (const { line, column, excerpt } of [...findings, ...(fault === undefined ? [] : [fault])])
        assert.ok(line >= 1 && column >= 1 && excerpt.includes("^"));
      assert.ok(fault !== undefined || verdict === "refused" || !findings.some(({ rule }) => rule === "unparseable"));
    });
  }

  it("what squawk says of any bytes only ever adds: it is not asked of what does not parse", async () => {
    // A few that parse are among them: short ones, and all of one statement's words.
    const valid = [
      "SELECT 1",
      "DROP TABLE a",
      "/* */ CREATE INDEX i ON a (b)",
      "DO $$ BEGIN NULL; END $$",
      "SELECT E'\\'' -- é",
    ];
    const short = valid.map((sql, place) => ({ file: `valid ${place}`, sql }));
    const files = [...Array.from({ length: 200 }, (_, seed) => anyBytes(seed)), ...short];
    const opinions = await askSquawk(files);
    let unparseable = 0;
    for (const { file, sql } of files) {
      const alone = await judgeMigrations([{ file, sql }]);
      const together = await judgeMigrations([{ file, sql }], undefined, opinions);
      for (const finding of alone.findings)
        assert.deepEqual(
          together.findings.find(
            ({ rule, line, column }) => rule === finding.rule && line === finding.line && column === finding.column,
          ),
          finding,
        );
      if (!alone.findings.some(({ rule }) => rule === "unparseable")) continue;
      unparseable += 1;
      assert.deepEqual([together.verdict, opinions.has(file)], ["refused", false], sql);
    }
    assert.ok(unparseable > 100 && opinions.has("valid 2"), `${unparseable} did not parse`);
  });
});

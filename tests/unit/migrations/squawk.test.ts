/** The second opinion: squawk's own binary, what of it is told, and that nothing passes without it. */
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../../scripts/contract/failure";
import { judgeMigrations } from "../../../scripts/migrations/judge";
import { judgeTwice } from "../../../scripts/migrations/secondOpinion";
import { askSquawk } from "../../../scripts/migrations/squawk";

const told = async (...texts: string[]): Promise<string[]> => {
  const { findings } = await judgeTwice(texts.map((sql, place) => ({ file: `${place + 1}.sql`, sql })));
  return findings
    .filter(({ severity }) => severity === "refuse")
    .map(({ file, rule, line, column }) => `${file}:${line}:${column} ${rule}`);
};

describe("squawk's second opinion", function () {
  this.timeout(30_000);

  it("adds what no rule of ours said, with its place in characters", async () => {
    const sql = "-- größer\nSELECT 'é'; CREATE INDEX i ON c (a);";
    const opinions = await askSquawk([{ file: "1.sql", sql }]);
    const [first] = opinions.get("1.sql") ?? [];
    assert.deepEqual([first?.rule, first?.index], ["require-concurrent-index-creation", sql.indexOf("CREATE")]);
    const other = [{ rule: "prefer-repack", index: sql.indexOf("CREATE"), reason: "rewrites" }] as const;
    const { findings } = await judgeMigrations([{ file: "1.sql", sql }], undefined, new Map([["1.sql", other]]));
    assert.deepEqual(
      findings.map(({ rule, line, column, reason }) => `${rule} ${line}:${column} ${reason.split(":")[0] ?? ""}`),
      [
        "index-blocks-writers 2:13 builds an index on c while nobody can write to it",
        "squawk/prefer-repack 2:13 squawk",
      ],
    );
  });

  it("says nothing twice, and nothing of tables that an earlier file of the set made", async () => {
    assert.deepEqual(await told("CREATE INDEX i ON c (a);\nALTER TABLE c ADD CHECK (a > 0);"), [
      "1.sql:1:1 index-blocks-writers",
      "1.sql:2:15 constraint-scans-table",
    ]);
    assert.deepEqual(
      await told("CREATE TABLE n (a int);", "CREATE INDEX i ON n (a); ALTER TABLE n ADD UNIQUE (a);"),
      [],
    );
  });

  it("lets pass what the judge knows to be harmless", async () => {
    assert.deepEqual(
      await told(
        "ALTER TABLE c ADD COLUMN a int REFERENCES b;\nALTER TABLE c ADD CONSTRAINT k CHECK (a > 0) NOT VALID;\nALTER TABLE c VALIDATE CONSTRAINT k;",
        "ALTER TABLE c ALTER COLUMN b TYPE text;",
        "ALTER TABLE c ADD COLUMN d timestamptz NOT NULL DEFAULT now();",
      ),
      [],
    );
  });

  it("is silenced neither by comments nor by a settings file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dbprotect-squawk-"));
    writeFileSync(join(folder, ".squawk.toml"), 'excluded_rules = ["require-concurrent-index-creation"]\n');
    const former = process.cwd();
    process.chdir(folder);
    try {
      const sql = "-- squawk-ignore-file\n-- squawk-ignore require-concurrent-index-creation\nCREATE INDEX i ON c (a);";
      const rules = (await askSquawk([{ file: "1.sql", sql }])).get("1.sql")?.map(({ rule }) => rule);
      assert.ok(rules?.includes("require-concurrent-index-creation"), rules?.join());
    } finally {
      process.chdir(former);
    }
  });

  it("fails where the binary is not there", async () => {
    const arch = Object.getOwnPropertyDescriptor(process, "arch")!;
    Object.defineProperty(process, "arch", { ...arch, value: "mips" });
    try {
      await assert.rejects(
        judgeTwice([{ file: "1.sql", sql: "SELECT 1" }]),
        (error) => error instanceof UsageError && /squawk gave no second opinion/.test(error.message),
      );
    } finally {
      Object.defineProperty(process, "arch", arch);
    }
  });

  it("is not asked of what does not parse", async () => {
    assert.deepEqual(await told("SELEC 1;"), ["1.sql:1:1 unparseable"]);
  });
});

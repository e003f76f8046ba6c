/** The static judge: every family of statements, places, and what it does with texts that are not SQL. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Catalog,
  type Finding,
  findingId,
  judgeMigrations,
  judgementSchema,
  noCatalog,
} from "../../../scripts/migrations/judge";
import { ruleCatalog } from "../../../scripts/migrations/ruleCatalog";
import { askSquawk } from "../../../scripts/migrations/squawk";
import { harmless, hostile } from "./adversarialCases";
import {
  type Case,
  additive,
  blocking,
  breaking,
  context,
  destroying,
  opening,
  procedural,
  transactions,
  types,
} from "./cases";

const families: Readonly<Record<string, readonly Case[]>> = {
  "destroys data": destroying,
  "in procedural code": procedural,
  "breaks the running application": breaking,
  "weakens security": opening,
  "blocks writers": blocking,
  transactions: transactions,
  "is additive": additive,
  "knows the set": context,
  "changes a column's type": types,
};

for (const [family, cases] of Object.entries(families)) {
  describe(`the judge: ${family}`, () => {
    for (const expected of cases) {
      it(expected.title, async () => {
        const judgement = await judgeMigrations(filesOf(expected), catalogOf(expected.columns ?? {}));
        const of = (severity: Finding["severity"]): string[] =>
          judgement.findings.filter((finding) => finding.severity === severity).map(shortly);
        assert.deepEqual(of("refuse"), expected.refused);
        if (expected.informed !== undefined && expected.informed.length > 0)
          assert.deepEqual(of("inform"), expected.informed);
        assert.equal(judgement.verdict, expected.refused.length === 0 ? "pass" : "refused");
        judgementSchema.parse(judgement);
      });
    }
  });
}

describe("the judge: what is written against it", () => {
  for (const [title, sql, ...rules] of hostile) {
    it(`refuses ${title}`, async () => {
      const refused = (await findingsOf(sql)).filter(({ severity }) => severity === "refuse");
      assert.deepEqual([...new Set(refused.map(({ rule }) => rule))].sort(), rules);
    });
  }

  it("lets pass what only looks like it, squawk asked as well", async () => {
    const files = harmless.map(([title, sql]) => ({ file: title, sql }));
    const opinions = await askSquawk(files);
    for (const file of files) {
      const { verdict, findings } = await judgeMigrations([file], undefined, opinions);
      assert.equal(verdict, "pass", `${file.file}: ${JSON.stringify(findings)}`);
    }
  });
});

describe("the judge: places", () => {
  it("counts characters, not bytes, and draws the caret below them", async () => {
    const [finding] = await findingsOf("-- größer 😀\nSELECT '😀é', \"ü\" FROM t; DELETE FROM clients;\n");
    assert.deepEqual([finding?.line, finding?.column], [2, 26]);
    assert.equal(finding?.excerpt, `SELECT '😀é', "ü" FROM t; DELETE FROM clients;\n${" ".repeat(25)}^`);
  });

  it("finds a statement inside a body behind wide characters", async () => {
    const [finding] = await findingsOf("-- ééé\nDO $ü$ BEGIN RAISE NOTICE '😀'; DELETE FROM clients; END $ü$;");
    assert.deepEqual([finding?.line, finding?.column], [2, 32]);
  });

  it("tells the place of a syntax error", async () => {
    const [finding] = await findingsOf("SELECT 'é';\nSELECT 'é'; DROP TABEL x;");
    assert.deepEqual([finding?.rule, finding?.line, finding?.column], ["unparseable", 2, 18]);
  });

  it("names the command within an ALTER TABLE of many", async () => {
    const [finding] = await findingsOf("ALTER TABLE a.b ADD COLUMN x numeric(1, 2), /* , */ DROP COLUMN y;");
    assert.equal(finding?.column, 53);
  });

  it("cuts the excerpt of a long line and keeps the caret under its place", async () => {
    const [finding] = await findingsOf(`INSERT INTO t VALUES ('${"x".repeat(5000)}'); DELETE FROM clients;`);
    const [line = "", caret = ""] = (finding?.excerpt ?? "").split("\n");
    assert.ok(line.length <= 122, line);
    assert.equal(line.slice(caret.indexOf("^")).startsWith("DELETE FROM clients"), true, finding?.excerpt);
  });

  it("keeps carriage returns out of the excerpt", async () => {
    const [finding] = await findingsOf("SELECT 1;\r\nDROP TABLE clients;\r\n");
    assert.deepEqual([finding?.line, finding?.excerpt], [2, "DROP TABLE clients;\n^"]);
  });

  it("reports one place once, however often a function is called", async () => {
    const findings = await findingsOf(
      "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM t'; SELECT f(); SELECT f(), f();",
    );
    assert.deepEqual(findings.map(shortly), ["delete:1"]);
  });

  it("gives a finding the id that an override names", async () => {
    const [finding] = await findingsOf("DROP TABLE clients;");
    assert.equal(finding && findingId(finding), "1.sql:drop-table");
    assert.equal(finding?.saferWay, ruleCatalog["drop-table"].saferWay);
    assert.match(finding.reason, /clients/);
  });
});

describe("the judge: texts that are not SQL", () => {
  const notSql: Readonly<Record<string, string>> = {
    "a NUL, behind which the parser would not look": "SELECT 1;\0DROP TABLE clients;",
    "half a character": "SELECT '\ud83d';",
    "a meta-command of psql": "\\i other.sql",
    "an open quote": "SELECT 'x",
    "an open dollar quote": "DO $$ BEGIN DELETE FROM clients;",
    "thousands of parentheses": `SELECT ${"(".repeat(30_000)}1${")".repeat(30_000)};`,
    "thousands of operators": `SELECT 1${"+1".repeat(50_000)};`,
  };
  for (const [what, sql] of Object.entries(notSql)) {
    it(what, async () => {
      const judgement = await judgeMigrations([{ file: "1.sql", sql }]);
      assert.equal(judgement.verdict, "refused");
      assert.deepEqual(
        judgement.findings.map((finding) => finding.rule),
        ["unparseable"],
      );
    });
  }

  it("judges the other files of the set all the same", async () => {
    const judgement = await judgeMigrations([
      { file: "1.sql", sql: "SELEC 1;" },
      { file: "2.sql", sql: "DROP TABLE clients;" },
    ]);
    assert.deepEqual(judgement.findings.map(findingId), ["1.sql:unparseable", "2.sql:drop-table"]);
  });

  it("gives a verdict for any text within a second, and never a pass for what does not parse", async () => {
    const pieces = [
      "DO $$ BEGIN ",
      "END $$;",
      "DELETE FROM t",
      ";",
      "'",
      "$$",
      "--",
      "/*",
      "CREATE ",
      "ALTER TABLE a ",
      "(",
      "\n",
      "😀",
    ];
    const text = fc
      .array(fc.oneof(fc.constantFrom(...pieces), fc.string()), { maxLength: 12 })
      .map((parts) => parts.join(""));
    await fc.assert(
      fc.asyncProperty(text, async (sql) => {
        const before = performance.now();
        const judgement = await judgeMigrations([{ file: "1.sql", sql }]);
        assert.ok(performance.now() - before < 1000);
        // Whatever holds a DELETE as a statement of its own is refused, with or without a syntax error around it.
        const unparseable = judgement.findings.some((finding) => finding.rule === "unparseable");
        if (unparseable) assert.equal(judgement.verdict, "refused");
      }),
      { numRuns: 300 },
    );
  });

  it("never lets a DELETE pass, whatever valid text stands around it", async () => {
    const literal = fc.string().map((text) => `'${text.replaceAll("'", "''").replaceAll("\0", "")}'`);
    await fc.assert(
      fc.asyncProperty(fc.array(literal, { maxLength: 5 }), fc.boolean(), async (literals, inBlock) => {
        const before = literals.map((value) => `SELECT ${value}; -- ${value.replaceAll(/[\r\n]/g, " ")}\n`).join("");
        const statement = inBlock ? "DO $q$ BEGIN DELETE FROM clients; END $q$;" : "DELETE FROM clients;";
        const { findings } = await judgeMigrations([{ file: "1.sql", sql: before + statement }]);
        const found = findings.find((finding) => finding.rule === "delete" || finding.rule === "unparseable");
        assert.ok(found, before + statement);
        if (found.rule === "delete") assert.ok(found.excerpt.includes("DELETE FROM clients"), found.excerpt);
      }),
      { numRuns: 200 },
    );
  });
});

function filesOf(expected: Case): { file: string; sql: string }[] {
  const texts = typeof expected.sql === "string" ? [expected.sql] : expected.sql;
  return texts.map((sql, place) => ({ file: `${place + 1}.sql`, sql }));
}

function catalogOf(columns: Readonly<Record<string, string>>): Catalog {
  return {
    ...noCatalog,
    columnType: (schema, table, column) => Promise.resolve(columns[`${schema}.${table}.${column}`]),
  };
}

async function findingsOf(sql: string): Promise<Finding[]> {
  return (await judgeMigrations([{ file: "1.sql", sql }])).findings;
}

function shortly(finding: Finding): string {
  return `${finding.rule}:${finding.line}${finding.file === "1.sql" ? "" : `@${finding.file}`}`;
}

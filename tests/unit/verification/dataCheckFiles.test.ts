/** The format of `checks/*.sql`: what is accepted, and the one line that says what is wrong. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../../scripts/contract/failure";
import { judge, parseExpectation } from "../../../scripts/verification/dataChecks/expectation";
import { loadDataChecks } from "../../../scripts/verification/dataChecks/loadDataChecks";
import { parseDataCheck } from "../../../scripts/verification/dataChecks/parseDataCheck";

const header = "-- name: no-orphans\n-- severity: halt\n-- expect: no rows\n";

async function mistake(text: string): Promise<string> {
  try {
    await parseDataCheck(text, "checks/a.sql");
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    return error.message;
  }
  return "no mistake";
}

describe("parseDataCheck", () => {
  it("reads every key, prose between them, and the query without its semicolon", async () => {
    const check = await parseDataCheck(
      `-- Ünïcode prose, which is: allowed\r\n${header}-- requires: public.tasks, Public."Old Clients".ID\n-- timeout: 2min\n-- evidence: rows\n\nSELECT 'ü;--' AS a; -- done\n`,
      "checks/a.sql",
    );
    assert.deepEqual(check, {
      name: "no-orphans",
      file: "checks/a.sql",
      severity: "halt",
      expectation: { of: "rows", operator: "=", number: "0", text: "no rows" },
      requirements: [
        { schema: "public", table: "tasks", column: undefined, text: "public.tasks" },
        { schema: "public", table: "Old Clients", column: "id", text: 'Public."Old Clients".ID' },
      ],
      timeoutMilliseconds: 120_000,
      evidence: "rows",
      query: check.query,
    });
    assert.match(check.query, /SELECT 'ü;--' AS a$/);
  });

  it("has defaults for what may be left out", async () => {
    const check = await parseDataCheck(`${header}TABLE public.clients`, "checks/a.sql");
    assert.deepEqual([check.requirements, check.timeoutMilliseconds, check.evidence], [[], 30_000, "keys"]);
    assert.match(check.query, /TABLE public\.clients$/);
  });

  for (const [what, text, expected] of [
    [
      "a missing key",
      "-- severity: halt\n-- expect: rows\nSELECT 1",
      /^checks\/a\.sql:1: name: found nothing: expected/,
    ],
    ["a key after the query", `-- name: a\nSELECT 1\n-- severity: halt`, /^checks\/a\.sql:1: severity: found nothing/],
    [
      "an unknown key",
      `${header}-- severty: warn\nSELECT 1`,
      /^checks\/a\.sql:4: header: found severty: expected one of name,/,
    ],
    ["a key twice", `${header}-- name: b\nSELECT 1`, /^checks\/a\.sql:4: name: found it a second time/],
    ["a bad name", `-- name: No Orphans\n`, /^checks\/a\.sql:1: name: found No Orphans: expected lower-case/],
    [
      "a bad severity",
      `-- name: a\n\n-- severity: fatal\nSELECT 1`,
      /^checks\/a\.sql:3: severity: found fatal: expected halt or warn/,
    ],
    [
      "a bad expectation",
      header.replace("no rows", "nothing"),
      /^checks\/a\.sql:3: expect: found nothing: expected no rows, rows/,
    ],
    [
      "a bad requirement",
      `${header}-- requires: clients\nSELECT 1`,
      /^checks\/a\.sql:4: requires: found clients: expected schema\.table/,
    ],
    ["an empty requirement", `${header}-- requires: public.a,\nSELECT 1`, /^checks\/a\.sql:4: requires: found nothing/],
    ["a requirement with rubbish", `${header}-- requires: public.a b\nSELECT 1`, /requires: found public\.a b/],
    [
      "a bad timeout",
      `${header}-- timeout: 0s\nSELECT 1`,
      /^checks\/a\.sql:4: timeout: found 0s: expected a number with ms/,
    ],
    [
      "bad evidence",
      `${header}-- evidence: all\nSELECT 1`,
      /^checks\/a\.sql:4: evidence: found all: expected keys or rows/,
    ],
    ["no query", header, /query: found 0 statements: expected one query/],
    ["two statements", `${header}SELECT 1; COMMIT`, /query: found 2 statements: expected one query/],
    ["a statement that ends the transaction", `${header}COMMIT`, /query: found TRANSACTION: expected SELECT/],
    ["a statement that writes", `${header}DELETE FROM clients`, /query: found DELETE: expected SELECT/],
    [
      "a syntax error, by its line",
      `${header}SELECT 'é'\n  FROM FROM x`,
      /^checks\/a\.sql:5: query: syntax error at or near "FROM"/,
    ],
  ] as const) {
    it(`names ${what}`, async () => assert.match(await mistake(text), expected));
  }
});

describe("expectations", () => {
  const result = (...values: (string | null)[]) => ({
    columns: ["a"],
    rows: values.map((v) => [v]),
    rowCount: values.length,
  });
  const meets = (text: string, ...values: (string | null)[]) => judge(parseExpectation(text)!, result(...values)).met;

  it("compares the number of rows", () => {
    assert.deepEqual(
      [meets("no rows"), meets("no rows", "x"), meets("rows"), meets("rows", null)],
      [true, false, false, true],
    );
    assert.deepEqual(
      [meets("rows >= 2", "x"), meets("rows >= 2", "x", "y"), meets("rows = 1", "x", "y")],
      [false, true, false],
    );
  });

  it("compares one value, whole numbers exactly", () => {
    assert.deepEqual(
      [meets("value > 9", "10"), meets("value <= 9", "10"), meets("value <> 1", "1.0")],
      [true, false, false],
    );
    assert.ok(meets("value = 9007199254740993", "9007199254740993"));
    assert.ok(!meets("value = 9007199254740993", "9007199254740992"));
    assert.ok(meets("value >= -0.5", "-0.25"));
  });

  it("compares text only with =", () => {
    assert.ok(meets("value = all is well", "all is well"));
    assert.equal(parseExpectation("value < abc"), undefined);
    assert.equal(parseExpectation("rows >= many"), undefined);
    assert.equal(parseExpectation("value"), undefined);
  });

  it("is not met by NULL, by text for a number, or by none or several rows", () => {
    assert.deepEqual(
      [meets("value <> 1", null), meets("value <> 1", "x"), meets("value = 1"), meets("value = 1", "1", "1")],
      [false, false, false, false],
    );
  });
});

describe("loadDataChecks", () => {
  let root: string;
  beforeEach(() => (root = mkdtempSync(join(tmpdir(), "checks-"))));
  afterEach(() => rmSync(root, { recursive: true }));

  it("is the strategy's own set where there is no folder `checks`", async () => {
    const checks = await loadDataChecks("checks", root);
    assert.deepEqual(
      checks.map(({ name, severity }) => `${name} ${severity}`),
      [
        "chat-messages-exist warn",
        "client-corruption halt",
        "client-integrity halt",
        "clients-exist halt",
        "record-counts halt",
        "tasks-exist warn",
      ],
    );
  });

  it("adds the project's own, which take the place of a namesake", async () => {
    mkdirSync(join(root, "checks"));
    writeFileSync(join(root, "checks", "README.md"), "not a check");
    writeFileSync(join(root, "checks", "1.sql"), `${header}SELECT 1`);
    writeFileSync(
      join(root, "checks", "2.sql"),
      `${header.replace("no-orphans", "clients-exist").replace("halt", "warn")}SELECT 1`,
    );
    const checks = await loadDataChecks("checks", root);
    assert.equal(checks.length, 7);
    assert.deepEqual(
      checks.slice(-2).map(({ name, severity, file }) => [name, severity, file]),
      [
        ["no-orphans", "halt", "checks/1.sql"],
        ["clients-exist", "warn", "checks/2.sql"],
      ],
    );
  });

  it("refuses a configured folder that is missing, and two checks of one name", async () => {
    await assert.rejects(loadDataChecks("db/checks", root), (error) => {
      return error instanceof UsageError && /^checks: found db\/checks: no such folder/.test(error.message);
    });
    mkdirSync(join(root, "checks"));
    for (const file of ["1.sql", "2.sql"]) writeFileSync(join(root, "checks", file), `${header}SELECT 1`);
    await assert.rejects(
      loadDataChecks("checks", root),
      /checks\/2\.sql: name: found no-orphans, the name of checks\/1\.sql/,
    );
  });
});

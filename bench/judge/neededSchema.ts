/**
 * What a text refers to and does not make itself, told by the server's own errors: it is run on a copy, and what was missing
 * is made, with five rows in each table, until it runs. So SQL of others can be tried that comes without its schema.
 */
import type { Client } from "pg";
import { withConnection } from "../../scripts/database/connect";
import { quoteIdentifier as quote, quoteLiteral } from "../../scripts/database/sqlText";
import { type DatabaseTarget, withDatabase } from "../../scripts/database/target";
import { MigrationFailed, applyMigrations } from "../../scripts/migrations/apply";
import { SyntaxFault, parseStatements } from "../../scripts/migrations/parser";
import { SourceText } from "../../scripts/migrations/sourceText";
import type { Migration } from "../../scripts/migrations/sources";
import { planRun } from "../../scripts/migrations/transactionMode";

/** How often something missing may be made: more than any fixture needs. */
const patience = 40;

/**
 * Fills the empty database `base` with what the text needs.
 *
 * @returns undefined when it runs, else why it does not.
 */
export async function makeNeeded(base: DatabaseTarget, migration: Migration): Promise<string | undefined> {
  const made: string[] = [];
  const times = (sql: string): number => made.filter((other) => other === sql).length;
  for (let round = 0; round < patience; round++) {
    const { failure, missing } = await attempt(base, migration);
    const statements = missing.flatMap((problem) => suppliesFor(problem)).map((sql) => ({ sql, times: times(sql) }));
    // What was made for one statement may have gone with what was made for another: once more, then.
    const sql = statements.filter(({ times }) => times < 2).sort((a, b) => a.times - b.times)[0]?.sql;
    if (sql === undefined) return failure;
    made.push(sql);
    // One that the server does not take leaves the problem as it is, and the next one is tried.
    await withConnection(base, (client) => client.query(sql), "plain").catch(() => undefined);
  }
  return `something is still missing after ${patience} rounds`;
}

interface Problem {
  readonly message: string;
  readonly detail: string;
  /** The tree of the statement that met it; of the whole text for a notice, which names no place. */
  readonly tree: unknown;
  readonly text: string;
}

interface Attempt {
  readonly failure?: string;
  readonly missing: readonly Problem[];
}

/** Runs the text, and takes it back. What IF EXISTS did not find is missing as well. */
async function attempt(base: DatabaseTarget, migration: Migration): Promise<Attempt> {
  const text = migration.sql;
  const notices: string[] = [];
  const run = (client: Client, options: object): Promise<unknown> => {
    client.on("notice", ({ message }) => notices.push(message ?? ""));
    return applyMigrations(client, [migration], { lockTimeoutSeconds: 5, statementTimeoutSeconds: 20, ...options });
  };
  try {
    const beforeCommit = (): Promise<void> => Promise.reject(new TakenBack());
    if (leavesTraces(text)) await onCopy(base, (client) => run(client, {}));
    else await withConnection(base, (client) => run(client, { beforeCommit }), "plain");
  } catch (error) {
    if (!(error instanceof MigrationFailed)) throw error;
    if (!(error.cause instanceof TakenBack)) {
      const cause = error.cause as { message?: string; detail?: string } | undefined;
      const { message = error.message, detail = "" } = cause ?? {};
      return { failure: message, missing: [{ message, detail, tree: statementAt(text, error), text }] };
    }
  }
  const tree = parseStatements(new SourceText("", text));
  const skipped = notices.filter((message) => message.endsWith(", skipping"));
  return { missing: skipped.map((message) => ({ message: message.slice(0, -10), detail: "", tree, text })) };
}

/** It ran to its end, and is rolled back. */
class TakenBack extends Error {}

/** A sequence keeps the value that a rolled back transaction gave it, and what runs alone cannot be rolled back. */
function leavesTraces(text: string): boolean {
  try {
    return /setval/i.test(text) || planRun(parseStatements(new SourceText("", text))).mode === "alone";
  } catch (error) {
    if (error instanceof SyntaxFault) return false;
    throw error;
  }
}

async function onCopy(base: DatabaseTarget, work: (client: Client) => Promise<unknown>): Promise<void> {
  const copy = withDatabase(base, `${base.database}_attempt`);
  const onServer = (sql: string): Promise<unknown> =>
    withConnection(withDatabase(base, "postgres"), (client) => client.query(sql), "plain");
  await onServer(`CREATE DATABASE ${quote(copy.database)} TEMPLATE ${quote(base.database)}`);
  try {
    await withConnection(copy, work, "plain");
  } finally {
    await onServer(`DROP DATABASE ${quote(copy.database)} WITH (FORCE)`);
  }
}

function statementAt(text: string, { line, column }: MigrationFailed): unknown {
  const source = new SourceText("", text);
  try {
    const place = source.byteOfIndex(source.indexOfLine(line)) + column - 1;
    return parseStatements(source).find(({ start, end }) => start <= place && place <= end)?.node;
  } catch {
    return undefined; // it does not parse: nothing can be made for it
  }
}

type Supply = (found: readonly string[], problem: Problem) => string | readonly string[];

/** By what the server says (src/backend, catalog and commands). Each gives statements, the likeliest first. */
const supplies: readonly (readonly [RegExp, Supply])[] = [
  [/^schema "(.+)" does not exist/, ([name]) => `CREATE SCHEMA ${quote(name!)}`],
  [/^role "(.+)" does not exist/, ([name]) => `CREATE ROLE ${quote(name!)}`],
  [/^extension "(.+)" does not exist/, ([name]) => `CREATE EXTENSION ${quote(name!)}`],
  [/^publication "(.+)" does not exist/, ([name]) => `CREATE PUBLICATION ${quote(name!)}`],
  [/^large object (\d+) does not exist/, ([id]) => `SELECT lo_create(${id})`],
  [/^materialized view "(.+)" does not exist/, ([name]) => makeMaterializedView(name!)],
  [/^view "(.+)" does not exist/, ([name]) => `CREATE VIEW ${qualified(name!)} AS SELECT 1 AS one`],
  [/^sequence "(.+)" does not exist/, ([name]) => makeSequence(name!)],
  [/^index "(.+)" does not exist/, ([name], { tree }) => makeIndex(name!, tree)],
  [/^(?:relation|table) "(.+)" does not exist/, ([name], { tree, text }) => makeRelation(name!, tree, text)],
  [
    /^column "(.+)" of relation "(.+)" does not exist/,
    ([column, table], { text, tree }) => [
      addColumn(tableOf(table!, tree), column!, text),
      `ALTER TYPE ${qualified(table!)} ADD ATTRIBUTE ${quote(column!)} text`,
    ],
  ],
  [
    /^column "?([^".]+)"?\."?([^".]+)"? does not exist/,
    ([alias, column], { tree, text }) => addColumn(tableOf(alias!, tree), column!, text),
  ],
  [
    /^column "(.+?)"(?: (?:named in|referenced in).*)? does not exist/,
    ([column], { tree, text }) => tablesIn(tree).map((table) => addColumn(table, column!, text)),
  ],
  [/^type "(.+)" does not exist/, ([name], { tree, text }) => makeType(name!, tree, text)],
  [
    /^"(.+)" is not an existing enum label/,
    ([label], { tree }) =>
      listIn(tree, "typeName").map((type) => `ALTER TYPE ${type} ADD VALUE ${quoteLiteral(label!)}`),
  ],
  [
    /^constraint "(.+)" (?:of|for) (?:relation|table) "(.+)" does not exist/,
    ([name, table]) =>
      `ALTER TABLE ${qualified(table!)} ADD CONSTRAINT ${quote(name!)} CHECK (fixture_key > 0) NOT VALID`,
  ],
  [
    /^constraint "(.+)" (?:of|for) domain "?(.+?)"? does not exist/,
    ([name, domain]) => `ALTER DOMAIN ${qualified(domain!)} ADD CONSTRAINT ${quote(name!)} CHECK (true)`,
  ],
  [
    /^trigger "(.+)" for (?:relation|table) "(.+)" does not exist/,
    ([name, table]) => [
      makeFunction("fixture_trigger", "", true),
      `CREATE TRIGGER ${quote(name!)} AFTER INSERT ON ${qualified(table!)} EXECUTE FUNCTION fixture_trigger()`,
    ],
  ],
  [
    /^policy "(.+)" for (?:relation|table) "(.+)" does not exist/,
    ([name, table]) => `CREATE POLICY ${quote(name!)} ON ${qualified(table!)} USING (fixture_key > 0)`,
  ],
  [
    /^rule "(.+)" for relation "(.+)" does not exist/,
    ([name, table]) => `CREATE RULE ${quote(name!)} AS ON DELETE TO ${qualified(table!)} DO ALSO NOTHING`,
  ],
  [
    /^procedure (.+)\((.*)\) does not exist/,
    ([name, types]) => `CREATE PROCEDURE ${name}(${argumentsOf(types!)}) LANGUAGE sql AS 'SELECT 1'`,
  ],
  [
    /^function (.+)\((.*)\) does not exist/,
    ([name, types], { tree }) => makeFunction(name!, types!, has(tree, "CreateTrigStmt")),
  ],
  [
    /^could not find a (function|procedure) named "(.+)"/,
    ([kind, name]) =>
      `CREATE ${kind} ${qualified(name!)}() ${kind === "function" ? "RETURNS int" : ""} LANGUAGE sql AS 'SELECT 1'`,
  ],
  [/^table "(.+)" is not partitioned/, ([table], { tree }) => makePartition(table!, tree)],
  [
    /^relation "(.+)" is not a parent of relation "(.+)"/,
    ([parent, child]) => `ALTER TABLE ${qualified(child!)} INHERIT ${qualified(parent!)}`,
  ],
  [
    /^column "(.+)" of relation "(.+)" is not an identity column/,
    ([column, table]) =>
      `ALTER TABLE ${qualified(table!)} ALTER ${quote(column!)} SET NOT NULL, ALTER ${quote(column!)} ADD GENERATED BY DEFAULT AS IDENTITY`,
  ],
  [
    /^column "(.+)" of relation "(.+)" is not a generated column/,
    ([column, table]) =>
      `ALTER TABLE ${qualified(table!)} DROP ${quote(column!)}, ADD ${quote(column!)} bigint GENERATED ALWAYS AS (fixture_key) STORED`,
  ],
  [
    /^column "(.+)" of relation "(.+)" is an identity column/,
    ([column, table]) => `ALTER TABLE ${qualified(table!)} ALTER ${quote(column!)} DROP IDENTITY`,
  ],
  [/^multiple primary keys for table "(.+)"/, ([table]) => makeKeyUnique(table!)],
  [
    /^there is no unique constraint matching given keys for referenced table "(.+)"/,
    ([table], { tree }) => `ALTER TABLE ${qualified(table!)} ADD UNIQUE (${listIn(tree, "pk_attrs").join()})`,
  ],
  [
    /^there is no unique or exclusion constraint matching the ON CONFLICT/,
    (_, { tree }) =>
      tablesIn(tree)
        .slice(0, 1)
        .map((table) => `ALTER TABLE ${qualified(table)} ADD UNIQUE (${conflictColumns(tree)})`),
  ],
  [
    /^foreign key constraint .* cannot be implemented/,
    (_, { tree, detail }) => {
      const [, , column, type] = /^Key columns "(.+?)" .*"(.+?)" .*: (.+) and .+\.$/.exec(detail) ?? [];
      return tablesIn(tree, "pktable").map((table) => retype(table, column ?? "", type ?? "text"));
    },
  ],
  [
    /^column "(.+)" is of type .+ but expression is of type (.+)/,
    ([column, type], { tree }) => tablesIn(tree).map((table) => retype(table, column!, type!)),
  ],
  [
    /^there is no previously clustered index for table "(.+)"/,
    ([table]) => `ALTER TABLE ${qualified(table!)} CLUSTER ON ${quote(`${table!}_pkey`)}`,
  ],
  [
    /has no default operator class for access method "gist"/,
    (_, { tree }) => tablesIn(tree).flatMap((table) => namesIn(tree).map((name) => retype(table, name, "int4range"))),
  ],
  [
    /^operator does not exist: |^invalid input syntax for type |cannot be cast automatically|^function \w+\(text\)/,
    ({ length }, { message, tree }) => {
      const type = /text|character/.test(message) && length === 0 ? "bigint" : "text";
      return tablesIn(tree).flatMap((table) => columnsIn(tree).map((column) => retype(table, column, type)));
    },
  ],
  [
    /^INSERT has more expressions than target columns/,
    (_, { tree, text }) =>
      ["b", "c", "d", "e"].flatMap((column) =>
        tablesIn(tree)
          .slice(0, 1)
          .map((table) => addColumn(table, `fixture_${column}`, text)),
      ),
  ],
];

function suppliesFor(problem: Problem): readonly string[] {
  return supplies.flatMap(([pattern, supply]) => {
    const found = pattern.exec(problem.message);
    return found === null ? [] : supply(found.slice(1), problem);
  });
}

const rows = 5;

function makeTable(name: string): string {
  const table = qualified(name);
  return `CREATE TABLE ${table} (fixture_key bigint GENERATED BY DEFAULT AS IDENTITY (START WITH 101) PRIMARY KEY);
    INSERT INTO ${table} SELECT generate_series(1, ${rows})`;
}

function makeRelation(name: string, tree: unknown, text: string): string {
  if (has(tree, "RefreshMatViewStmt")) return makeMaterializedView(name);
  if (has(tree, "AlterSeqStmt") || /_seq"?$/.test(name)) return makeSequence(name);
  if (has(tree, "ReindexStmt") && /\bindex\b/i.test(text)) return makeIndex(name, undefined);
  if (has(tree, "ViewStmt") || !/"objtype":"OBJECT_(TYPE|VIEW|MATVIEW)"/.test(JSON.stringify(tree)))
    return makeTable(name);
  if (/"objtype":"OBJECT_TYPE"/.test(JSON.stringify(tree))) return `CREATE TYPE ${qualified(name)} AS (fixture text)`;
  return `CREATE VIEW ${qualified(name)} AS SELECT 1 AS one`;
}

function makeMaterializedView(name: string): string {
  return `CREATE MATERIALIZED VIEW ${qualified(name)} AS SELECT 1 AS one; CREATE UNIQUE INDEX ON ${qualified(name)} (one)`;
}

function makeSequence(name: string): string {
  return `CREATE SEQUENCE ${qualified(name)}; SELECT setval(${quoteLiteral(qualified(name))}, 500)`;
}

/** On the table that the statement is of, else on one of its own. */
function makeIndex(name: string, tree: unknown): string {
  const [table] = has(tree, "AlterTableStmt") ? tablesIn(tree) : [];
  const on = table ?? `of_${name.split(".").at(-1) ?? ""}`;
  const make = table === undefined ? `${makeTable(on)};` : "";
  return `${make} CREATE UNIQUE INDEX ${quote(name.split(".").at(-1) ?? "")} ON ${qualified(on)} (fixture_key)`;
}

/** The key stays unique, so that rows are still told apart by it. */
function makeKeyUnique(table: string): string {
  const key = quote(`${table.split(".").at(-1) ?? ""}_pkey`);
  return `ALTER TABLE ${qualified(table)} DROP CONSTRAINT ${key}, ADD UNIQUE (fixture_key)`;
}

function makePartition(parent: string, tree: unknown): string {
  const child = tablesIn(tree).find((table) => table.split(".").at(-1) !== parent.split(".").at(-1)) ?? "";
  const [whole, part] = [qualified(parent), qualified(child)];
  const attached = JSON.stringify(tree).includes("AT_AttachPartition")
    ? `CREATE TABLE ${part} (fixture_key date NOT NULL)`
    : `CREATE TABLE ${part} PARTITION OF ${whole} FOR VALUES FROM ('2020-01-01') TO ('2030-01-01')`;
  return `DROP TABLE IF EXISTS ${whole}, ${part}; CREATE TABLE ${whole} (fixture_key date NOT NULL) PARTITION BY RANGE (fixture_key);
    ${attached}; INSERT INTO ${part} SELECT date '2024-02-01' + i FROM generate_series(1, ${rows}) i`;
}

/** A domain where the text treats it as one, else an enum of the text's own words. */
function makeType(name: string, tree: unknown, text: string): string {
  if (has(tree, "AlterDomainStmt") || /\bdomain\b/i.test(text)) return `CREATE DOMAIN ${qualified(name)} AS int`;
  const words = [...text.matchAll(/'([^']{1,60})'/g)]
    .map(([, word = ""]) => word)
    .filter((word) => !word.startsWith("new"));
  const labels = [...new Set(["first", ...words])].map(quoteLiteral);
  return `CREATE TYPE ${qualified(name)} AS ENUM (${labels.join()})`;
}

function makeFunction(name: string, types: string, ofTrigger: boolean): string {
  return ofTrigger || name === "fixture_trigger"
    ? `CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`
    : `CREATE FUNCTION ${name}(${argumentsOf(types)}) RETURNS int LANGUAGE sql AS 'SELECT 1'`;
}

function argumentsOf(types: string): string {
  return types.replaceAll("unknown", "text");
}

/** Its type is told by its name and by what the text compares it with. */
function addColumn(table: string, column: string, text: string): string {
  const compared = new RegExp(`\\b${column.replace(/\W/g, ".")}"?\\s*[-+*<>=]+\\s*\\d`, "i").test(text);
  const numeric =
    compared || /(^|_)id$|^(i|n|a|b|c)$|age|price|amount|total|balance|quantity|count|number/i.test(column);
  const type = numeric ? "bigint" : /_at$|_ts$|time|date/i.test(column) ? "timestamptz" : "text";
  return `ALTER TABLE ${qualified(table)} ADD ${quote(column)} ${type};
    UPDATE ${qualified(table)} SET ${quote(column)} = ${valueOf(type)}`;
}

function retype(table: string, column: string, type: string): string {
  return `ALTER TABLE ${qualified(table)} DROP ${quote(column)}, ADD ${quote(column)} ${type};
    UPDATE ${qualified(table)} SET ${quote(column)} = ${valueOf(type)}`;
}

/** Another one in each row. */
function valueOf(type: string): string {
  if (type === "int4range") return "int4range(fixture_key::int * 10, fixture_key::int * 10 + 5)";
  if (/int|numeric|real|double/.test(type)) return "fixture_key";
  if (/time|date/.test(type)) return "timestamptz '2024-01-01' + fixture_key * interval '1 day'";
  if (type === "uuid") return "md5(fixture_key::text)::uuid";
  if (/json/.test(type)) return `to_jsonb(fixture_key)::${type}`;
  return /text|char/.test(type) ? "'value ' || fixture_key" : "NULL";
}

/** As messages write it: `app.users`. */
function qualified(name: string): string {
  return name
    .split(".")
    .map((part) => quote(part.replaceAll('"', "")))
    .join(".");
}

/** Does the tree hold a node of that kind? */
function has(tree: unknown, kind: string): boolean {
  return (JSON.stringify(tree) ?? "").includes(`"${kind}"`);
}

interface Relation {
  readonly name: string;
  readonly alias: string | undefined;
}

/** Every relation that the tree names, in its order; below a field of that name only, where one is given. */
function relationsIn(tree: unknown, field?: string): Relation[] {
  if (typeof tree !== "object" || tree === null) return [];
  const { relname, schemaname, alias } = tree as {
    relname?: string;
    schemaname?: string;
    alias?: { aliasname?: string };
  };
  const own =
    typeof relname === "string" && field === undefined
      ? [{ name: [schemaname ?? [], relname].flat().join("."), alias: alias?.aliasname }]
      : [];
  return [
    ...own,
    ...Object.entries(tree).flatMap(([key, value]) => relationsIn(value, key === field ? undefined : field)),
  ];
}

function tablesIn(tree: unknown, field?: string): string[] {
  return [...new Set(relationsIn(tree, field).map(({ name }) => name))];
}

function tableOf(alias: string, tree: unknown): string {
  const found = relationsIn(tree).find((one) => one.alias === alias || one.name.split(".").at(-1) === alias);
  return found?.name ?? alias;
}

/** The strings below the first field of that name. */
function listIn(tree: unknown, field: string): string[] {
  const list = new RegExp(`"${field}":\\[(.*?)\\]`).exec(JSON.stringify(tree) ?? "")?.[1] ?? "";
  return [...list.matchAll(/"sval":"(.*?)"/g)].map(([, word = ""]) => quote(word));
}

/** The columns of an index or an exclusion constraint. */
function namesIn(tree: unknown): string[] {
  return [...(JSON.stringify(tree) ?? "").matchAll(/"IndexElem":\{"name":"(.*?)"/g)].map(([, name = ""]) => name);
}

function conflictColumns(tree: unknown): string {
  const columns = /"indexElems":\[(.*?)\]/.exec(JSON.stringify(tree) ?? "")?.[1] ?? "";
  return [...columns.matchAll(/"name":"(.*?)"/g)].map(([, word = ""]) => quote(word)).join();
}

function columnsIn(tree: unknown): string[] {
  const lists = [...(JSON.stringify(tree) ?? "").matchAll(/"ColumnRef":\{"fields":\[(.*?)\]/g)];
  return [...new Set(lists.flatMap(([, list = ""]) => [...list.matchAll(/"sval":"(.*?)"/g)].at(-1)?.[1] ?? []))];
}

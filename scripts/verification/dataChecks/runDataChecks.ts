/** Runs the data checks, read-only, and judges: the strategy's "Data Validation Scripts" and the project's own. */
import { performance } from "node:perf_hooks";
import type { ClientBase, CustomTypesConfig } from "pg";
import { z } from "zod";
import { Unavailable, codeOf, messageOf } from "../../contract/failure";
import { isConnectionLoss } from "../../database/connect";
import { type Expectation, type QueryResult, judge } from "./expectation";
import { loadDataChecks } from "./loadDataChecks";
import type { DataCheck, Requirement } from "./parseDataCheck";

const dataCheckResultSchema = z.object({
  name: z.string(),
  file: z.string(),
  severity: z.enum(["halt", "warn"]),
  /** `fail` and `warn` say that the expectation was not met; `error` that the query could not be run. */
  outcome: z.enum(["pass", "fail", "warn", "not applicable", "error"]),
  /** One line: what was found, what was expected, and at most ten keys or rows. */
  evidence: z.string(),
  milliseconds: z.number(),
});

export type DataCheckResult = z.infer<typeof dataCheckResultSchema>;

export const dataCheckReportSchema = z.object({
  verdict: z.enum(["pass", "halt"]),
  /** Why, in one line. */
  summary: z.string(),
  results: z.array(dataCheckResultSchema),
});

export type DataCheckReport = z.infer<typeof dataCheckReportSchema>;

export interface DataChecksInput {
  /** The setting `checks`: a folder, or `none`, which runs nothing and passes. */
  readonly checks: string;
  /** What the folder is relative to. Default: the working folder. */
  readonly root?: string;
  /** Looked at between checks; a running one ends by its own timeout. */
  readonly signal?: AbortSignal;
}

/** Rows or keys shown as evidence. */
const shownRows = 10;

/** Characters shown of one value. */
const shownCharacters = 64;

/**
 * Each check runs in a READ ONLY transaction of its own, with its timeout, `search_path = public` and
 * `row_security = off`, so that a policy that hides rows is an error instead of a wrong answer. Halts when a
 * check of severity `halt` failed or could not run, and when no check applies at all.
 *
 * @param client a session that is in no transaction.
 * @throws UsageError for a file that is not a data check. @throws Unavailable when the connection is lost.
 */
export async function runDataChecks(client: ClientBase, input: DataChecksInput): Promise<DataCheckReport> {
  if (input.checks === "none") return { verdict: "pass", summary: "checks: none: no data was checked", results: [] };
  const results: DataCheckResult[] = [];
  for (const check of await loadDataChecks(input.checks, input.root ?? process.cwd())) {
    input.signal?.throwIfAborted();
    results.push(await runDataCheck(client, check));
  }
  return { ...conclude(results), results };
}

function conclude(results: readonly DataCheckResult[]): Pick<DataCheckReport, "verdict" | "summary"> {
  const halting = results.filter(({ severity, outcome }) => severity === "halt" && ["fail", "error"].includes(outcome));
  if (halting.length > 0) {
    const names = halting.map(({ name, outcome }) => `${name} (${outcome})`).join(", ");
    return { verdict: "halt", summary: `${halting.length} of ${results.length} data checks: ${names}` };
  }
  const applied = results.filter(({ outcome }) => outcome !== "not applicable");
  if (applied.length === 0) {
    return { verdict: "halt", summary: "no data check applies to this database: add one, or set checks to none" };
  }
  const count = (outcome: string) => results.filter((result) => result.outcome === outcome).length;
  const others = (["warn", "error", "not applicable"] as const)
    .filter((outcome) => count(outcome) > 0)
    .map((outcome) => `, ${count(outcome)} ${outcome}`);
  return { verdict: "pass", summary: `${count("pass")} of ${results.length} data checks passed${others.join("")}` };
}

async function runDataCheck(client: ClientBase, check: DataCheck): Promise<DataCheckResult> {
  const start = performance.now();
  const { outcome, evidence } = await outcomeOf(client, check);
  const { name, file, severity } = check;
  return { name, file, severity, outcome, evidence, milliseconds: Math.round(performance.now() - start) };
}

async function outcomeOf(client: ClientBase, check: DataCheck): Promise<Pick<DataCheckResult, "outcome" | "evidence">> {
  try {
    const absent = await absentOf(client, check.requirements);
    if (absent.length > 0) {
      const verb = absent.length === 1 ? "does" : "do";
      return { outcome: "not applicable", evidence: `${absent.map(({ text }) => text).join(", ")} ${verb} not exist` };
    }
    const result = await runQuery(client, check);
    const { met, found } = judge(check.expectation, result);
    const shown = check.evidence === "rows" ? describeRows(result) : met ? "" : describeKeys(result, check.expectation);
    const evidence = `found ${shorten(found)}, expected ${check.expectation.text}${shown}`;
    return { outcome: met ? "pass" : check.severity === "halt" ? "fail" : "warn", evidence };
  } catch (error) {
    if (isConnectionLoss(error)) {
      throw new Unavailable(`the connection was lost during the data check ${check.name}: ${messageOf(error)}`, {
        cause: error,
      });
    }
    // Without an SQLSTATE it is no answer of the server's, so a bug of ours.
    if (codeOf(error) === undefined) throw error;
    return { outcome: "error", evidence: describeError(error, check) };
  }
}

async function absentOf(client: ClientBase, requirements: readonly Requirement[]): Promise<Requirement[]> {
  if (requirements.length === 0) return [];
  const { rows } = await client.query<{ present: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                     WHERE n.nspname = r.schema AND c.relname = r.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                       AND (r.attribute IS NULL OR EXISTS (
                             SELECT FROM pg_catalog.pg_attribute a
                              WHERE a.attrelid = c.oid AND a.attname = r.attribute AND NOT a.attisdropped))) AS present
       FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS r(schema, name, attribute, place)
      ORDER BY r.place`,
    [
      requirements.map(({ schema }) => schema),
      requirements.map(({ table }) => table),
      requirements.map(({ column }) => column ?? null),
    ],
  );
  return requirements.filter((_, place) => rows[place]?.present !== true);
}

/** Values as the server writes them, but booleans as people write them. */
const asText: CustomTypesConfig = {
  getTypeParser: (oid: number) => (value: string) => (oid === 16 ? String(value === "t") : value),
};

async function runQuery(client: ClientBase, check: DataCheck): Promise<QueryResult> {
  await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  try {
    await client.query(
      `SELECT pg_catalog.set_config('statement_timeout', $1, true), pg_catalog.set_config('row_security', 'off', true),
              pg_catalog.set_config('search_path', 'public, pg_temp', true),
              pg_catalog.set_config('cursor_tuple_fraction', '1', true)`,
      [String(check.timeoutMilliseconds)],
    );
    // A cursor: the rows beyond those that are shown are counted by the server and never sent.
    await client.query(`DECLARE data_check NO SCROLL CURSOR FOR ${check.query}`);
    const { fields, rows } = await client.query<(string | null)[]>({
      text: `FETCH ${shownRows} FROM data_check`,
      rowMode: "array",
      types: asText,
    });
    const { rowCount: more } = await client.query("MOVE FORWARD ALL IN data_check");
    return { columns: fields.map(({ name }) => name), rows, rowCount: rows.length + (more ?? 0) };
  } finally {
    await client.query("ROLLBACK").catch(() => undefined);
  }
}

function describeRows({ columns, rows, rowCount }: QueryResult): string {
  if (rows.length === 0) return "";
  const shown = rows.map((row) =>
    row.map((value, column) => `${columns[column]} ${shorten(value ?? "NULL")}`).join(", "),
  );
  return `: ${shown.join("; ")}${rowCount > rows.length ? "; …" : ""}`;
}

function describeKeys({ columns, rows, rowCount }: QueryResult, expectation: Expectation): string {
  if (expectation.of !== "rows" || rows.length === 0) return "";
  const keys = rows.map((row) => shorten(row[0] ?? "NULL"));
  return `: ${columns[0] ?? "key"} ${keys.join(", ")}${rowCount > rows.length ? ", …" : ""}`;
}

function shorten(text: string): string {
  return text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text;
}

function describeError(error: unknown, check: DataCheck): string {
  const message = messageOf(error);
  switch (codeOf(error)) {
    case "57014":
      return `did not finish within its timeout of ${check.timeoutMilliseconds / 1000} s: ${message}`;
    case "42501":
      return `${message}: the role needs SELECT on the table, and BYPASSRLS where it has row security policies`;
    case "42P01":
    case "42703":
      return `${message}: name what the check needs in "-- requires:" if it may be absent`;
    default:
      return message;
  }
}

/** Reads a data check: a `.sql` file with a header of `-- key: value` comments and one query (format: checks/README.md). */
import { hasSqlDetails, parse } from "libpg-query";
import { UsageError, messageOf } from "../../contract/failure";
import { type Expectation, expectationForms, parseExpectation } from "./expectation";

/** A table, or one column of it, without which the check does not apply. */
export interface Requirement {
  readonly schema: string;
  readonly table: string;
  readonly column: string | undefined;
  /** As written. */
  readonly text: string;
}

export interface DataCheck {
  readonly name: string;
  readonly file: string;
  readonly severity: "halt" | "warn";
  readonly expectation: Expectation;
  readonly requirements: readonly Requirement[];
  readonly timeoutMilliseconds: number;
  /** What of the result is shown: only the first column, or whole rows (for queries that return aggregates). */
  readonly evidence: "keys" | "rows";
  /** One SELECT, WITH … SELECT, VALUES or TABLE, without its semicolon. */
  readonly query: string;
}

const defaultTimeout = "30s";

const keys = ["name", "severity", "expect", "requires", "timeout", "evidence"] as const;
type Key = (typeof keys)[number];

interface HeaderLine {
  readonly value: string;
  readonly line: number;
}

/**
 * @param file for messages and results, as people should see it.
 * @throws UsageError `<file>:<line>: <key>: found …: expected …`.
 */
export async function parseDataCheck(text: string, file: string): Promise<DataCheck> {
  const header = readHeader(text, file);
  return {
    name: readName(required(header, "name", file), file),
    file,
    severity: readChoice(required(header, "severity", file), "severity", ["halt", "warn"], file),
    expectation: readExpectation(required(header, "expect", file), file),
    requirements: readRequirements(header.get("requires"), file),
    timeoutMilliseconds: readTimeout(header.get("timeout"), file),
    evidence: readChoice(header.get("evidence") ?? { value: "keys", line: 1 }, "evidence", ["keys", "rows"], file),
    query: await readQuery(text, file),
  };
}

/** The comments before the first line of SQL. A comment that does not look like `-- word:` is prose. */
function readHeader(text: string, file: string): Map<Key, HeaderLine> {
  const header = new Map<Key, HeaderLine>();
  for (const [index, row] of text.split(/\r?\n/).entries()) {
    if (row.trim() === "") continue;
    if (!row.trimStart().startsWith("--")) break;
    const parts = /^\s*--\s*([A-Za-z]+)\s*:\s*(.*?)\s*$/.exec(row);
    if (parts === null) continue;
    const line = index + 1;
    const key = keys.find((known) => known === parts[1]);
    if (key === undefined) throw mistake(file, line, "header", parts[1] ?? "", `one of ${keys.join(", ")}`);
    if (header.has(key)) throw mistake(file, line, key, "it a second time", "every key once");
    header.set(key, { value: parts[2] ?? "", line });
  }
  return header;
}

function required(header: Map<Key, HeaderLine>, key: Key, file: string): HeaderLine {
  const found = header.get(key);
  if (found === undefined) throw mistake(file, 1, key, "nothing", `a line "-- ${key}: …" before the query`);
  return found;
}

function readName({ value, line }: HeaderLine, file: string): string {
  if (/^[a-z0-9][a-z0-9-]*$/.test(value)) return value;
  throw mistake(file, line, "name", value, "lower-case letters, digits and hyphens");
}

function readChoice<T extends string>({ value, line }: HeaderLine, key: Key, choices: readonly T[], file: string): T {
  const choice = choices.find((known) => known === value);
  if (choice === undefined) throw mistake(file, line, key, value, choices.join(" or "));
  return choice;
}

function readExpectation({ value, line }: HeaderLine, file: string): Expectation {
  const expectation = parseExpectation(value);
  if (expectation === undefined) throw mistake(file, line, "expect", value, expectationForms);
  return expectation;
}

function readRequirements(found: HeaderLine | undefined, file: string): Requirement[] {
  if (found === undefined) return [];
  return found.value.split(",").map((item) => {
    const text = item.trim();
    const parts = [...text.matchAll(/(?:^|\.)(?:"([^"]+)"|([A-Za-z_][\w$]*))/g)];
    // Names without quotes are folded to lower case, as in SQL.
    const [schema, table, column] = parts.map((part) => part[1] ?? part[2]?.toLowerCase() ?? "");
    const covered = parts.reduce((length, part) => length + part[0].length, 0) === text.length;
    if (!covered || schema === undefined || table === undefined || parts.length > 3) {
      throw mistake(file, found.line, "requires", text, "schema.table or schema.table.column, separated by commas");
    }
    return { schema, table, column, text };
  });
}

const milliseconds: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000 };

function readTimeout(found: HeaderLine | undefined, file: string): number {
  const { value, line } = found ?? { value: defaultTimeout, line: 1 };
  const parts = /^([1-9]\d{0,5})\s*(ms|s|min)$/.exec(value);
  if (parts === null) throw mistake(file, line, "timeout", value, "a number with ms, s or min, e.g. 30s");
  return Number(parts[1]) * milliseconds[parts[2]!]!;
}

/** By PostgreSQL's own parser, so that nothing hides behind a comment, a string or a dollar quote. */
async function readQuery(text: string, file: string): Promise<string> {
  if (text.trim() === "") throw mistake(file, 1, "query", "an empty file", "one query");
  const statements = await parseStatements(text, file);
  const first = statements[0];
  if (first === undefined || statements.length > 1) {
    throw mistake(file, 1, "query", `${statements.length} statements`, "one query");
  }
  const kind = Object.keys(first.stmt ?? {})[0] ?? "nothing";
  if (kind !== "SelectStmt") {
    throw mistake(file, 1, "query", kind.replace(/Stmt$/, "").toUpperCase(), "SELECT, WITH … SELECT, VALUES or TABLE");
  }
  // The parser counts bytes; a length of 0 means up to the end.
  const start = first.stmt_location ?? 0;
  const bytes = Buffer.from(text, "utf8");
  return bytes.subarray(start, first.stmt_len ? start + first.stmt_len : bytes.length).toString("utf8");
}

async function parseStatements(
  text: string,
  file: string,
): Promise<NonNullable<Awaited<ReturnType<typeof parse>>["stmts"]>> {
  try {
    return (await parse(text)).stmts ?? [];
  } catch (error) {
    const position = hasSqlDetails(error) ? (error.sqlDetails?.cursorPosition ?? 0) : 0;
    const line = text.slice(0, position).split("\n").length;
    throw new UsageError(`${file}:${line}: query: ${messageOf(error)}: expected one query`, { cause: error });
  }
}

function mistake(file: string, line: number, key: string, found: string, expected: string): UsageError {
  return new UsageError(`${file}:${line}: ${key}: found ${found === "" ? "nothing" : found}: expected ${expected}`);
}

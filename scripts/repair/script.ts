/**
 * The repair as SQL: what the file for people shows is, statement by statement, what is run. Every statement that writes
 * checks how many rows it wrote, and fails the transaction where they are not those of the plan.
 */
import { isOlderThan } from "../database/rowAge";
import { displayName, quoteIdentifier, quoteLiteral, quoteName } from "../database/sqlText";
import { keyAsJson } from "../fingerprint/hashing";
import { differs, sameRow } from "./columnConditions";
import { conflictQueries, shownConflicts } from "./conflicts";
import type { LiveTable, Switch } from "./liveTables";
import { type ColumnRepair, type RepairPlan, type RowRepair, type SequenceRepair, rowRepairsOf } from "./plan";

export interface Statement {
  /** What it does, for people. */
  readonly says: string;
  readonly sql: string;
}

/** SQLSTATEs of our own: a conflict, with the rows as its detail; another number of rows than planned. */
export const conflictState = "DP001";
export const countState = "DP002";

/** How long a statement may wait for a lock; those who write wait behind it. */
const lockTimeout = "5s";

/** An empty temporary table with the columns as they are now. */
export function stagingTable({ table, staging, staged }: RowRepair, onCommit: "keep" | "drop"): string {
  return `CREATE TEMPORARY TABLE ${staging}${onCommit === "drop" ? " ON COMMIT DROP" : ""} AS SELECT ${listOf(staged)} FROM ONLY ${quoteName(table)} WITH NO DATA`;
}

/** Between BEGIN and COMMIT, once the rows are staged. */
export function transactionOf(plan: RepairPlan): Statement[] {
  const repairs = rowRepairsOf(plan);
  const tables = [...new Map([...repairs, ...plan.columns].map(({ table }) => [table.oid, table])).values()];
  return [
    { says: "nobody waits long behind this", sql: `SET LOCAL lock_timeout = ${quoteLiteral(lockTimeout)}` },
    ...(tables.length === 0 ? [] : [lockOf(tables)]),
    ...repairs.flatMap((repair) => conflictQueries(repair, repairs).map((query) => assertNone(repair, query))),
    ...tables.flatMap((table) => table.switches.map((item) => disabled(table, item))),
    // Defaults and checks of the tables call functions as their users do.
    { says: "functions find what they name", sql: "SET LOCAL search_path TO DEFAULT" },
    ...plan.groups.map(insertionOf),
    ...plan.columns.map((repair) => updateOf(repair, plan.boundary!)),
    { says: "deferred constraints are checked now", sql: "SET CONSTRAINTS ALL IMMEDIATE" },
    ...tables.flatMap((table) => table.switches.map((item) => enabled(table, item))),
    ...plan.sequences.flatMap(movesOf),
  ];
}

function lockOf(tables: readonly LiveTable[]): Statement {
  return {
    says: "the tables are locked against writing, not against reading",
    sql: `LOCK TABLE ${tables.map((table) => `ONLY ${quoteName(table)}`).join(", ")} IN SHARE ROW EXCLUSIVE MODE`,
  };
}

function assertNone({ table }: RowRepair, query: string): Statement {
  return {
    says: `${displayName(table)}: nothing stands in the way`,
    sql: block(
      "conflicts text",
      `SELECT string_agg(c.line, E'\\n') INTO conflicts FROM (SELECT q.line FROM (${query}) q LIMIT ${shownConflicts}) c;
  IF conflicts IS NOT NULL THEN
    RAISE EXCEPTION 'rows cannot be put back as they were' USING ERRCODE = '${conflictState}', DETAIL = conflicts;
  END IF;`,
    ),
  };
}

/**
 * What fired when a row was first written must not fire again. Foreign keys are the server's own triggers and stay on.
 * In the transaction only: for everybody else they are on all the time.
 */
function disabled(table: LiveTable, { kind, name }: Switch): Statement {
  return {
    says: `${displayName(table)}: ${kind.toLowerCase()} ${name} does not fire for rows that were there before`,
    sql: `ALTER TABLE ONLY ${quoteName(table)} DISABLE ${kind} ${quoteIdentifier(name)}`,
  };
}

const firing: Readonly<Record<Switch["fires"], string>> = { O: "", A: "ALWAYS ", R: "REPLICA " };

function enabled(table: LiveTable, { kind, name, fires }: Switch): Statement {
  return {
    says: `${displayName(table)}: ${kind.toLowerCase()} ${name} is on again`,
    sql: `ALTER TABLE ONLY ${quoteName(table)} ENABLE ${firing[fires]}${kind} ${quoteIdentifier(name)}`,
  };
}

/**
 * One statement for tables that need each other: foreign keys are checked at its end, when all rows are there
 * (PostgreSQL manual, "7.8.4 Data-Modifying Statements in WITH").
 */
function insertionOf(group: readonly RowRepair[]): Statement {
  const inserts = group.map(({ table, staging, written }) => {
    const always = table.columns.some(({ name, identityAlways }) => identityAlways && written.includes(name));
    const columns = listOf(written);
    return `${staging}_back AS (INSERT INTO ${quoteName(table)} (${columns})${always ? " OVERRIDING SYSTEM VALUE" : ""}
    SELECT ${columns} FROM pg_temp.${staging} RETURNING 1)`;
  });
  const counts = group.map(({ staging }) => `(SELECT count(*) FROM ${staging}_back)`);
  const planned = `${group.map(({ rows }) => rows).join(", ")}`;
  const names = group.map(({ table }) => displayName(table)).join(", ");
  return {
    says: group
      .map(({ table, rows }) => `${displayName(table)}: ${rows} row${rows === 1 ? "" : "s"} put back`)
      .join("; "),
    sql: block(
      "inserted bigint[]",
      `WITH ${inserts.join(",\n  ")}
  SELECT ARRAY[${counts.join(", ")}] INTO inserted;
  IF inserted <> ARRAY[${planned}]::bigint[] THEN
    RAISE EXCEPTION USING ERRCODE = '${countState}',
      MESSAGE = ${quoteLiteral(`${names}: planned ${planned} row(s), inserted `)} || array_to_string(inserted, ', ');
  END IF;`,
    ),
  };
}

function updateOf(repair: ColumnRepair, boundary: string): Statement {
  const { table, staging, written, rows } = repair;
  const values = written.map((column) => `${quoteIdentifier(column)} = s.${quoteIdentifier(column)}`).join(", ");
  return {
    says: `${displayName(table)}: ${written.join(", ")} of ${rows} row${rows === 1 ? "" : "s"} as before`,
    sql: block(
      "updated bigint",
      `UPDATE ONLY ${quoteName(table)} t SET ${values} FROM pg_temp.${staging} s
   WHERE ${sameRow(repair)} AND ${differs(repair)} AND ${isOlderThan(boundary, "t")};
  GET DIAGNOSTICS updated = ROW_COUNT;
  IF updated <> ${rows} THEN
    RAISE EXCEPTION USING ERRCODE = '${countState}',
      MESSAGE = ${quoteLiteral(`${displayName(table)}: planned ${rows} row(s), updated `)} || updated::text;
  END IF;`,
    ),
  };
}

/** Rows of the column repair that stay as they are: other values, written after the boundary. One column, `row_key`. */
export function leftAloneQuery(repair: ColumnRepair, boundary: string): string {
  return `SELECT s.row_key FROM (SELECT *, ${keyAsJson(repair.key)} AS row_key FROM pg_temp.${repair.staging}) s
    JOIN ONLY ${quoteName(repair.table)} t ON ${sameRow(repair)} WHERE ${differs(repair)} AND NOT ${isOlderThan(boundary, "t")}`;
}

/** Takes out of the staged rows what is not to be updated. */
export function narrowColumns(repair: ColumnRepair, boundary: string): string {
  return `DELETE FROM pg_temp.${repair.staging} s WHERE NOT EXISTS (SELECT FROM ONLY ${quoteName(repair.table)} t
    WHERE ${sameRow(repair)} AND ${differs(repair)} AND ${isOlderThan(boundary, "t")})`;
}

/**
 * Writing its own increment to a sequence locks it until the end of the transaction and makes the move part of it;
 * so nobody takes a number meanwhile, and one that got further stays there.
 */
function movesOf(sequence: SequenceRepair): Statement[] {
  const name = quoteName(sequence);
  const behind = BigInt(sequence.increment) > 0n ? "<" : ">";
  return [
    {
      says: `${displayName(sequence)}: nobody takes a number meanwhile`,
      sql: `ALTER SEQUENCE ${name} INCREMENT BY ${sequence.increment}`,
    },
    {
      says: `${displayName(sequence)}: on to ${sequence.to}, never back`,
      sql: `SELECT pg_catalog.setval(${quoteLiteral(name)}::regclass, ${sequence.to}) FROM ${name}
 WHERE last_value ${behind} ${sequence.to} OR (last_value = ${sequence.to} AND NOT is_called)`,
    },
  ];
}

export function listOf(columns: readonly string[]): string {
  return columns.map(quoteIdentifier).join(", ");
}

/** A DO block; names of tables and columns can hold anything, the quote's end too. */
function block(declaration: string, body: string): string {
  let quote = "$repair$";
  for (let number = 1; body.includes(quote); number++) quote = `$repair${number}$`;
  return `DO ${quote} DECLARE ${declaration}; BEGIN\n  ${body}\nEND ${quote}`;
}

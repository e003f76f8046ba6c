/**
 * What stands in the way of rows that are to be inserted again: a key that is taken by now, a parent that is gone. As
 * queries over the staged rows, for people before they are asked, and again in the transaction, when nobody else can
 * write to these tables.
 */
import type { ClientBase } from "pg";
import { keyAsJson } from "../fingerprint/hashing";
import { displayName, quoteIdentifier, quoteLiteral, quoteName } from "../database/sqlText";
import type { ForeignKey, UniqueKey } from "./liveTables";
import type { RowRepair } from "./plan";

/** Conflicts that are shown of each kind. */
export const shownConflicts = 20;

/** What stands in the way now, for people; nothing is locked or changed. */
export async function listConflicts(repairs: readonly RowRepair[], client: ClientBase): Promise<string[]> {
  const lines: string[] = [];
  for (const query of repairs.flatMap((repair) => conflictQueries(repair, repairs))) {
    const { rows } = await client.query<{ line: string; all: string }>(
      `SELECT q.line, count(*) OVER ()::text AS all FROM (${query}) q LIMIT ${shownConflicts}`,
    );
    lines.push(...rows.map(({ line }) => line));
    const more = Number(rows[0]?.all ?? 0) - rows.length;
    if (more > 0) lines.push(`… and ${more} more of these`);
  }
  return [...new Set(lines)];
}

/** Queries of one column `line`, a conflict each; `all`: every table whose rows are put back. */
export function conflictQueries(repair: RowRepair, all: readonly RowRepair[]): string[] {
  const staged = (columns: readonly string[]): boolean => columns.every((column) => repair.staged.includes(column));
  return [
    // An index over a column that the rows do not have takes its default: the server itself refuses a duplicate.
    ...repair.table.uniqueKeys.filter(({ columns }) => staged(columns)).map((key) => takenKeys(repair, key)),
    ...repair.table.foreignKeys.filter(({ columns }) => staged(columns)).map((key) => lostParents(repair, key, all)),
  ];
}

function takenKeys(repair: RowRepair, key: UniqueKey): string {
  const parts = key.parts.map(({ text }, place) => `(${text}) AS part_${place}`).join(", ");
  const condition = key.predicate === null ? "" : ` WHERE ${key.predicate}`;
  const side = (from: string): string =>
    `(SELECT ${keyAsJson(repair.key)} AS row_key, ${parts} FROM ${from}${condition})`;
  const equal = key.parts.map(({ operator }, place) => {
    const same = `s.part_${place} ${operator} t.part_${place}`;
    return key.nullsEqual ? `(${same} OR (s.part_${place} IS NULL AND t.part_${place} IS NULL))` : same;
  });
  const row = `${quoteLiteral(`${displayName(repair.table)} `)} || COALESCE(s.row_key, 'a row')`;
  const why = key.excludes ? `: ${key.index} keeps it out, because of ` : `: its key in index ${key.index} is that of `;
  const taken = `${quoteLiteral(why)} || COALESCE(t.row_key, 'another row') || ' by now'`;
  return `SELECT ${row} || CASE WHEN s.row_key = t.row_key THEN ' is there again' ELSE ${taken} END AS line
    FROM ${side(`pg_temp.${repair.staging}`)} s JOIN ${side(`ONLY ${quoteName(repair.table)}`)} t ON ${equal.join(" AND ")}`;
}

function lostParents(repair: RowRepair, key: ForeignKey, all: readonly RowRepair[]): string {
  const absentFrom = (parents: string): string =>
    `NOT EXISTS (SELECT FROM ${parents} p WHERE ${key.parentColumns
      .map(
        (column, place) =>
          `p.${quoteIdentifier(column)} ${key.operators[place]} s.${quoteIdentifier(key.columns[place]!)}`,
      )
      .join(" AND ")})`;
  const returning = all.filter(
    ({ table, staged }) => key.holders.includes(table.oid) && key.parentColumns.every((name) => staged.includes(name)),
  );
  // As the server's own check: ONLY, unless the parent is partitioned and its rows lie elsewhere.
  const parent = `${key.holders.length === 1 ? "ONLY " : ""}${quoteName(key.parent)}`;
  const why = `: its row of ${displayName(key.parent)} is gone (foreign key ${key.name})`;
  return `SELECT ${quoteLiteral(`${displayName(repair.table)} `)} || COALESCE(${keyAsJson(repair.key)}, 'a row') || ${quoteLiteral(why)} AS line
    FROM pg_temp.${repair.staging} s
   WHERE ${[
     ...key.columns.map((column) => `s.${quoteIdentifier(column)} IS NOT NULL`),
     absentFrom(parent),
     ...returning.map(({ staging }) => absentFrom(`pg_temp.${staging}`)),
   ].join(" AND ")}`;
}

/** SQL that tells which rows get former values of some columns back: `t` is the live table, `s` the staged rows. */
import { quoteIdentifier } from "../database/sqlText";
import type { ColumnRepair } from "./plan";

type Repair = Pick<ColumnRepair, "table" | "key" | "written">;

/** The same row: by the unique index over its key, else, where the release dropped that, by the key's text. */
export function sameRow({ table, key }: Repair): string {
  const index = table.uniqueKeys.find(
    ({ parts, predicate, excludes }) =>
      !excludes &&
      predicate === null &&
      parts.length === key.length &&
      parts.every(({ column }) => column !== null && key.includes(column)),
  );
  const pairs =
    index === undefined
      ? key.map(quoteIdentifier).map((column) => `t.${column}::text = s.${column}::text`)
      : index.parts.map(({ column, operator }) => {
          const name = quoteIdentifier(column!);
          return `t.${name} ${operator} s.${name}`;
        });
  return pairs.join(" AND ");
}

/** As the fingerprint sees it: by their texts, for not every type has an equality. */
export function differs({ written }: Repair): string {
  const columns = written.map(quoteIdentifier);
  return `(${columns.map((column) => `t.${column}::text IS DISTINCT FROM s.${column}::text`).join(" OR ")})`;
}

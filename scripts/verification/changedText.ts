/**
 * Why the values of a table may read otherwise although nobody wrote them: a label of an enum was renamed, a column has
 * another type, an attribute of a composite type too.
 */
import type { Queryable } from "../database/queryable";
import { type QualifiedName, displayName, quoteName } from "../database/sqlText";
import type { CatalogChange } from "../fingerprint/compare";

/** All types that the values of a table are made of: elements, bases of domains, attributes, bounds of ranges. */
const typesQuery = `
WITH RECURSIVE used(oid) AS (
  SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
  UNION
  SELECT part.oid FROM used u JOIN pg_type t ON t.oid = u.oid
   CROSS JOIN LATERAL (SELECT t.typelem UNION ALL SELECT t.typbasetype
                       UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid
                       UNION ALL SELECT a.atttypid FROM pg_attribute a
                                  WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) part(oid)
   WHERE part.oid <> 0)
SELECT n.nspname || '.' || t.typname AS name
  FROM used u JOIN pg_type t ON t.oid = u.oid JOIN pg_namespace n ON n.oid = t.typnamespace`;

/** @returns the changes that explain it: `enum public.stage changed`; empty: nothing does. */
export async function explainChangedText(
  client: Queryable,
  table: QualifiedName,
  changes: readonly CatalogChange[],
): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(typesQuery, [quoteName(table)]);
  const types = new Set(rows.map(({ name }) => name));
  const holders = [displayName(table), ...types];
  return changes
    .filter(({ change }) => change === "changed")
    .filter(({ kind, name }) => {
      if (kind === "column") return holders.some((holder) => name.startsWith(`${holder}.`));
      return kind === "enum" && types.has(name);
    })
    .map(({ kind, name, change }) => `${kind} ${name} ${change}`);
}

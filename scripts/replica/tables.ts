/** Which tables go to the replica, and what logical replication needs to know of each. */
import { matchesAny } from "../environment/namePatterns";
import type { Client } from "pg";
import { displayName } from "../database/sqlText";
import { type ProtectedTable, listProtectedTables } from "../database/tables";
import type { ReplicaSettings } from "../settings";

export interface ReplicatedTable extends ProtectedTable {
  /** Whether an UPDATE or DELETE can be told to the replica: a replica identity that is good for it. */
  readonly identified: boolean;
  /** A unique index over columns that take no NULL, other than the primary key: it could be the identity. */
  readonly candidate: string | null;
  readonly unlogged: boolean;
  readonly owner: string;
  /** Whether our role may publish it: the owner's right. */
  readonly owned: boolean;
  /** Whether row security is on for others than its owner and those who bypass it. */
  readonly guarded: boolean;
}

export interface TableChoice {
  readonly chosen: readonly ReplicatedTable[];
  /** `schema.name` of those that the settings declare uncovered. */
  readonly uncovered: readonly string[];
}

type Facts = { readonly oid: string } & Omit<ReplicatedTable, keyof ProtectedTable>;

/** `relreplident`: PostgreSQL manual, "pg_class". A publication takes no unlogged table. */
const factsQuery = `
SELECT c.oid::int8::text AS oid, c.relpersistence = 'u' AS unlogged, pg_get_userbyid(c.relowner)::text AS owner,
       pg_has_role(c.relowner, 'USAGE') AS owned, c.relrowsecurity AS guarded,
       CASE c.relreplident
         WHEN 'f' THEN true
         WHEN 'd' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid)
         WHEN 'i' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid)
         ELSE false END AS identified,
       (SELECT x.relname::text FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
           AND i.indpred IS NULL AND i.indexprs IS NULL
           AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
                             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                            WHERE k.place <= i.indnkeyatts AND NOT a.attnotnull)
         ORDER BY i.indnkeyatts, i.indexrelid LIMIT 1) AS candidate
  FROM pg_class c WHERE c.oid = ANY ($1::oid[])`;

export async function chooseTables(source: Client, settings: Pick<ReplicaSettings, "uncovered">): Promise<TableChoice> {
  const tables = await listProtectedTables(source);
  const { rows } = await source.query<Facts>(factsQuery, [tables.map(({ oid }) => oid)]);
  const facts = new Map(rows.map(({ oid, ...rest }) => [Number(oid), rest]));
  const isUncovered = (table: ProtectedTable): boolean => matchesAny(displayName(table), settings.uncovered);
  return {
    chosen: tables.flatMap((table) => {
      const known = facts.get(table.oid);
      return known === undefined || isUncovered(table) ? [] : [{ ...table, ...known }];
    }),
    uncovered: tables.filter(isUncovered).map(displayName),
  };
}

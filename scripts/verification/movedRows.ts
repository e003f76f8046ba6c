/**
 * A row that an update moved to another partition is missing from its own and lost from none. It is known again in the
 * whole partitioned table by what identifies it wherever it lies.
 */
import type { Client } from "pg";
import { quoteIdentifier, quoteLiteral } from "../database/sqlText";
import type { RowListener } from "../fingerprint/rowDifferences";

/** A key column without what decides the partition: the value by which a row is known in every one of them. */
interface IdentityColumn {
  readonly name: string;
  readonly type: string;
}

/** The two sides: connections that nobody else uses meanwhile. */
interface Sides {
  readonly original: Client;
  readonly live: Client;
}

/** Keys that are looked for at a time: a look may read the whole partitioned table. */
const batchKeys = 20_000;

/**
 * What identifies a row whatever partition it is in: the key without the columns that divide the table. A key that
 * holds such columns is enough only with a value that the database itself made (identity, sequence, UUID) and so never
 * gives to another row; else a row that was deleted could be taken for one that was inserted since.
 *
 * @param root SQL of the partitioned table, `"public"."events"`.
 */
const identityQuery = `
  SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
         EXISTS (SELECT FROM pg_partition_tree(c.oid) t JOIN pg_partitioned_table p ON p.partrelid = t.relid
                   JOIN pg_attribute d ON d.attrelid = p.partrelid AND d.attnum = ANY (p.partattrs::int2[])
                  WHERE d.attname = a.attname) AS divides,
         a.attidentity <> '' OR COALESCE(pg_get_expr(v.adbin, v.adrelid) ~ '(nextval|uuid)', false) AS generated
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY ($2) AND NOT a.attisdropped
    LEFT JOIN pg_attrdef v ON v.adrelid = c.oid AND v.adnum = a.attnum
   WHERE n.nspname || '.' || c.relname = $1 AND has_table_privilege(c.oid, 'SELECT')`;

export class MovedRows {
  private readonly waiting: { readonly key: string; readonly place: string }[] = [];
  /** Rows that are in the partitioned table still. */
  moved = 0;

  private constructor(
    private readonly sides: Sides,
    private readonly root: string,
    private readonly identity: readonly IdentityColumn[],
    private readonly onMissing: NonNullable<RowListener["onMissing"]>,
  ) {}

  /**
   * @param root the topmost partitioned table, as `displayName` writes it.
   * @param onMissing told of the rows that are in no partition.
   * @returns undefined where nothing identifies a row in every partition.
   */
  static async of(
    sides: Sides,
    root: string,
    key: readonly string[],
    onMissing: NonNullable<RowListener["onMissing"]>,
  ): Promise<MovedRows | undefined> {
    type Column = IdentityColumn & { divides: boolean; generated: boolean };
    const read = async (client: Client): Promise<Column[]> =>
      (await client.query<Column>(identityQuery, [root, [...key]])).rows;
    const [was, is] = [await read(sides.original), await read(sides.live)];
    if (key.length === 0 || was.length !== key.length || is.length !== key.length) return undefined;
    const identity = is.filter(({ divides }) => !divides);
    const known = identity.length === key.length || identity.some(({ generated }) => generated);
    if (identity.length === 0 || !known) return undefined;
    const { rows } = await sides.live.query<{ sql: string }>(
      `SELECT format('%I.%I', n.nspname, c.relname) AS sql FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname || '.' || c.relname = $1`,
      [root],
    );
    return new MovedRows(sides, rows[0]!.sql, identity, onMissing);
  }

  async add(key: string, place: string): Promise<void> {
    if (this.waiting.push({ key, place }) >= batchKeys) await this.flush();
  }

  /** Judges those that wait; the last call is the caller's. */
  async flush(): Promise<void> {
    const rows = this.waiting.splice(0);
    if (rows.length === 0) return;
    const keys = rows.map(({ key }) => JSON.parse(key) as Record<string, string>);
    const [before, now] = await Promise.all([
      this.findSingle(this.sides.original, keys),
      this.findSingle(this.sides.live, keys),
    ]);
    for (const [index, { key, place }] of rows.entries()) {
      if (before.has(index) && now.has(index)) this.moved++;
      else await this.onMissing(key, place);
    }
  }

  /** Indexes of the keys that exactly one row of the whole table has. */
  private async findSingle(client: Client, keys: readonly Record<string, string>[]): Promise<Set<number>> {
    const values = this.identity.map(({ name }) => `(w.key->>${quoteLiteral(name)})`);
    const same = this.identity.map(
      ({ name, type }, place) => `t.${quoteIdentifier(name)} = CAST(${values[place]!} AS ${type})`,
    );
    const { rows } = await client.query<{ index: number }>(
      `SELECT (w.place - 1)::int AS index
         FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS w(key, place) JOIN ${this.root} t ON ${same.join(" AND ")}
        GROUP BY w.place HAVING count(*) = 1`,
      [JSON.stringify(keys)],
    );
    return new Set(rows.map(({ index }) => index));
  }
}

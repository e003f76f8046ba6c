/** Sequences, which logical replication does not carry: set on the replica to where they stand on the source. */
import type { Client } from "pg";
import { type QualifiedName, displayName, quoteName } from "../database/sqlText";
import { listSequences } from "../database/tables";

export interface SequenceSetting {
  /** `schema.name` of those that were moved. */
  readonly moved: readonly string[];
  /** Of those that the replica lacks. */
  readonly missing: readonly string[];
}

/**
 * Only ever ahead: one that is further on the replica stays, for its values may be in rows there.
 *
 * @param pairs the source's and the replica's session.
 */
export async function copySequences(source: Client, replica: Client): Promise<SequenceSetting> {
  const here = new Map((await listSequences(replica)).map((sequence) => [displayName(sequence), sequence]));
  const moved: string[] = [];
  const missing: string[] = [];
  for (const sequence of await listSequences(source)) {
    const other = here.get(displayName(sequence));
    if (other === undefined) missing.push(displayName(sequence));
    else if (sequence.lastValue !== null && isBehind(other.lastValue, sequence.lastValue, sequence.increment)) {
      await setSequence(replica, sequence, sequence.lastValue);
      moved.push(displayName(sequence));
    }
  }
  return { moved, missing };
}

function isBehind(value: string | null, wanted: string, increment: string): boolean {
  return value === null || (BigInt(value) - BigInt(wanted)) * BigInt(increment) < 0n;
}

async function setSequence(client: Client, sequence: QualifiedName, value: string): Promise<void> {
  await client.query("SELECT setval($1::regclass, $2::bigint, true)", [quoteName(sequence), value]);
}

/** Values that a sequence is moved past the largest one seen, where the source cannot be asked any more. */
const margin = 10_000n;

/**
 * Where the source is lost: each sequence that a column takes its values from goes past the column's largest one, and past
 * where it stood, by a margin; what rows do not show (a value that was drawn and not used) cannot be known.
 */
export async function advanceSequences(replica: Client): Promise<SequenceSetting> {
  const { rows } = await replica.query<QualifiedName & { tableSchema: string; tableName: string; column: string }>(
    `SELECT sn.nspname::text AS schema, s.relname::text AS name, tn.nspname::text AS "tableSchema",
            t.relname::text AS "tableName", a.attname::text AS column
       FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
       JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
       JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')`,
  );
  const owned = new Map(rows.map((row) => [displayName(row), row]));
  const moved: string[] = [];
  for (const sequence of await listSequences(replica)) {
    const forward = BigInt(sequence.increment) > 0n;
    const owner = owned.get(displayName(sequence));
    const largest = owner === undefined ? null : await extremeOf(replica, owner, forward ? "max" : "min");
    const known = [largest, sequence.lastValue].flatMap((value) => (value === null ? [] : [BigInt(value)]));
    if (known.length === 0) continue;
    const furthest = known.reduce((a, b) => (a > b === forward ? a : b));
    await setSequence(replica, sequence, (furthest + margin * BigInt(sequence.increment)).toString());
    moved.push(displayName(sequence));
  }
  return { moved, missing: [] };
}

async function extremeOf(
  client: Client,
  { tableSchema, tableName, column }: { tableSchema: string; tableName: string; column: string },
  which: "max" | "min",
): Promise<string | null> {
  const { rows } = await client.query<{ value: string | null }>(
    `SELECT ${which}(${client.escapeIdentifier(column)})::text AS value FROM ${quoteName({ schema: tableSchema, name: tableName })}`,
  );
  return rows[0]?.value ?? null;
}

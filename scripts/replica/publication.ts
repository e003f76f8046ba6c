/** The publication on the source: exactly the chosen tables. */
import type { Client } from "pg";
import { displayName, quoteIdentifier, quoteName } from "../database/sqlText";
import { readPublication } from "./link";
import type { ReplicatedTable } from "./tables";

export interface PublicationChange {
  readonly created: boolean;
  readonly added: readonly string[];
  /** Tables that were published and are not chosen any more. */
  readonly removed: readonly string[];
}

/** Never FOR ALL TABLES: that would publish tables without a key, and every UPDATE on them would fail. */
export async function publish(
  source: Client,
  name: string,
  chosen: readonly ReplicatedTable[],
): Promise<PublicationChange> {
  const existing = await readPublication(source, name);
  const publication = quoteIdentifier(name);
  const wanted = new Map(chosen.map((table) => [displayName(table), table]));
  const published = new Set(existing?.tables ?? []);
  const added = [...wanted.keys()].filter((table) => !published.has(table)).sort();
  const removed = [...published].filter((table) => !wanted.has(table)).sort();
  const tables = chosen.map((table) => `ONLY ${quoteName(table)}`).join(", ");
  if (existing === undefined) await source.query(`CREATE PUBLICATION ${publication} FOR TABLE ${tables}`);
  else if (added.length + removed.length > 0)
    await source.query(`ALTER PUBLICATION ${publication} SET TABLE ${tables}`);
  return { created: existing === undefined, added, removed };
}

/** Which policy of the stack's config a table has: its own, else that of the nearest table it is a partition of. */
import { UsageError } from "../contract/failure";
import { type QualifiedName, displayName } from "../database/sqlText";
import { type TablePolicy, tablePolicySchema } from "../settings";

export type TablePolicies = Readonly<Record<string, TablePolicy>>;

/** A table with the partitioned tables that it belongs to, nearest first. */
type PartitionedName = QualifiedName & { readonly ancestors: readonly string[] };

const defaultPolicy = tablePolicySchema.parse({});

export function policyOf(table: PartitionedName, policies: TablePolicies): TablePolicy {
  const name = [displayName(table), ...table.ancestors].find((candidate) => Object.hasOwn(policies, candidate));
  return name === undefined ? defaultPolicy : policies[name]!;
}

/**
 * A policy of a table that does not exist would protect nothing, and nobody would notice.
 *
 * @param expected further names that may stand there: of tables that are yet to be made.
 * @throws UsageError naming the key and the nearest name.
 */
export function demandKnownTables(
  policies: TablePolicies,
  tables: readonly PartitionedName[],
  expected: readonly string[] = [],
): void {
  const known = new Set(tables.flatMap((table) => [displayName(table), ...table.ancestors]));
  const unknown = Object.keys(policies).find((name) => !known.has(name) && !expected.includes(name));
  if (unknown === undefined) return;
  const nearest = nearestName(unknown, [...known]);
  throw new UsageError(
    `tables: found ${unknown}, and the database has no such table: expected ${nearest ?? "the name of a table, <schema>.<table>"}`,
    { hint: "a table that a release makes itself needs no policy before the release after it" },
  );
}

function nearestName(wanted: string, names: readonly string[]): string | undefined {
  const distances = names.map((name) => ({ name, distance: editDistance(wanted, name) }));
  return distances.sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))[0]?.name;
}

/** Levenshtein's: characters to insert, delete or replace. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, place) => place);
  for (const [index, character] of [...from].entries()) {
    const next = [index + 1];
    for (let place = 1; place <= to.length; place++) {
      const replaced = row[place - 1]! + (to[place - 1] === character ? 0 : 1);
      next.push(Math.min(replaced, row[place]! + 1, next[place - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}

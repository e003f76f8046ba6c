/** What pg_dump is told to leave out: what the platform manages, and what no other server could take. */
import { quoteIdentifier } from "../database/sqlText";
import { type BackupScope, leftOutNames } from "../database/supabasePreset";

/** The first pg_dump that knows `--exclude-extension`. */
const excludesExtensions = 17;

/** The oldest major of pg_dump that can dump a server of this major with this scope. */
export function oldestPgDump(serverMajor: number, scope: BackupScope): number {
  return leftOutNames(scope, "extension").length === 0 ? serverMajor : Math.max(serverMajor, excludesExtensions);
}

/**
 * Options of pg_dump, for every archive of a backup: names are quoted, for pg_dump reads patterns. Subscriptions hold
 * the password of their publisher, and a database that has one cannot be dropped again.
 */
export function dumpFilters(scope: BackupScope): string[] {
  const exclude = (option: string, names: readonly string[]): string[] =>
    names.map((name) => `--exclude-${option}=${name}`);
  const quoted = (name: string): string => name.split(".").map(quoteIdentifier).join(".");
  return [
    "--no-subscriptions",
    ...exclude("schema", leftOutNames(scope, "schema").map(quoted)),
    ...exclude("table", leftOutNames(scope, "table").map(quoted)),
    ...exclude("extension", leftOutNames(scope, "extension").map(quoted)),
  ];
}

/**
 * The migration files of a folder, as the Supabase CLI lays them out: `<version>_<name>.sql`, the version in
 * digits, applied in the order of their file names (supabase/cli, apps/cli-go/pkg/migration/list.go, file.go).
 */
import { createHash } from "node:crypto";
import { readFile, readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { UsageError, messageOf } from "../contract/failure";

export interface Migration {
  /** The digits before the first underscore, as the ledger keeps them: text. */
  readonly version: string;
  /** What follows, without `.sql`; may be empty. */
  readonly name: string;
  /** `<version>_<name>.sql`. */
  readonly file: string;
  readonly sql: string;
  /** SHA-256 of the file's bytes, hex. */
  readonly sha256: string;
  /** Whether the script that takes it back is there; undefined: the tool has none. */
  readonly hasRollback?: boolean;
}

export interface MigrationFolder {
  /** In the order in which they are applied. */
  readonly migrations: readonly Migration[];
  /** `.sql` files that the Supabase CLI leaves out too: never applied, so worth a warning. */
  readonly skipped: readonly string[];
}

const filePattern = /^([0-9]+)_(.*)\.sql$/;

/**
 * Reads every migration of `folder`.
 *
 * @throws UsageError for a folder or file that cannot be read, a file that is not UTF-8, one version twice,
 * and versions whose order as text (the Supabase CLI's) is not their order as numbers.
 */
export async function readMigrations(folder: string): Promise<MigrationFolder> {
  const names = await sqlFiles(folder);
  const skipped = names.filter((name, place) => !filePattern.test(name) || isDeprecatedInit(name, place));
  const migrations = await Promise.all(
    names
      .filter((name) => !skipped.includes(name))
      .map((file) => {
        const [, version = "", name = ""] = filePattern.exec(file) ?? [];
        return readMigration(folder, file, { version, name });
      }),
  );
  migrations.forEach((migration, place) => checkOrder(folder, migrations[place - 1], migration));
  return { migrations, skipped };
}

async function sqlFiles(folder: string): Promise<string[]> {
  try {
    const names = (await readdir(folder)).filter((name) => name.endsWith(".sql"));
    const kinds = await Promise.all(names.map((name) => stat(join(folder, name))));
    return names.filter((_, place) => kinds[place]?.isFile()).sort(byCodeUnit);
  } catch (error) {
    throw new UsageError(`migrations.path: found ${folder}, which cannot be read: ${messageOf(error)}`, {
      hint: "expected the folder of the <version>_<name>.sql files, for example supabase/migrations",
    });
  }
}

/** @throws UsageError for a file that cannot be read, or is not UTF-8. */
export async function readMigration(
  folder: string,
  file: string,
  known: Pick<Migration, "version" | "name">,
): Promise<Migration> {
  const bytes = await readFile(join(folder, file)).catch((error: unknown) => {
    throw new UsageError(`${join(folder, file)}: cannot be read: ${messageOf(error)}`);
  });
  return { ...known, file, sql: decode(join(folder, file), bytes), sha256: sha256(bytes) };
}

/** A byte order mark is no part of the SQL: the decoder drops it, as psql does. */
function decode(path: string, bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(`${path}: found bytes that are not UTF-8: expected a UTF-8 text file: save it as UTF-8`);
  }
}

function checkOrder(folder: string, previous: Migration | undefined, next: Migration): void {
  if (previous === undefined) return;
  const [before, after] = [BigInt(previous.version), BigInt(next.version)];
  if (before < after) return;
  const pair = `${previous.file} and ${next.file} in ${basename(folder)}`;
  if (before === after)
    throw new UsageError(`${pair}: found the version ${next.version} twice: give one a new version`);
  throw new UsageError(
    `${pair}: found versions of different length, whose order as text is not their order as numbers: ` +
      "expected versions of one length: pad them with zeros or use timestamps (YYYYMMDDhhmmss)",
  );
}

/** The CLI leaves out a first file `<timestamp>_init.sql` of before 2021-12-09 (list.go, shouldSkip). */
function isDeprecatedInit(name: string, place: number): boolean {
  const timestamp = /([0-9]{14})_init\.sql/.exec(name)?.[1];
  return place === 0 && timestamp !== undefined && BigInt(timestamp) < 20211209000000n;
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * The migrations of tools that keep a ledger of their own: where their files lie, in which order they run, what the
 * ledger calls each, and whether the script that takes it back is there. Supabase's, and plain folders: sources.ts.
 */
import { readFile, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { crc32 } from "node:zlib";
import { z } from "zod";
import { UsageError, messageOf } from "../contract/failure";
import { type Migration, type MigrationFolder, readMigration } from "./sources";

/** Tools besides `supabase`. */
export const otherTools = ["prisma", "drizzle", "node-pg-migrate", "flyway"] as const;

export type OtherTool = (typeof otherTools)[number];

export type MigrationTool = "supabase" | OtherTool;

/** @throws UsageError for a folder or file that cannot be read, and what the tool itself would stumble over. */
export async function readToolFolder(tool: OtherTool, folder: string): Promise<MigrationFolder> {
  return readers[tool](folder);
}

const readers: Readonly<Record<OtherTool, (folder: string) => Promise<MigrationFolder>>> = {
  /** `<name>/migration.sql`, by name; `down.sql` beside it takes it back (Prisma's "Generating down migrations"). */
  prisma: async (folder) => {
    const entries = await entriesOf(folder);
    const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    const migrations = await Promise.all(
      names.sort(byCodeUnit).map(async (name) => {
        const beside = (await entriesOf(join(folder, name))).map((entry) => entry.name);
        if (!beside.includes("migration.sql")) return [];
        const migration = await readMigration(folder, `${name}/migration.sql`, { version: name, name });
        return [{ ...migration, hasRollback: beside.includes("down.sql") }];
      }),
    );
    return { migrations: migrations.flat(), skipped: sqlIn(entries.map(({ name }) => name)) };
  },

  /** `meta/_journal.json` names the files and their order; the ledger keeps `when` (drizzle-orm, migrator.ts). */
  drizzle: async (folder) => {
    const path = join(folder, "meta", "_journal.json");
    const text = await readFile(path, "utf8").catch((error: unknown) => {
      throw new UsageError(`${path}: cannot be read: ${messageOf(error)}`, { hint: "expected drizzle-kit's folder" });
    });
    const entries = parseJournal(path, text);
    const migrations = await Promise.all(
      entries.map(({ tag, when }) => readMigration(folder, `${tag}.sql`, { version: String(when), name: tag })),
    );
    const files = migrations.map(({ file }) => file);
    const skipped = sqlIn((await entriesOf(folder)).map(({ name }) => name)).filter((name) => !files.includes(name));
    return { migrations, skipped };
  },

  /** `<timestamp>_<name>.sql`; the ledger keeps the name without `.sql`; the part behind `-- Down Migration` takes it back. */
  "node-pg-migrate": async (folder) => {
    const names = sqlIn((await entriesOf(folder)).map(({ name }) => name));
    const numbered = names.filter((name) => /^\d+[_-]/.test(name)).sort(byLeadingNumber);
    const migrations = await Promise.all(
      numbered.map(async (file) => {
        const name = file.replace(/\.sql$/, "");
        const migration = await readMigration(folder, file, { version: name, name });
        const sql = forwardPart("node-pg-migrate", migration.sql);
        return { ...migration, sql, hasRollback: sql !== migration.sql };
      }),
    );
    return { migrations, skipped: names.filter((name) => !numbered.includes(name)) };
  },

  /** `V<version>__<name>.sql` by version, then `R__<name>.sql`, which run again when they change; `U<version>__…` takes back. */
  flyway: async (folder) => {
    const names = sqlIn((await entriesOf(folder)).map(({ name }) => name));
    const versioned = names.flatMap((file) => {
      const [, version, name = ""] = /^V([0-9]+(?:[._][0-9]+)*)__(.*)\.sql$/.exec(file) ?? [];
      return version === undefined ? [] : [{ file, name, version: version.replaceAll("_", ".") }];
    });
    versioned.sort((a, b) => byVersion(a.version, b.version));
    const twice = versioned.find(
      ({ version }, place) => byVersion(versioned[place - 1]?.version ?? "-1", version) === 0,
    );
    if (twice !== undefined) throw new UsageError(`${twice.file}: found the version ${twice.version} twice`);
    const undone = names.flatMap((file) => undoPattern.exec(file)?.[1]?.replaceAll("_", ".") ?? []);
    const repeatable = names.filter((file) => file.startsWith("R__")).sort(byCodeUnit);
    const migrations = [
      ...(await Promise.all(
        versioned.map(async ({ file, ...known }) => ({
          ...(await readMigration(folder, file, known)),
          hasRollback: undone.some((version) => byVersion(version, known.version) === 0),
        })),
      )),
      ...(await Promise.all(repeatable.map((file) => readRepeatable(folder, file)))),
    ];
    const read = migrations.map(({ file }) => file);
    return { migrations, skipped: names.filter((name) => !read.includes(name) && !undoPattern.test(name)) };
  },
};

/** node-pg-migrate, sqlMigration.ts. */
const downMarker = /^\s*--[\s-]*down\s+migration/im;

const undoPattern = /^U([0-9]+(?:[._][0-9]+)*)__/;

/** Is this file a script of the tool that takes a migration back, and so runs in no release? */
export function isRollbackScript(tool: MigrationTool, path: string): boolean {
  if (tool === "prisma") return basename(path) === "down.sql";
  return tool === "flyway" && undoPattern.test(basename(path));
}

/** The part of a file that the tool runs in a release. */
export function forwardPart(tool: MigrationTool, sql: string): string {
  const down = tool === "node-pg-migrate" ? downMarker.exec(sql) : null;
  return down === null ? sql : sql.slice(0, down.index);
}

/** The ledger knows it by its checksum too. */
async function readRepeatable(folder: string, file: string): Promise<Migration> {
  const migration = await readMigration(folder, file, { version: file, name: file.slice(3, -4) });
  return { ...migration, version: repeatableId(file, flywayChecksum(migration.sql)) };
}

export function repeatableId(script: string, checksum: number): string {
  return `${script}#${checksum}`;
}

/** CRC-32 over the lines without their ends, as a signed number (Flyway, ChecksumCalculator). */
export function flywayChecksum(text: string): number {
  const lines = text.replace(/\r?\n$/, "").split(/\r\n|\r|\n/);
  return lines.reduce((sum, line) => crc32(line, sum), 0) | 0;
}

const journalSchema = z.object({ entries: z.array(z.object({ tag: z.string().min(1), when: z.number() })) });

function parseJournal(path: string, text: string): z.infer<typeof journalSchema>["entries"] {
  try {
    return journalSchema.parse(JSON.parse(text)).entries;
  } catch (error) {
    throw new UsageError(`${path}: is not a journal of drizzle-kit: ${messageOf(error).split("\n")[0] ?? ""}`);
  }
}

async function entriesOf(folder: string) {
  return readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new UsageError(`migrations.path: found ${folder}, which cannot be read: ${messageOf(error)}`);
  });
}

function sqlIn(names: readonly string[]): string[] {
  return names.filter((name) => name.endsWith(".sql")).sort(byCodeUnit);
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function byLeadingNumber(a: string, b: string): number {
  const [before, after] = [a, b].map((name) => BigInt(/^\d+/.exec(name)?.[0] ?? "0"));
  return before === after ? byCodeUnit(a, b) : (before ?? 0n) < (after ?? 0n) ? -1 : 1;
}

/** `1.10` after `1.9`; `1.0` is `1`. */
function byVersion(a: string, b: string): number {
  const [before, after] = [a, b].map((version) => version.split(".").map(Number));
  for (let place = 0; place < Math.max(before?.length ?? 0, after?.length ?? 0); place++) {
    const difference = (before?.[place] ?? 0) - (after?.[place] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

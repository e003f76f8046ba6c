/**
 * What the source defines and the replica does not have at all, told by the tables of contents of two schema-only dumps:
 * pg_dump knows every kind of object, and in which order they can be made.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Client } from "pg";
import { dumpFilters, oldestPgDump } from "../backup/dumpFilters";
import { majorOf } from "../database/identity";
import { allOrNone } from "../database/lanes";
import { findPostgres } from "../database/postgresPrograms";
import { startProgram } from "../database/program";
import { readScope } from "../database/supabasePreset";
import type { DatabaseTarget } from "../database/target";
import { type TocEntry, parseContents } from "../restore/tableOfContents";
import { type PairIdentity, type ReplicaPair, ownSchema } from "./pair";

export interface MissingDefinitions {
  /** Everything the source defines, in an order in which it can be made. */
  readonly all: readonly TocEntry[];
  /** Of these, what the replica does not have under that name and owner. */
  readonly missing: readonly TocEntry[];
  /** The statements that make these entries; to be run in one transaction. */
  statementsOf(entries: readonly TocEntry[]): Promise<string>;
}

/** @param work gets the definitions while their dump is there. */
export async function withMissingDefinitions<T>(
  pair: ReplicaPair,
  source: Client,
  identity: PairIdentity,
  work: (definitions: MissingDefinitions) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const scope = await readScope(source);
  const newest = Math.max(majorOf(identity.source.serverVersion), majorOf(identity.replica.serverVersion));
  const { binDir } = findPostgres({ atLeast: oldestPgDump(newest, scope), use: "client" });
  const folder = await mkdtemp(join(tmpdir(), "dbprotect-sync-"));
  const run = async (program: "pg_dump" | "pg_restore", args: string[], target?: DatabaseTarget): Promise<string> => {
    const call = { binDir, program, args, ...(signal === undefined ? {} : { signal }) };
    const started = startProgram(target === undefined ? call : { ...call, target });
    started.stdin.end();
    const written = text(started.stdout);
    await started.succeeded;
    return written;
  };
  const contents = async (side: "source" | "replica"): Promise<TocEntry[]> => {
    const file = join(folder, `${side}.dump`);
    const filters = ["--no-publications", `--exclude-schema=${ownSchema}`, ...dumpFilters(scope)];
    await run("pg_dump", ["-Fc", "--schema-only", "--no-password", `--file=${file}`, ...filters], pair[side]);
    return parseContents(await run("pg_restore", ["--list", file]));
  };
  try {
    const [all, there] = await allOrNone<[TocEntry[], TocEntry[]]>(
      [() => contents("source"), () => contents("replica")],
      signal,
    );
    const has = new Set(there.map(({ kind, rest }) => `${kind} ${rest}`));
    return await work({
      all,
      missing: all.filter(({ kind, rest }) => !has.has(`${kind} ${rest}`)),
      statementsOf: async (entries) => {
        const list = join(folder, "entries.list");
        await writeFile(list, entries.map(({ line }) => `${line}\n`).join(""));
        const options = ["--no-tablespaces", "--no-security-labels", "--file=-", `--use-list=${list}`];
        const script = await run("pg_restore", [...options, join(folder, "source.dump")]);
        // Commands of psql; and a statement that waits for a lock makes everybody behind it wait too.
        return script.replace(/^\\(un)?restrict .*$/gm, "").replace(/^SET lock_timeout = 0;$/m, "");
      },
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

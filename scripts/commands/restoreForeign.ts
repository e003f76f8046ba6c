/** The part of `db:restore` that takes a dump which is no backup of this program: a file, a folder, an object. */
import { UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import { describeIdentity, readIdentity } from "../database/identity";
import type { DatabaseTarget } from "../database/target";
import { type NearDump, fetchDump } from "../restore/foreign/fetchDump";
import { formatNames, recogniseDump } from "../restore/foreign/recognise";
import { type RestoredDump, inspectDump, nameFor, restoreDump } from "../restore/foreign/restoreDump";
import type { DumpSummary } from "../restore/foreign/dumpScript";
import { findMissingRoles } from "../restore/restoreBackup";
import { confirm, interrupted, printResult, progress } from "./session";

export interface ForeignOptions {
  readonly database?: string;
  readonly swap?: boolean;
  readonly inPlace?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/**
 * What is not restored from a store of ours: whatever looks like a path. The name of a backup holds neither a slash nor a
 * dot.
 */
export function isForeign(wanted: string): boolean {
  return /[/.]/.test(wanted);
}

/** @throws UsageError with `--swap` or `--in-place`: nothing proves that such a file is a good state of the database. */
export async function restoreForeign(address: string, live: DatabaseTarget, options: ForeignOptions): Promise<void> {
  if (options.swap === true || options.inPlace === true)
    throw new UsageError(
      `found ${options.swap === true ? "--swap" : "--in-place"} with ${address}, which is no backup of this program: expected neither, for it has no fingerprint that proves what would replace the live database`,
      { hint: "restore it beside, look at it, and point the application at the new database" },
    );
  const near = await fetchDump(address, { signal: interrupted });
  try {
    await restoreNear(near, live, options);
  } finally {
    await near.close();
  }
}

async function restoreNear(near: NearDump, live: DatabaseTarget, options: ForeignOptions): Promise<void> {
  const dump = await recogniseDump(near.path);
  const identity = await withConnection(live, (client) => readIdentity(client, live));
  progress(`reading ${near.path} to its end: ${formatNames[dump.format]}`);
  const summary = await inspectDump(dump, live, { signal: interrupted });
  const database = options.database ?? nameFor(live.database, near.name);
  const missing = await findMissingRoles(live, summary.roles);
  await confirm(
    [
      `restores ${near.path} (${formatNames[dump.format]}: ${describeRows(summary)}),\n` +
        `into the new database ${database} beside ${describeIdentity(identity)}, which is not touched`,
      "its statements run with the rights of this role: restore only what you trust",
      ...(missing.length === 0
        ? []
        : [`creates the roles that its server lacks, without login: ${missing.join(", ")}`]),
    ].join(",\n"),
    options.yes === true,
  );
  const restored = await restoreDump({
    ...{ dump, summary, live, database, signal: interrupted, onProgress: progress },
  });
  printResult(
    options.json === true,
    { file: near.path, format: dump.format, host: identity.host, port: identity.port, ...restored },
    describe(restored, near, `${identity.host}:${identity.port}`),
  );
}

function describeRows({ tables }: DumpSummary): string {
  const rows = tables.reduce((sum, table) => sum + (table.rows ?? 0), 0);
  return `${rows} rows of ${tables.length} tables${tables.some((table) => table.rows === null) ? ", and more that cannot be counted beforehand" : ""}`;
}

/** No more is said than what was seen. */
function describe(restored: RestoredDump, near: NearDump, server: string): string {
  const { database, rows, tables, constraints, uncounted, withoutRows, unvalidated, notes } = restored;
  const line = (what: string, names: readonly string[]): string[] =>
    names.length === 0 ? [] : [`${what}: ${names.join(", ")}`];
  return [
    ...notes.map((note) => `note: ${note}`),
    ...line("not counted, for the file writes them by other statements", uncounted),
    ...line("defined in the file, which holds no rows for them", withoutRows),
    ...line("constraints that are NOT VALID in the file", unvalidated),
    `restored: ${near.path} is database ${database} on ${server}: ${rows} rows of ${tables} tables, as many in each as in the file; ${constraints} constraints hold; nothing in such a file proves its values`,
  ].join("\n");
}

/** The part of `db:restore` that takes a dump which is no backup of this program: a file, a folder, an object. */
import { UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, describeIdentity, readWritableIdentity } from "../database/identity";
import type { DatabaseTarget } from "../database/target";
import { type NearDump, fetchDump } from "../restore/foreign/fetchDump";
import type { DumpSummary } from "../restore/foreign/dumpScript";
import type { ProvenDump } from "../restore/foreign/fillFromDump";
import { type RecognisedDump, formatNames, recogniseDump } from "../restore/foreign/recognise";
import { type RestoredDump, inspectDump, nameFor, restoreDump, tablesNotIn } from "../restore/foreign/restoreDump";
import { restoreDumpLive } from "../incident/restoreLive";
import { findMissingRoles } from "../restore/restoreBackup";
import { channelsFor, telling } from "./communication";
import { newRunId } from "./gateContext";
import { chooseMode, describeFormer, describeModeOf } from "./restoreMode";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

/** Of `db:restore`, whatever it restores. */
export interface RestoreOptions {
  readonly database?: string;
  readonly swap?: boolean;
  readonly inPlace?: boolean;
  readonly safetyBackup?: string;
  readonly unproven?: boolean;
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

/** @throws UsageError when it is to replace the live database and nobody said that nothing proves its values. */
export async function restoreForeign(address: string, live: DatabaseTarget, options: RestoreOptions): Promise<void> {
  const isOver = options.swap === true || options.inPlace === true;
  if (isOver && options.unproven !== true)
    throw new UsageError(
      `found ${options.swap === true ? "--swap" : "--in-place"} with ${address}, which is no backup of this program: it has no fingerprint, so nothing proves its values; expected --unproven besides, if that is accepted`,
      { hint: "or restore it beside, look at it, and point the application at the new database" },
    );
  if (!isOver && options.unproven === true)
    throw new UsageError("found --unproven without --swap or --in-place: beside the live database it is of no use");
  const near = await fetchDump(address, { signal: interrupted });
  try {
    const dump = await recogniseDump(near.path);
    const identity = await withConnection(live, (client) => readWritableIdentity(client, live));
    progress(`reading ${near.path} to its end: ${formatNames[dump.format]}`);
    const summary = await inspectDump(dump, live, { signal: interrupted });
    const request = { near, live, dump, identity, summary };
    await (isOver ? replaceLive(request, options) : restoreNextTo(request, options));
  } finally {
    await near.close();
  }
}

interface Request {
  readonly near: NearDump;
  readonly live: DatabaseTarget;
  readonly dump: RecognisedDump;
  readonly identity: DatabaseIdentity;
  readonly summary: DumpSummary;
}

async function replaceLive(request: Request, options: RestoreOptions): Promise<void> {
  const { near, live, dump, identity, summary } = request;
  const store = storeFromEnvironment();
  const mode = await chooseMode(live, options.inPlace === true);
  const gone = await tablesNotIn(summary, live);
  const backup = options.safetyBackup === undefined ? "takes a backup of what is live now, " : "";
  await confirm(
    [
      `${backup}${describeModeOf(mode, describeDump(request), "its rows are counted", identity)}`,
      ...(await warnings(request)),
      "nothing proves that its values are what was once in a database (--unproven)",
      ...(gone.length === 0 ? [] : [`not in the file, so gone from the live database: ${listed(gone)}`]),
    ].join(",\n"),
    options.yes === true,
  );
  const restored = await telling(channelsFor(store), { way: "db:restore", from: "a dump" }, () =>
    restoreDumpLive({
      ...{ store, live, identity, mode, runId: newRunId(), dump, summary, file: near.name },
      ...(options.safetyBackup === undefined ? {} : { safetyBackup: options.safetyBackup }),
      ...{ signal: interrupted, onProgress: progress },
    }),
  );
  const place = `${identity.host}:${identity.port}`;
  printResult(
    options.json === true,
    {
      file: near.path,
      format: dump.format,
      host: identity.host,
      port: identity.port,
      database: live.database,
      ...restored,
    },
    [describe({ ...restored, database: live.database }, near, place), ...describeFormer(restored)].join("\n"),
  );
}

async function restoreNextTo(request: Request, options: RestoreOptions): Promise<void> {
  const { near, live, dump, identity, summary } = request;
  const database = options.database ?? nameFor(live.database, near.name);
  await confirm(
    [
      `restores ${describeDump(request)},\n` +
        `into the new database ${database} beside ${describeIdentity(identity)}, which is not touched`,
      ...(await warnings(request)),
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

function describeDump({ near, dump, summary }: Request): string {
  return `${near.path} (${formatNames[dump.format]}: ${describeRows(summary)})`;
}

/** What whoever confirms should know besides, in either way. */
async function warnings({ live, summary }: Request): Promise<string[]> {
  const missing = await findMissingRoles(live, summary.roles);
  return [
    "its statements run with the rights of this role: restore only what you trust",
    ...(missing.length === 0 ? [] : [`creates the roles that its server lacks, without login: ${missing.join(", ")}`]),
  ];
}

/** Of many the first. */
const mostNamed = 20;

function listed(names: readonly string[]): string {
  const more = names.length - mostNamed;
  return names.slice(0, mostNamed).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

function describeRows({ tables }: DumpSummary): string {
  const rows = tables.reduce((sum, table) => sum + (table.rows ?? 0), 0);
  return `${rows} rows of ${tables.length} tables${tables.some((table) => table.rows === null) ? ", and more that cannot be counted beforehand" : ""}`;
}

/** No more is said than what was seen. */
function describe(
  restored: ProvenDump & Pick<RestoredDump, "database" | "notes">,
  near: NearDump,
  server: string,
): string {
  const { database, rows, tables, constraints, uncounted, withoutRows, unvalidated, notes } = restored;
  const line = (what: string, names: readonly string[]): string[] =>
    names.length === 0 ? [] : [`${what}: ${names.join(", ")}`];
  return [
    ...notes.slice(0, mostNamed).map((note) => `note: ${note}`),
    ...(notes.length > mostNamed ? [`note: and ${notes.length - mostNamed} more (--json names all)`] : []),
    ...line("not counted, for the file writes them by other statements", uncounted),
    ...line("defined in the file, which holds no rows for them", withoutRows),
    ...line("constraints that are NOT VALID in the file", unvalidated),
    `restored: ${near.path} is database ${database} on ${server}: ${rows} rows of ${tables} tables, as many in each as in the file; ${constraints} constraints hold; nothing in such a file proves its values`,
  ].join("\n");
}

/** `db:restore`: restores a backup beside the live database or over it, and proves it equal; or a dump that is none. */
import type { Command } from "commander";
import { type Manifest, listSuspects, readManifest, resolveBackup } from "../backup/manifest";
import { UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, describeIdentity, readWritableIdentity } from "../database/identity";
import { type DatabaseTarget, targetFromEnvironment } from "../database/target";
import { restoreLive } from "../incident/restoreLive";
import { findMissingRoles } from "../restore/restoreBackup";
import { besideName, restoreBeside } from "../restore/restoreBeside";
import type { Store } from "../store/store";
import { channelsFor, telling } from "./communication";
import { newRunId } from "./gateContext";
import { chooseMode, describeMode, describeRestoredLive } from "./restoreMode";
import { type RestoreOptions, isForeign, restoreForeign } from "./restoreForeign";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeAt, storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .argument("<backup>", "a backup's name or address, latest, or a dump of pg_dump: path, file:// or s3://")
    .option("--database <name>", "name of the new database; default: <database>_restored_<date>_<time>")
    .option("--swap", "let the restored database take the live one's place")
    .option("--in-place", "replace what is in the live database, in one transaction; for where it cannot be renamed")
    .option(
      "--safety-backup <name>",
      "with --swap and --in-place: take no backup of what is live now, this one is enough; default: one is taken",
    )
    .option(
      "--unproven",
      "with --swap and --in-place of a dump that is no backup: nothing proves its values, which is accepted",
    )
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action(async (wanted: string, options: RestoreOptions) => {
      demandFittingOptions(options);
      const live = targetFromEnvironment("DATABASE_URL");
      const stored = splitAddress(wanted);
      if (stored === undefined && isForeign(wanted)) return restoreForeign(wanted, live, options);
      if (options.unproven === true)
        throw new UsageError(
          `found --unproven with ${wanted}, a backup, which is compared: expected it with a file only`,
        );
      const store = stored === undefined ? storeFromEnvironment() : storeAt(stored.store);
      const manifest = await readManifest(store, await resolveBackup(store, stored?.name ?? wanted));
      const identity = await withConnection(live, (client) => readWritableIdentity(client, live));
      const request = { store, live, manifest, identity };
      await (isOver(options) ? restoreOver(request, options) : restoreNextTo(request, options));
    });
}

/** A backup in another store than the environment's: `file:///var/backups/crm/backups/manual/backup_20260101_120000`. */
function splitAddress(wanted: string): { store: string; name: string } | undefined {
  const [, place, name, query = ""] =
    /^((?:file|s3):\/\/.+)\/backups\/[a-z]+\/(backup_\d{8}_\d{6})\/?(\?.*)?$/.exec(wanted) ?? [];
  return place === undefined || name === undefined ? undefined : { store: place + query, name };
}

/** Whether the live database is replaced, in either way. */
function isOver({ swap, inPlace }: RestoreOptions): boolean {
  return swap === true || inPlace === true;
}

function demandFittingOptions(options: RestoreOptions): void {
  if (options.swap === true && options.inPlace === true)
    throw new UsageError("found --swap together with --in-place: expected one of the two");
  if (isOver(options) && options.database !== undefined)
    throw new UsageError("found --database together with --swap or --in-place, which keep the live database's name");
  if (!isOver(options) && options.safetyBackup !== undefined)
    throw new UsageError(
      "found --safety-backup without --swap or --in-place: beside the live database it is of no use",
    );
}

interface Request {
  readonly store: Store;
  readonly live: DatabaseTarget;
  readonly manifest: Manifest;
  readonly identity: DatabaseIdentity;
}

async function restoreOver({ store, live, manifest, identity }: Request, options: RestoreOptions): Promise<void> {
  const mode = await chooseMode(live, options.inPlace === true);
  await confirm(
    `${options.safetyBackup === undefined ? "takes a backup of what is live now, " : ""}${describeMode(mode, manifest, identity)}${await warnings(store, live, manifest)}`,
    options.yes === true,
  );
  const recovery = { way: "db:restore", from: manifest.name };
  const restored = await telling(channelsFor(store), recovery, () =>
    restoreLive({
      ...{ store, manifest, live, identity, mode, runId: newRunId() },
      ...(options.safetyBackup === undefined ? {} : { safetyBackup: options.safetyBackup }),
      signal: interrupted,
      onProgress: progress,
    }),
  );
  printResult(
    options.json === true,
    { backup: manifest.name, host: identity.host, port: identity.port, database: live.database, ...restored },
    describeRestoredLive(restored, manifest, identity),
  );
}

async function restoreNextTo({ store, live, manifest, identity }: Request, options: RestoreOptions): Promise<void> {
  const database = options.database ?? besideName(live.database, manifest.name);
  await confirm(
    `restores ${manifest.name} of ${describeIdentity(manifest.database)}, taken ${manifest.snapshot.takenAt},\n` +
      `into the new database ${database} beside ${describeIdentity(identity)}, which is not touched${await warnings(store, live, manifest)}`,
    options.yes === true,
  );
  const restored = await restoreBeside({ store, manifest, live, database, signal: interrupted, onProgress: progress });
  printResult(
    options.json === true,
    { backup: manifest.name, host: identity.host, port: identity.port, ...restored },
    `restored: ${manifest.name} is database ${database} on ${identity.host}:${identity.port}, ${restored.rows} rows of ${restored.tables} tables equal to the backup`,
  );
}

/** What whoever confirms should know besides, each on a line of its own. */
async function warnings(store: Store, live: DatabaseTarget, manifest: Manifest): Promise<string> {
  const missing = await findMissingRoles(live, manifest.roles);
  return [
    ...((await listSuspects(store)).has(manifest.name)
      ? [`${manifest.name} is SUSPECT: taken after a release whose verification failed, or before a restore`]
      : []),
    ...(missing.length === 0 ? [] : [`creates the roles that its server lacks, without login: ${missing.join(", ")}`]),
  ]
    .map((line) => `,\n${line}`)
    .join("");
}

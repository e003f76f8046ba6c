/** The backup of what is live, taken before something is restored over it. */
import { readIdentities, readRecipients } from "../backup/ageKeys";
import { createBackup } from "../backup/createBackup";
import { type BackupReference, listBackups, listSuspects, readManifest, resolveBackup } from "../backup/manifest";
import { Refusal } from "../contract/failure";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, describeIdentity, isSameDatabase } from "../database/identity";
import { displayName, quoteName } from "../database/sqlText";
import { listProtectedTables } from "../database/tables";
import type { DatabaseTarget } from "../database/target";
import { readDepths } from "../retention/inventory";
import { encodeDocument } from "../store/documents";
import { compactUtc, suspectMarkKey } from "../store/layout";
import type { Store } from "../store/store";
import { verifyBackup } from "../verification/verifyBackup";

export interface SafetyInput {
  readonly store: Store;
  readonly live: DatabaseTarget;
  readonly identity: DatabaseIdentity;
  /** Which database the backup that is about to be restored is of. Default: nothing tells, for it is a foreign file. */
  readonly source?: Pick<DatabaseIdentity, "systemIdentifier" | "database">;
  /** Of the run that takes it; the backup's manifest names it. */
  readonly runId: string;
  /** A killed attempt of the same run id may have taken it: then that one is it. Default: false. */
  readonly isRetry?: boolean;
  /** A backup's name: this one is good enough, take none. */
  readonly named?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

/**
 * It is marked as suspect at once, for it holds what somebody is about to undo: by name it can be had.
 *
 * @returns its name; null where the live database has no row to lose.
 * @throws Refusal when the live database is another than the backup's and holds rows; what `createBackup` and
 *   `verifyBackup` throw, when none can be taken.
 */
export async function secureLive(input: SafetyInput): Promise<string | null> {
  const { store, identity, source, named, onProgress } = input;
  if (source !== undefined && !isSameDatabase(identity, source)) {
    await demandNoRows({ ...input, source });
    return null;
  }
  if (named !== undefined) {
    const reference = await resolveBackup(store, named);
    const manifest = await readManifest(store, reference);
    if (!isSameDatabase(manifest.database, identity))
      throw new Refusal(`--safety-backup: ${named} is of ${describeIdentity(manifest.database)}, not of this database`);
    onProgress?.(`no safety backup is taken: ${named} of ${manifest.snapshot.takenAt} was named`);
    return reference.name;
  }
  if (source === undefined && (await tableWithRows(input)) === undefined) return null;
  return takeOne(input);
}

async function takeOne({ store, live, runId, isRetry, signal, onProgress }: SafetyInput): Promise<string> {
  const former = isRetry === true ? await takenBefore(store, runId) : undefined;
  onProgress?.(
    former === undefined
      ? "safety backup: what is live now is stored first"
      : `safety backup: ${former.name} was taken by a run that died right after it`,
  );
  const run = {
    ...{ store, runId },
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  };
  try {
    const reference = former ?? (await createBackup({ ...run, target: live, tier: "manual" })).reference;
    if (former === undefined || !(await listSuspects(store)).has(former.name)) await markSuspect(store, reference.name);
    const readable = (await readRecipients()).length === 0 || readIdentities().length > 0;
    const depth = readable ? 3 : 1;
    const known = former === undefined ? 0 : ((await readDepths(store)).get(former.name) ?? 0);
    if (known < depth) await verifyBackup({ ...run, backup: reference, depth });
    onProgress?.(`safety backup: ${reference.name}, marked as suspect`);
    return reference.name;
  } catch (error) {
    if (signal?.aborted !== true)
      onProgress?.(
        "no safety backup can be taken: where that cannot be mended, name an older backup that is to be enough: --safety-backup <name>",
      );
    throw error;
  }
}

/** Without its manifest, which is written last, a backup does not exist. */
async function takenBefore(store: Store, runId: string): Promise<BackupReference | undefined> {
  for (const reference of (await listBackups(store)).filter(({ tier }) => tier === "manual").reverse())
    if ((await readManifest(store, reference)).runId === runId) return reference;
  return undefined;
}

async function markSuspect(store: Store, backup: string): Promise<void> {
  const reason = "taken before the live database was changed or replaced: it holds what was undone";
  await store.create(
    suspectMarkKey(backup, `${compactUtc(new Date())}-${process.pid}`),
    encodeDocument({ schemaVersion: 1, backup, receipt: null, reason, at: new Date().toISOString() }),
  );
}

/** A backup of another database would not belong into this store: so there must be nothing to back up. */
async function demandNoRows(input: SafetyInput & Required<Pick<SafetyInput, "source">>): Promise<void> {
  const { identity, source } = input;
  const table = await tableWithRows(input);
  if (table === undefined) return;
  throw new Refusal(
    `${describeIdentity(identity)} is not the database of the backup (${source.database}, system ${source.systemIdentifier}) and holds rows (${table}): nothing was changed`,
    { hint: "restore beside it (without --swap and --in-place), or into an empty database" },
  );
}

/** The first one; undefined: the live database has no row to lose. */
async function tableWithRows({ live }: SafetyInput): Promise<string | undefined> {
  return withConnection(live, async (client) => {
    for (const table of await listProtectedTables(client)) {
      const { rowCount } = await client.query(`SELECT FROM ONLY ${quoteName(table)} LIMIT 1`);
      if ((rowCount ?? 0) > 0) return displayName(table);
    }
    return undefined;
  });
}

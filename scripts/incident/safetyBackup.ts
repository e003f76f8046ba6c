/** The backup of what is live, taken before something is restored over it. */
import { readIdentities, readRecipients } from "../backup/ageKeys";
import { createBackup } from "../backup/createBackup";
import { readManifest, resolveBackup } from "../backup/manifest";
import { Refusal } from "../contract/failure";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, describeIdentity, isSameDatabase } from "../database/identity";
import { displayName, quoteName } from "../database/sqlText";
import { listProtectedTables } from "../database/tables";
import type { DatabaseTarget } from "../database/target";
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
  readonly runId: string;
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

async function takeOne({ store, live, runId, signal, onProgress }: SafetyInput): Promise<string> {
  onProgress?.("safety backup: what is live now is stored first");
  const run = {
    ...{ store, runId },
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  };
  try {
    const { reference } = await createBackup({ ...run, target: live, tier: "manual" });
    await store.create(
      suspectMarkKey(reference.name, `${compactUtc(new Date())}-${process.pid}`),
      encodeDocument({
        schemaVersion: 1,
        backup: reference.name,
        receipt: null,
        reason: "taken before a restore over the live database: it holds what was undone",
        at: new Date().toISOString(),
      }),
    );
    const readable = (await readRecipients()).length === 0 || readIdentities().length > 0;
    await verifyBackup({ ...run, backup: reference, depth: readable ? 3 : 1 });
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

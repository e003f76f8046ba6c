/** What was restored over the live database, each event written once below `incidents/`: a restore began, and ended well. */
import { z } from "zod";
import { databaseIdentitySchema } from "../database/identity";
import { encodeDocument, readDocument } from "../store/documents";
import { incidentEventKey, incidentsPrefix, retentionTiers } from "../store/layout";
import type { Store } from "../store/store";

/** `swap`: restored beside and renamed; `in-place`: its objects were replaced in one transaction. */
const restoreModes = ["swap", "in-place"] as const;
export type RestoreMode = (typeof restoreModes)[number];

const restoreEventSchema = z.object({
  schemaVersion: z.literal(1),
  event: z.enum(["restore-started", "restored"]),
  /** Of the command that restored. */
  runId: z.string(),
  mode: z.enum(restoreModes),
  /** Null: a file was restored that is no backup. */
  backup: z.object({ tier: z.enum(retentionTiers), name: z.string() }).nullable(),
  /** That file; null: a backup was restored. */
  file: z.string().nullable().default(null),
  /** What it was restored over. */
  database: databaseIdentitySchema,
  /** Of the backup: what the seconds were spent on; 0 for a file. */
  databaseBytes: z.int(),
  /** The backup of what was live before; null: that held no row. */
  safetyBackup: z.string().nullable(),
  /** What was the live database is called so now; null: it was not renamed. */
  aside: z.string().nullable(),
  /** From the first byte read to the proven database in its place, without the safety backup; null when it began. */
  seconds: z.number().nullable(),
  at: z.iso.datetime(),
});

export type RestoreEvent = z.infer<typeof restoreEventSchema>;
/** What is told of one; `file` is null where it is not given. */
export type RestoreFacts = Omit<RestoreEvent, "schemaVersion" | "at" | "file"> & { readonly file?: string | null };

const numbers: Readonly<Record<RestoreEvent["event"], number>> = { "restore-started": 1, restored: 2 };

export async function recordRestore(store: Store, event: RestoreFacts): Promise<void> {
  const document: RestoreEvent = { schemaVersion: 1, ...event, file: event.file ?? null, at: new Date().toISOString() };
  await store.create(incidentEventKey(event.runId, numbers[event.event], event.event), encodeDocument(document));
}

/** Restores that ended well, oldest first; of many the newest 20. */
export async function listRestores(store: Store): Promise<RestoreEvent[]> {
  const keys = (await store.list(incidentsPrefix))
    .map(({ key }) => key)
    .filter((key) => key.endsWith("-restored.json"));
  const events = await Promise.all(keys.slice(-20).map((key) => readDocument(store, key, restoreEventSchema)));
  return events.filter((event) => event !== undefined);
}

/** How far one restore came; undefined: it did not begin. */
export async function readRestore(store: Store, runId: string): Promise<RestoreEvent | undefined> {
  const last = (await store.list(`${incidentsPrefix}${runId}/`)).at(-1);
  return last === undefined ? undefined : readDocument(store, last.key, restoreEventSchema);
}

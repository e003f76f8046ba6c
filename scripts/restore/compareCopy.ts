/** Reads the fingerprint of a restored copy and says how it differs from the one that its backup recorded. */
import { buffer } from "node:stream/consumers";
import { PassThrough } from "node:stream";
import { readVerified } from "../backup/archiveStream";
import { type Manifest, fileKey } from "../backup/manifest";
import { Damage, messageOf } from "../contract/failure";
import { withConnection } from "../database/connect";
import { chooseJobs, readCapacity } from "../database/jobs";
import { openSnapshot } from "../database/snapshot";
import type { DatabaseTarget } from "../database/target";
import { differencesOf } from "../fingerprint/compare";
import { computeFingerprint } from "../fingerprint/compute";
import { type Fingerprint, type TableFingerprint, parseFingerprint } from "../fingerprint/fingerprint";
import type { Store } from "../store/store";
import { stillSo, untilAlone } from "./restoredRows";

/** @throws Damage when it differs from the manifest's checksum. */
export async function readFingerprint(store: Store, manifest: Manifest): Promise<Fingerprint> {
  const sink = new PassThrough();
  const key = fileKey(manifest, manifest.fingerprint.file);
  const [text, reading] = await Promise.allSettled([
    buffer(sink),
    readVerified(store, key, manifest.fingerprint, sink),
  ]);
  // A damaged stream also ends the sink early; its own error says what is wrong.
  if (reading.status === "rejected") throw reading.reason;
  if (text.status === "rejected") throw text.reason;
  try {
    return parseFingerprint(text.value.toString("utf8"));
  } catch (error) {
    throw new Damage(`${key} is damaged: ${messageOf(error).split("\n")[0] ?? ""}`, { cause: error });
  }
}

/**
 * Lines that name each difference; none: the copy equals the snapshot that was dumped.
 *
 * @param options.early tables whose rows were equal while the copy was still being restored (`restoredRows.ts`).
 */
export async function compareCopy(
  original: Fingerprint,
  copy: DatabaseTarget,
  options: { jobs?: number; signal?: AbortSignal; early?: readonly TableFingerprint[] } = {},
): Promise<string[]> {
  const { early = [] } = options;
  const allCounted = early.length > 0 && (await withConnection(copy, untilAlone));
  const snapshot = await openSnapshot(copy);
  try {
    const { freeConnections } = await readCapacity(snapshot.leader);
    const rowText = original.tables[0]?.rowText;
    const fingerprint = await computeFingerprint(snapshot, {
      jobs: chooseJobs(options.jobs, freeConnections, { each: 1, once: 0 }),
      known: allCounted ? stillSo(early, snapshot.tables) : [],
      ...(rowText === undefined ? {} : { rowText }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return differencesOf(original, fingerprint);
  } finally {
    await snapshot.close();
  }
}

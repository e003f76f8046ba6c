/** How long a restore of this database will take, told from those that were done: verifications at depth 4, and restores. */
import { listBackups, readManifest } from "../backup/manifest";
import { Damage } from "../contract/failure";
import { listRestores } from "../record/restoreEvents";
import { readDocument } from "../store/documents";
import { parseVerificationKey, verificationsPrefix } from "../store/layout";
import type { Store } from "../store/store";
import { verificationResultSchema } from "./verificationResult";

export interface ExpectedRto {
  readonly seconds: number;
  /** How many restores it is the median of. */
  readonly restores: number;
}

/** A restore that was measured. */
export interface RestoreSample {
  readonly seconds: number;
  readonly databaseBytes: number;
}

/** Older verifications are not looked at: the server and the way of restoring may have been others. */
const newestVerifications = 20;

/**
 * The median of the restores of this store, each scaled to the size of the database that is to be restored.
 *
 * @param databaseBytes `databaseBytes` of its manifest.
 * @returns undefined when nothing of this store was ever restored.
 */
export async function readExpectedRto(store: Store, databaseBytes: number): Promise<ExpectedRto | undefined> {
  return expectRto(await readRestoreSamples(store), databaseBytes);
}

/** The newest restores of this store, whatever database size they had. */
export async function readRestoreSamples(store: Store): Promise<RestoreSample[]> {
  return [...(await verifiedSamples(store)), ...(await restoredSamples(store))];
}

/** Pure. */
export function expectRto(samples: readonly RestoreSample[], databaseBytes: number): ExpectedRto | undefined {
  const scaled = samples
    .filter((sample) => sample.databaseBytes > 0)
    .map((sample) => (sample.seconds * databaseBytes) / sample.databaseBytes)
    .sort((a, b) => a - b);
  const [lower, upper] = [scaled[Math.floor((scaled.length - 1) / 2)], scaled[Math.floor(scaled.length / 2)]];
  if (lower === undefined || upper === undefined) return undefined;
  return { seconds: (lower + upper) / 2, restores: scaled.length };
}

/** `about 42 s, the median of 5 restores of this store, scaled to 911 MB`. */
export function describeRto(rto: ExpectedRto, databaseBytes: number): string {
  const of = rto.restores === 1 ? "from 1 restore" : `the median of ${rto.restores} restores`;
  return `about ${describeSeconds(rto.seconds)}, ${of} of this store, scaled to ${(databaseBytes / 1e6).toFixed(0)} MB`;
}

/** One line when it takes longer than the stack's target (`rtoMinutes`); undefined: it does not. */
export function overTarget(rto: ExpectedRto, rtoMinutes: number): string | undefined {
  if (rto.seconds <= rtoMinutes * 60) return undefined;
  return `the expected RTO, about ${describeSeconds(rto.seconds)}, is over the target of ${rtoMinutes} min (rtoMinutes): roll the application back first, and repair rows`;
}

/** `42 s`, `12 min`. */
export function describeSeconds(seconds: number): string {
  return seconds < 120 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

async function verifiedSamples(store: Store): Promise<RestoreSample[]> {
  const backups = new Map((await listBackups(store)).map((backup) => [backup.name, backup]));
  const keys = (await store.list(verificationsPrefix))
    .map(({ key }) => ({ key, ...parseVerificationKey(key) }))
    .filter(({ backup, depth = 0 }) => depth >= 4 && backup !== undefined && backups.has(backup));
  const samples = await Promise.all(
    keys.slice(-newestVerifications).map(async ({ key, backup = "" }): Promise<RestoreSample[]> => {
      try {
        const result = await readDocument(store, key, verificationResultSchema);
        const { databaseBytes } = await readManifest(store, backups.get(backup)!);
        return typeof result?.restoreSeconds === "number" ? [{ seconds: result.restoreSeconds, databaseBytes }] : [];
      } catch (error) {
        // An estimate must not fail for a document that is none.
        if (error instanceof Damage) return [];
        throw error;
      }
    }),
  );
  return samples.flat();
}

async function restoredSamples(store: Store): Promise<RestoreSample[]> {
  return (await listRestores(store)).flatMap(({ seconds, databaseBytes }) =>
    seconds === null ? [] : [{ seconds, databaseBytes }],
  );
}

/** A restore drill: the newest backup of each location is restored, compared, checked and timed. The live database is not needed. */
import { type BackupReference, listBackups, listSuspects, readManifest } from "../backup/manifest";
import { Damage, type ExitCode, Refusal, Unavailable, exitCode, messageOf } from "../contract/failure";
import { redact } from "../contract/redaction";
import { describeHolder, readLease } from "../control/lease";
import { claimOf, thisHolder } from "../control/leaseDocument";
import { type Drill, type DrilledLocation, recordDrill } from "../record/drillRecords";
import type { OperationSettings } from "../settings";
import { sha256Of } from "../store/documents";
import { backupPrefix, manifestKey } from "../store/layout";
import { storesOf } from "../store/replicatedStore";
import { type Store, readBytes } from "../store/store";
import { recordedElsewhere } from "../verification/elsewhere";
import { verifyBackup } from "../verification/verifyBackup";

export interface DrillInput {
  /** One location, or several in one; the first holds the lease. */
  readonly store: Store;
  readonly runId: string;
  readonly settings: Pick<OperationSettings, "checks">;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/** Stores that did not answer: each is asked once, for every request to a dead one takes its retries. */
type Lost = Map<Store, Unavailable>;

export interface DrillResult {
  readonly drill: Drill;
  /** That of the first location that failed. */
  readonly exitCode: ExitCode;
  /** Why no location holds its record: what it found is to be shown all the same. */
  readonly unrecorded: Unavailable | undefined;
}

/**
 * Each location by itself: what one lacks does not come from another; but another that holds the same backup must hold the
 * same bytes, and where it may not be asked, have been verified to hold them (depth 5). Interrupted, or yielding to a release, it records nothing.
 *
 * @throws Unavailable when a gate or a release holds the lease, or no location can be reached; UsageError when nothing
 *   can be restored here (no scratch server, no age identity), which says nothing of the backups.
 */
export async function runDrill(input: DrillInput): Promise<DrillResult> {
  const startedAt = new Date().toISOString();
  const locations: DrilledLocation[] = [];
  const lost: Lost = new Map();
  let code: ExitCode = exitCode.pass;
  for (const [place, store] of storesOf(input.store).entries()) {
    await yieldToRelease(input, lost);
    input.onProgress(`drill of ${store.url}`);
    const { location, failure } = await drillOne(input, store, place, lost);
    locations.push(location);
    if (code === exitCode.pass && failure !== undefined) code = failure.exitCode;
  }
  const verdict = locations.every((location) => location.verdict === "passed") ? "passed" : "failed";
  const at = new Date().toISOString();
  const drill: Drill = { schemaVersion: 1, runId: input.runId, verdict, locations, startedAt, at };
  const reached = storesOf(input.store).filter((store) => !lost.has(store));
  const [unreachable] = lost.values();
  if (reached.length === 0 && unreachable !== undefined) throw unreachable;
  const unrecorded = await recordDrill(reached, drill).then(() => undefined, unavailable);
  return { drill, exitCode: code, unrecorded };
}

/** A release needs the machine and the stores more. Where the lease cannot be read there is none to hold either. */
async function yieldToRelease({ store, runId, signal }: DrillInput, lost: Lost): Promise<void> {
  signal.throwIfAborted();
  const [first = store] = storesOf(store);
  const lease = await unlessLost(first, lost, () => readLease(first)).catch(orUndefined);
  if (lease === undefined || claimOf(lease, thisHolder("db:drill", runId), new Date(), { takeOver: false }).may) return;
  throw new Unavailable(`a release is under way: ${describeHolder(lease)}`, { hint: "drill again when it is over" });
}

/** What `ask` says of the store; asked no more once it did not answer. */
async function unlessLost<T>(store: Store, lost: Lost, ask: () => Promise<T>): Promise<T> {
  const known = lost.get(store);
  if (known !== undefined) throw known;
  try {
    return await ask();
  } catch (error) {
    if (error instanceof Unavailable) lost.set(store, error);
    throw error;
  }
}

function unavailable(error: unknown): Unavailable {
  if (!(error instanceof Unavailable)) throw error;
  return error;
}

function orUndefined(error: unknown): undefined {
  if (!(error instanceof Unavailable)) throw error;
}

type LocationFailure = Refusal | Damage | Unavailable;

async function drillOne(
  input: DrillInput,
  store: Store,
  place: number,
  lost: Lost,
): Promise<{ location: DrilledLocation; failure: LocationFailure | undefined }> {
  const started = performance.now();
  const found: { backup: BackupReference | null; rpoSeconds: number | null } = { backup: null, rpoSeconds: null };
  const unknown = { depth: null, rtoSeconds: null, tables: null, rows: null, dataChecks: null, elsewhere: [] };
  try {
    const backup = await newestBackup(input, store, lost);
    found.backup = backup;
    const manifest = await readManifest(store, backup);
    found.rpoSeconds = Math.max(0, (Date.now() - Date.parse(manifest.snapshot.takenAt)) / 1000);
    const others = await otherHolders(input, store, backup, lost);
    // Of a location that was to be asked and is lost, what was once so proves nothing any more.
    const recorded = storesOf(input.store).length > 1 ? [] : await heldElsewhere(store, backup);
    const { result, dataChecks, elsewhere, elsewhereSeconds } = await verifyBackup({
      ...{ store, elsewhere: others, backup, runId: `${input.runId}-${place + 1}` },
      depth: others.length + recorded.length > 0 ? 5 : 4,
      dataChecks: { checks: input.settings.checks },
      ...{ signal: input.signal, onProgress: input.onProgress },
    });
    // Whoever restores in an emergency does not read the other locations first.
    const rtoSeconds = (performance.now() - started) / 1000 - elsewhereSeconds;
    const { depth, tables, rows } = result;
    const measured = { depth, rtoSeconds, tables, rows, dataChecks: dataChecks ?? null, elsewhere, problem: null };
    return { location: { store: store.url, verdict: "passed", ...found, ...measured }, failure: undefined };
  } catch (error) {
    input.signal.throwIfAborted();
    if (!(error instanceof Refusal || error instanceof Damage || error instanceof Unavailable)) throw error;
    const problem = redact(messageOf(error));
    input.onProgress(`FAILED: ${store.url}: ${problem}`);
    return { location: { store: store.url, verdict: "failed", ...found, ...unknown, problem }, failure: error };
  }
}

async function heldElsewhere(store: Store, { tier, name }: BackupReference): Promise<readonly string[]> {
  return recordedElsewhere(store, name, sha256Of(await readBytes(store, manifestKey(tier, name))));
}

/** The other locations that can be reached and hold it: one that has yet to get it says so by its own RPO. */
async function otherHolders(
  input: DrillInput,
  store: Store,
  { tier, name }: BackupReference,
  lost: Lost,
): Promise<readonly Store[]> {
  const holders: Store[] = [];
  for (const other of storesOf(input.store).filter((each) => each !== store)) {
    const objects = await unlessLost(other, lost, () => other.list(backupPrefix(tier, name))).catch(orUndefined);
    if (objects?.some(({ key }) => key === manifestKey(tier, name)) === true) holders.push(other);
    else
      input.onProgress(`${name} is not read back from ${other.url}, ${objects ? "which lacks it" : "which is lost"}`);
  }
  return holders;
}

/** Suspect is also what only the first location knows of, where that can be reached. */
async function newestBackup({ store: all }: DrillInput, store: Store, lost: Lost): Promise<BackupReference> {
  const [first = store] = storesOf(all);
  const backups = await unlessLost(store, lost, () => listBackups(store));
  const suspects = [await listSuspects(store)];
  if (first !== store)
    suspects.push((await unlessLost(first, lost, () => listSuspects(first)).catch(orUndefined)) ?? new Set());
  const newest = backups.findLast(({ name }) => !suspects.some((names) => names.has(name)));
  if (newest !== undefined) return newest;
  throw new Refusal(`${store.url} holds no backup${backups.length === 0 ? "" : " that is not suspect"}`);
}

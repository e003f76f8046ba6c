/**
 * Where everything lies in a store: the one place that spells a key. Every key is written once, except
 * those below `control/`.
 */

export const retentionTiers = ["daily", "weekly", "monthly", "predeploy", "manual"] as const;
export type RetentionTier = (typeof retentionTiers)[number];

const backupNamePattern = /^backup_\d{8}_\d{6}$/;

export const storeIdentityKey = "store.json";
export const leaseKey = "control/lease.json";
export const freezeKey = "control/freeze.json";
export const rollbackKey = "control/rollback.json";
export const maintenanceKey = "control/maintenance.json";
export const releaseTurnKey = "control/release.json";
export const failoverKey = "control/failover.json";
export const plannedRollbackKey = "control/planned-rollback.json";
export const emergencyKey = "control/emergency.json";
export const healthKey = "control/health.json";

/** What an S3 server was found to support, and the object on which that is tried. */
export const s3SupportKey = "control/s3-support.json";
export const s3ProbeKey = "control/conditional-writes.txt";

/** Below here, and nowhere else, objects are replaced: see `Store.swap`. */
export const controlPrefix = "control/";

export const backupsPrefix = "backups/";
export const receiptsPrefix = "receipts/";
export const releasesPrefix = "releases/";
export const environmentPrefix = "environment/";
export const verificationsPrefix = "verifications/";
export const marksPrefix = "marks/";
export const incidentsPrefix = "incidents/";
export const notesPrefix = "notes/";
export const drillsPrefix = "drills/";

/** What only the first of several stores holds: the words of whoever may release, which must not contradict each other. */
const firstOnlyPrefixes: readonly string[] = [
  ...[controlPrefix, receiptsPrefix, releasesPrefix, incidentsPrefix, notesPrefix],
];

/** Whether a key, or all keys with this prefix, lie in the first of several stores only. */
export function liesInFirstOnly(key: string): boolean {
  return firstOnlyPrefixes.some((prefix) => key.startsWith(prefix));
}

export function isBackupName(text: string): boolean {
  return backupNamePattern.test(text);
}

/** The database's time that a backup's name holds, in UTC; undefined for anything else. */
export function backupTime(name: string): Date | undefined {
  const [, y, m, d, hour, minute, second] = /^backup_(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)$/.exec(name) ?? [];
  const time = new Date(`${y}-${m}-${d}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(time.getTime()) ? undefined : time;
}

export function backupPrefix(tier: RetentionTier, name: string): string {
  return `${backupsPrefix}${tier}/${name}/`;
}

export function manifestKey(tier: RetentionTier, name: string): string {
  return `${backupPrefix(tier, name)}manifest.json`;
}

export function receiptKey(runId: string): string {
  return `${receiptsPrefix}${runId}.json`;
}

export function releaseEventKey(runId: string, sequence: number, event: string): string {
  return `${releasesPrefix}${runId}/${String(sequence).padStart(3, "0")}-${event}.json`;
}

export function incidentEventKey(id: string, sequence: number, event: string): string {
  return `${incidentsPrefix}${id}/${String(sequence).padStart(3, "0")}-${event}.json`;
}

export function noteKey(runId: string, sequence: number, kind: string): string {
  return `${notesPrefix}${runId}/${String(sequence).padStart(3, "0")}-${kind}.json`;
}

export function drillKey(runId: string): string {
  return `${drillsPrefix}${runId}.json`;
}

export function environmentKey(name: string): string {
  return `${environmentPrefix}${name}.json.enc`;
}

export function verificationKey(backupName: string, utc: string, depth: number): string {
  return `${verificationsPrefix}${backupName}/${utc}-depth${depth}.json`;
}

/** Which backup a verification speaks of and how deep it went; undefined for a key of another kind. */
export function parseVerificationKey(key: string): { readonly backup: string; readonly depth: number } | undefined {
  const [, backup, depth] = /^verifications\/([^/]+)\/[^/]+-depth(\d)\.json$/.exec(key) ?? [];
  return backup === undefined ? undefined : { backup, depth: Number(depth) };
}

export function suspectMarkKey(backupName: string, utc: string): string {
  return `${marksPrefix}${backupName}/${utc}-suspect.json`;
}

const keySegment = /^[A-Za-z0-9][A-Za-z0-9._=@+-]*$/;

/** Refuses a key that could leave the store's folder or that some store cannot hold: a bug of the caller. */
export function assertKey(key: string): void {
  if (!key.split("/").every((segment) => keySegment.test(segment)) || key.length > 512)
    throw new Error(`not a key: ${JSON.stringify(key)}`);
}

/** Refuses a key that `Store.create` must not write: what is below `control/` is swapped. */
export function assertWrittenOnce(key: string): void {
  assertKey(key);
  if (key.startsWith(controlPrefix)) throw new Error(`${key} is mutable: swap it`);
}

/** Refuses a key that `Store.swap` must not replace. Mutable objects lie directly in `control/`. */
export function assertMutable(key: string): void {
  assertKey(key);
  if (!key.startsWith(controlPrefix) || key.split("/").length !== 2)
    throw new Error(`${key} is written once: create it`);
}

/** Refuses a key that is no file of a backup: nothing else is ever removed, records and control least of all. */
export function assertRemovable(key: string): void {
  assertKey(key);
  if (!key.startsWith(backupsPrefix) || key.split("/").length !== 4) throw new Error(`${key} is never removed`);
}

/** `20261122T170212Z`: a UTC time that sorts as text and is legal in every store's keys. */
export function compactUtc(time: Date): string {
  return time.toISOString().replace(/[-:]/g, "").replace(/\.\d+/, "");
}

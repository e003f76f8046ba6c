/**
 * `db:assess`: what is damaged and since when, by comparing the live database with the backup of the last good receipt and
 * with the newest backups; how much a restore would give up; and every way back with what it costs. Reads only.
 */
import { type BackupReference, type Manifest, listBackups, listSuspects, readManifest } from "../backup/manifest";
import { Damage, Failure, Refusal, Unavailable, UsageError, messageOf } from "../contract/failure";
import { readFreezes } from "../control/freeze";
import { readPass } from "../control/maintenance";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, isSameDatabase } from "../database/identity";
import { displayName } from "../database/sqlText";
import type { DatabaseTarget } from "../database/target";
import type { Fingerprint } from "../fingerprint/fingerprint";
import { listReceipts, readTrustedReceipt, type Receipt } from "../record/receipt";
import { lastAcceptance, listOpenReceipts } from "../record/releaseEvents";
import { listRollbackSeconds } from "../record/rollbackEvents";
import { readLiveTables } from "../repair/liveTables";
import { readFingerprint } from "../restore/compareCopy";
import { readDepths } from "../retention/inventory";
import { isScratchAlive } from "../scratch/scratchServer";
import type { OperationSettings } from "../settings";
import type { Store } from "../store/store";
import { changedColumns } from "../verification/changedColumns";
import { runDataChecks } from "../verification/dataChecks/runDataChecks";
import { readExpectedRto } from "../verification/expectedRto";
import { runHealthChecks } from "../verification/healthChecks";
import { impactOfTable, isAltered, notComparedIn } from "../verification/impact";
import { type LiveComparison, compareWithLive } from "../verification/liveComparison";
import type { TableComparison } from "../verification/tableComparison";
import { type CopiedBackup, ScratchCopy } from "../verification/scratchCopy";
import { judgedStatements } from "../verification/verifyReceipt";
import type { AssessedBackup, Assessment, DamagedTable } from "./assessment";
import { type KnownGood, findKnownGood } from "./emergencyPlan";
import { type LadderFacts, type Measured, ladderOf, recommend } from "./ladder";
import { readWithheldGrants } from "./maintenance";
import { reachDatabase } from "./reachDatabase";

/** `auto`: rows are named from a copy where one lives, or can be restored within a minute. */
export const copyChoices = ["auto", "always", "never"] as const;

export interface AssessInput {
  readonly store: Store;
  readonly live: DatabaseTarget;
  /** Where there is no receipt. */
  readonly settings: OperationSettings;
  readonly addresses: { readonly appUrl: string | undefined; readonly frontendUrl: string | undefined };
  /** Whether a platform is configured that could be rolled back. */
  readonly application: boolean;
  readonly copy: (typeof copyChoices)[number];
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/** Backups beside that of the last good receipt that are compared with, to tell since when. */
const newestCompared = 3;

/** Of an expected restore: longer than that, the first five minutes are better spent otherwise. */
const longestCopySeconds = 60;

/** After so long no further copy is restored only to tell more precisely since when. */
const longestSearchSeconds = 150;

/** From which share of a table's rows on changed values count as damage, whatever its policy allows; and from how many. */
const massChange = { share: 0.5, rows: 20 };

/** What was compared with. */
interface Candidate extends AssessedBackup {
  readonly manifest: Manifest;
}

interface Compared {
  readonly candidate: Candidate;
  readonly comparison: LiveComparison;
  readonly seconds: number;
}

export async function assess(input: AssessInput): Promise<Assessment> {
  return new Assessing(input).run();
}

class Assessing {
  private readonly started = performance.now();
  private readonly notVerified: string[] = [];
  /** Those of the newest receipt, where there is one. */
  private settings: OperationSettings;

  constructor(private readonly input: AssessInput) {
    this.settings = input.settings;
  }

  async run(): Promise<Assessment> {
    const { store, live, onProgress } = this.input;
    const database = await reachDatabase(live);
    onProgress(`${database.state}: ${database.detail}`);
    const receipt = await this.newestReceipt();
    this.settings = receipt?.settings ?? this.settings;
    const knownGood = (await findKnownGood(store, onProgress)) ?? null;
    const candidates = await this.candidates(database.identity, knownGood, receipt);
    const found =
      database.state === "reachable"
        ? await this.compareAll(candidates, receipt)
        : { tables: [], definitions: [], compared: [], lastGood: candidates.at(-1) ?? null, visibility: null };
    const { lastGood } = found;
    const ofGate = ofBackup(receipt, lastGood);
    const now = new Date();
    const measured = await this.measure(lastGood, ofGate, found.compared);
    const facts: LadderFacts = {
      ...{ database, measured, application: this.input.application },
      ...{ tables: found.tables, definitions: found.definitions, lastGood: lastGood && strip(lastGood) },
      receipt: ofGate?.runId ?? null,
      lossWindowSeconds: lastGood === null ? null : secondsBetween(lastGood.takenAt, now),
      recoveryPoint: receipt?.recoveryPoint.utc ?? null,
      ...(await this.ask(database.state, receipt)),
    };
    const ladder = ladderOf(facts);
    const isDamaged = database.state === "gone" || facts.tables.length + facts.definitions.length > 0;
    return {
      schemaVersion: 1,
      verdict: database.state === "unreachable" ? "unreachable" : isDamaged ? "damaged" : "intact",
      at: now.toISOString(),
      seconds: Math.round(this.elapsed() * 10) / 10,
      ...{ database, knownGood: knownGood && { ...knownGood, at: knownGood.at.toISOString() } },
      ...{ lastGood: facts.lastGood, receipt: facts.receipt, lossWindowSeconds: facts.lossWindowSeconds },
      compared: found.compared.map(({ candidate, comparison, seconds }) => {
        return { ...strip(candidate), verdict: comparison.verdict, seconds };
      }),
      ...{ tables: facts.tables, definitions: facts.definitions, dataChecks: facts.dataChecks, health: facts.health },
      ...{ ladder, recommendation: recommend(facts, ladder), notVerified: this.notVerified },
      visibility: found.visibility,
    };
  }

  /** Seconds since the assessment began. */
  private elapsed(): number {
    return (performance.now() - this.started) / 1000;
  }

  /** The one that froze releases, else the newest open one, else the newest: its settings and migrations explain what is live. */
  private async newestReceipt(): Promise<Receipt | undefined> {
    const { store, onProgress } = this.input;
    const frozen = (await readFreezes(store)).flatMap(({ runId }) => runId ?? []);
    const runId = frozen.at(-1) ?? (await listOpenReceipts(store)).at(-1) ?? (await listReceipts(store)).at(-1);
    if (runId === undefined) return undefined;
    try {
      return (await readTrustedReceipt(store, runId)).receipt;
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      onProgress(`passed over: ${error.message}`);
      return undefined;
    }
  }

  /** Oldest first: the backup of the last good receipt, that of the newest one, and the newest ones that are not suspect. */
  private async candidates(
    identity: DatabaseIdentity | null,
    knownGood: KnownGood | null,
    receipt: Receipt | undefined,
  ): Promise<Candidate[]> {
    const { store } = this.input;
    const [backups, depths, suspects] = await Promise.all([listBackups(store), readDepths(store), listSuspects(store)]);
    const sound = backups.filter(({ name }) => !suspects.has(name));
    const good =
      knownGood === null ? undefined : (await readTrustedReceipt(store, knownGood.runId)).receipt.backup.name;
    const wanted = new Set([good, receipt?.backup.name, ...sound.slice(-newestCompared).map(({ name }) => name)]);
    const verified = sound.findLast(({ name }) => (depths.get(name) ?? 0) >= 4);
    if (verified !== undefined) wanted.add(verified.name);
    const candidates: Candidate[] = [];
    for (const reference of backups.filter(({ name }) => wanted.has(name))) {
      const manifest = await this.manifestOf(reference);
      if (manifest === undefined) continue;
      if (identity !== null && !isSameDatabase(manifest.database, identity)) continue;
      const { tier, name } = reference;
      candidates.push({ tier, name, takenAt: manifest.snapshot.takenAt, depth: depths.get(name) ?? 0, manifest });
    }
    if (candidates.length === 0) this.notVerified.push(`${store.url} holds no backup of this database to compare with`);
    return this.sinceAcceptance(candidates);
  }

  /** What a person accepted as lost is no damage: backups of before would have it put back. */
  private async sinceAcceptance(candidates: readonly Candidate[]): Promise<Candidate[]> {
    const accepted = await lastAcceptance(this.input.store);
    const since = candidates.filter(({ takenAt }) => accepted === undefined || new Date(takenAt) > accepted);
    if (accepted === undefined || since.length === candidates.length || since.length === 0) return [...candidates];
    this.notVerified.push(
      `what was lost before ${accepted.toISOString()}: a person accepted it then, so backups of before are not compared with`,
    );
    return since;
  }

  private async manifestOf(reference: BackupReference): Promise<Manifest | undefined> {
    try {
      return await readManifest(this.input.store, reference);
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      this.notVerified.push(`${reference.name} cannot be compared with: ${error.message}`);
      return undefined;
    }
  }

  /**
   * By checksums first: a bucket that holds fewer rows than before proves a loss since that backup, and one that passes
   * proves that there was none. What they cannot tell, a copy of the newest backup that holds it all does.
   */
  private async compareAll(candidates: readonly Candidate[], receipt: Receipt | undefined) {
    const quick: Compared[] = [];
    const judged = receipt === undefined ? [] : judgedStatements(receipt);
    const suspicious = new Set<string>();
    const whole = new Set([candidates[0], candidates.at(-1)]);
    for (const candidate of candidates) {
      const fingerprint = await this.fingerprintOf(candidate);
      if (fingerprint === undefined) continue;
      // All of it against the oldest and the newest; what lies between only tells since when.
      const tables = whole.has(candidate)
        ? fingerprint.tables
        : fingerprint.tables.filter((table) => suspicious.has(displayName(table)));
      const compared = await this.compare(candidate, { ...fingerprint, tables }, judged, () =>
        Promise.reject(new Refusal("by checksums only")),
      );
      quick.push(compared);
      for (const { table, failure } of compared.comparison.tables) if (failure !== null) suspicious.add(table);
    }
    const newest = quick.at(-1)?.candidate;
    if (newest === undefined) return { tables: [], definitions: [], compared: [], lastGood: null, visibility: null };
    // What checksums leave in doubt a copy decides, from the newest that it may be gone since to the oldest.
    const doubtful = quick.filter(({ comparison }) => comparison.verdict === "fail").map(({ candidate }) => candidate);
    let basis = chooseLastGood(quick) ?? newest;
    let exact = await this.nameRows(basis, judged, receipt, suspicious.size > 0);
    while (exact?.compared.comparison.verdict === "pass") {
      const proven = exact.compared;
      quick.splice(
        quick.findIndex(({ candidate }) => candidate === basis),
        1,
        proven,
      );
      const older = doubtful.filter(({ takenAt }) => takenAt < basis.takenAt);
      // Of the first five minutes some must be left to decide in: then the oldest one is asked at once.
      const next = this.elapsed() > longestSearchSeconds ? older[0] : older.at(-1);
      if (next === undefined) break;
      basis = next;
      exact = await this.nameRows(basis, judged, receipt, true);
    }
    const last = exact?.compared ?? quick.find(({ candidate }) => candidate === basis)!;
    const { comparison } = last;
    this.notVerified.push(...notComparedIn(comparison));
    const damaged = comparison.tables.filter(
      (table) => table.failure !== null || (exact?.columns.get(table.table) ?? []).length > 0,
    );
    const tables = damaged.map((table): DamagedTable => {
      const columns = [...(exact?.columns.get(table.table) ?? [])];
      const why =
        table.failure ?? `${table.changed} of ${table.rowsBefore} rows have other content: somebody rewrote it`;
      return {
        ...impactOfTable(table),
        ...{ why, since: sinceOf(table.table, quick), repairable: !isAltered(table), columns },
      };
    });
    const compared = quick.map((each) => (each.candidate === basis ? last : each));
    const definitions = [...comparison.failures];
    const isDamaged = tables.length + definitions.length > 0;
    return {
      ...{ tables, definitions, compared, visibility: comparison.visibility },
      lastGood: isDamaged ? basis : (quick.at(-1)?.candidate ?? null),
    };
  }

  private async fingerprintOf({ manifest, name }: Candidate): Promise<Fingerprint | undefined> {
    try {
      return await readFingerprint(this.input.store, manifest);
    } catch (error) {
      if (!(error instanceof Damage || error instanceof UsageError)) throw error;
      this.notVerified.push(`${name} cannot be compared with: ${error.message}`);
      return undefined;
    }
  }

  private async compare(
    candidate: Candidate,
    fingerprint: Fingerprint,
    judged: ReturnType<typeof judgedStatements>,
    copy: () => Promise<DatabaseTarget>,
  ): Promise<Compared> {
    const { store, live, signal, onProgress } = this.input;
    onProgress(`comparing with ${candidate.name}`);
    const started = performance.now();
    const comparison = await compareWithLive({
      ...{ fingerprint, manifest: candidate.manifest, live, copy, judged, signal },
      policies: this.settings.tables,
      withheld: await readWithheldGrants({ store, live }),
    });
    return { candidate, comparison, seconds: Math.round((performance.now() - started) / 100) / 10 };
  }

  /** @returns undefined where rows are not named: nothing is suspicious, or a copy would take too long. */
  private async nameRows(
    basis: Candidate,
    judged: ReturnType<typeof judgedStatements>,
    receipt: Receipt | undefined,
    isSuspicious: boolean,
  ): Promise<
    { readonly compared: Compared; readonly columns: ReadonlyMap<string, DamagedTable["columns"]> } | undefined
  > {
    const { store, copy, onProgress } = this.input;
    const copied: CopiedBackup = ofBackup(receipt, basis) ?? { runId: basis.name, backup: basis, scratch: null };
    const lives = copied.scratch !== null && (await isScratchAlive(copied.scratch));
    const expected = await readExpectedRto(store, basis.manifest.databaseBytes);
    const affordable = lives || (isSuspicious && expected !== undefined && expected.seconds <= longestCopySeconds);
    if (copy === "never" || (copy === "auto" && !affordable)) {
      if (isSuspicious) this.notVerified.push("rows are not named: numbers are what checksums prove (--copy always)");
      this.notVerified.push("changed values are not looked at: that needs a restored copy (--copy always)");
      return undefined;
    }
    const scratch = new ScratchCopy(store, copied, this.input);
    try {
      const target = await scratch.open();
      const fingerprint = await readFingerprint(store, basis.manifest);
      const compared = await this.compare(basis, fingerprint, judged, () => Promise.resolve(target));
      const columns = new Map<string, DamagedTable["columns"]>();
      for (const table of compared.comparison.tables.filter(isRewritten)) {
        const known = fingerprint.tables.find((each) => displayName(each) === table.table)!;
        if (known.key.length === 0) continue;
        const found = await changedColumns(target, this.input.live, known, this.input.signal);
        // What the database computes follows by itself, and cannot be written.
        const written = (await withConnection(this.input.live, (client) => readLiveTables(client, [known])))
          .get(table.table)
          ?.columns.filter(({ generated, identityAlways }) => !generated && !identityAlways)
          .map(({ name }) => name);
        columns.set(
          table.table,
          found.filter(({ column, rows }) => isMass(rows, table.rowsBefore) && written?.includes(column) === true),
        );
      }
      return { compared, columns };
    } catch (error) {
      if (!(error instanceof Failure) || this.input.signal.aborted || error instanceof Unavailable) throw error;
      onProgress(`no copy of ${basis.name}: ${messageOf(error)}`);
      this.notVerified.push(`rows are not named: no copy of ${basis.name} could be restored`);
      return undefined;
    } finally {
      await scratch.close();
    }
  }

  private async measure(
    lastGood: Candidate | null,
    ofGate: Receipt | undefined,
    compared: readonly Compared[],
  ): Promise<Measured> {
    const { store } = this.input;
    const rollbacks = [...(await listRollbackSeconds(store))].sort((a, b) => a - b);
    const rto = lastGood === null ? undefined : await readExpectedRto(store, lastGood.manifest.databaseBytes);
    const manifest = lastGood?.manifest;
    return {
      rollbackSeconds: rollbacks[Math.floor(rollbacks.length / 2)] ?? null,
      rollbacks: rollbacks.length,
      restoreSeconds: rto?.seconds ?? null,
      restores: rto?.restores ?? 0,
      backupSeconds:
        manifest === undefined ? null : (Date.parse(manifest.finishedAt) - Date.parse(manifest.startedAt)) / 1000,
      compareSeconds: compared.length === 0 ? null : Math.max(...compared.map(({ seconds }) => seconds)),
      copyLives: ofGate !== undefined && ofGate.scratch !== null && (await isScratchAlive(ofGate.scratch)),
    };
  }

  private async ask(
    state: Assessment["database"]["state"],
    receipt: Receipt | undefined,
  ): Promise<Pick<Assessment, "dataChecks" | "health">> {
    const { store, live, addresses, signal } = this.input;
    const { settings } = this;
    const report =
      state === "reachable"
        ? await withConnection(live, (client) => runDataChecks(client, { checks: settings.checks, signal }))
        : undefined;
    const { outcome, results } = await runHealthChecks({
      appUrl: addresses.appUrl ?? receipt?.addresses.appUrl ?? undefined,
      frontendUrl: addresses.frontendUrl ?? receipt?.addresses.frontendUrl ?? undefined,
      ...{ frontendHeaders: await readPass(store), settings: settings.health, signal },
    });
    if (outcome === "not configured") this.notVerified.push("the application: no health check is configured");
    if (report === undefined || report.results.length === 0) this.notVerified.push("no data check was run");
    return {
      dataChecks: report === undefined ? null : { verdict: report.verdict, summary: report.summary },
      health: { outcome, failing: results.filter(({ ok }) => !ok).map(({ url }) => url) },
    };
  }
}

/** The receipt, if it was its gate that took the backup. */
function ofBackup(receipt: Receipt | undefined, backup: Candidate | null): Receipt | undefined {
  return backup !== null && receipt?.backup.name === backup.name ? receipt : undefined;
}

/** The newest backup that still holds, for every table, what is proven to be gone since; null: nothing is proven. */
function chooseLastGood(quick: readonly Compared[]): Candidate | null {
  const places = suspiciousTables(quick).map((table) => quick.findLastIndex((each) => failsIn(each, table, "proven")));
  const definitions = quick.findLastIndex(({ comparison }) => comparison.failures.length > 0);
  const known = [...places, definitions].filter((place) => place >= 0);
  if (known.length > 0) return quick[Math.min(...known)]!.candidate;
  const doubtful = quick.findLastIndex(({ comparison }) => comparison.verdict === "fail");
  return quick[doubtful]?.candidate ?? null;
}

function suspiciousTables(quick: readonly Compared[]): string[] {
  const failing = quick.flatMap(({ comparison }) => comparison.tables.filter(({ failure }) => failure !== null));
  return [...new Set(failing.map(({ table }) => table))];
}

/** `proven`: rows are fewer somewhere, or definitions went; else checksums cannot tell. */
function failsIn({ comparison }: Compared, name: string, how: "proven" | "at all"): boolean {
  const table = comparison.tables.find((each) => each.table === name);
  if (table === undefined || table.failure === null) return false;
  return how === "at all" || table.missing > 0 || isAltered(table);
}

function sinceOf(name: string, quick: readonly Compared[]): DamagedTable["since"] {
  const last = quick.findLastIndex((each) => failsIn(each, name, "proven"));
  const sound = quick.find(
    ({ comparison }, place) =>
      place > last && comparison.tables.some(({ table, failure }) => table === name && failure === null),
  );
  return { notBefore: quick[last]?.candidate.takenAt ?? null, notAfter: sound?.candidate.takenAt ?? null };
}

function isRewritten({ changed, rowsBefore, failure }: TableComparison): boolean {
  return isMass(changed, rowsBefore) || (changed > 0 && failure !== null);
}

function isMass(rows: number, all: number): boolean {
  return rows >= massChange.rows && rows >= all * massChange.share;
}

function strip({ tier, name, takenAt, depth }: Candidate): AssessedBackup {
  return { tier, name, takenAt, depth };
}

function secondsBetween(from: string, to: Date): number {
  return Math.max(0, Math.round((to.getTime() - Date.parse(from)) / 1000));
}

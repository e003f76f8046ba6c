/** Gathers where everything stands. Reads only, and what cannot be reached is a fact like any other. */
import { type BackupReference, listBackups, listSuspects, readManifest } from "../backup/manifest";
import { contacts, dashboards } from "../contract/links";
import { redact } from "../contract/redaction";
import { readFreezes } from "../control/freeze";
import { readLease } from "../control/lease";
import { isExpired } from "../control/leaseDocument";
import { changedPlatforms, isFenced, readMaintenance } from "../control/maintenance";
import { isUnderWay, nextStep, readPlannedRollback } from "../control/plannedRollback";
import { heldTurn } from "../control/turn";
import type { PostureCheck } from "../posture/checkPosture";
import { type Drill, readDrills } from "../record/drillRecords";
import { listOpenIncidents } from "../record/openIncidents";
import { identityOf, listOpenReceipts } from "../record/releaseEvents";
import { readDepths } from "../retention/inventory";
import type { OperationSettings } from "../settings";
import { backupTime } from "../store/layout";
import { storesOf } from "../store/replicatedStore";
import type { Store } from "../store/store";
import { judgeLevels, listAttention } from "./judge";
import { type Reading, reading } from "./reading";
import type { AlarmsState, BackupState, ControlState, LocationState, Status } from "./statusDocument";

export interface StatusInput {
  /** One location, or several in one; the first one knows who may release. */
  readonly store: Store;
  readonly settings: Pick<OperationSettings, "platform" | "drill">;
  /** Level 1; undefined: neither the platform's API nor the database is configured. */
  readonly posture: (() => Promise<PostureCheck>) | undefined;
  /** Undefined: no topic is named whose alarms could be asked for. */
  readonly alarms: (() => Promise<AlarmsState["alarms"]>) | undefined;
  /** The application's own address, for the links. */
  readonly appUrl: string | undefined;
  readonly now?: Date;
  /** Seconds that each part may take. Default 20. */
  readonly seconds?: number;
}

/** Seconds that each part of the screen may take: what is on the other side of a network that swallows everything is away. */
const patience = 20;

/** Drills that are looked at, of each location. */
const newestDrills = 30;

export async function readStatus(input: StatusInput): Promise<Status> {
  const { store, now = new Date(), seconds = patience } = input;
  const started = performance.now();
  const stores = storesOf(store);
  const first = stores[0] ?? store;
  const [facts, posture, alarms] = await Promise.all([
    Promise.all(
      stores.map(async (one) => ({ store: one, read: await reading(one.url, seconds, () => readLocation(one, now)) })),
    ),
    input.posture === undefined ? undefined : reading("the platform", seconds, input.posture),
    readAlarms(input.alarms, seconds),
  ]);
  const drills = facts.flatMap(({ read }) => ("found" in read ? read.found.drills : []));
  const suspects = new Set(facts.flatMap(({ read }) => ("found" in read ? [...read.found.suspects] : [])));
  const locations = facts.map(({ store: { url }, read }) => locationOf(url, read, { drills, suspects, now }));
  const isFirstRead = "found" in facts[0]!.read;
  const control = isFirstRead
    ? await reading(first.url, seconds, () => readControlState(first, drills, now))
    : undefined;
  const found = {
    locations,
    levels: judgeLevels({ locations, posture, ...input.settings, now }),
    control: control !== undefined && "found" in control ? control.found : null,
    alarms,
  };
  const controlProblem = control !== undefined && "problem" in control ? control.problem : null;
  const attention = listAttention({ ...found, controlProblem, ...input.settings });
  const isReachable = locations.some(({ problem }) => problem === null);
  return {
    schemaVersion: 1,
    verdict: isReachable ? (attention.length === 0 ? "healthy" : "attention") : "unreachable",
    at: now.toISOString(),
    seconds: Math.round((performance.now() - started) / 10) / 100,
    attention,
    ...found,
    links: [
      ...contacts.flatMap(({ look }) => look),
      ...Object.values(dashboards),
      ...(input.appUrl === undefined ? [] : [{ name: "Application", url: redact(input.appUrl) }]),
    ].map(({ name, url }) => ({ name, url })),
  };
}

interface LocationFacts {
  readonly backups: readonly BackupReference[];
  readonly depths: ReadonlyMap<string, number>;
  readonly suspects: ReadonlySet<string>;
  readonly drills: readonly Drill[];
}

/** @throws Failure also when the newest backup's manifest cannot be read. */
async function readLocation(store: Store, now: Date): Promise<LocationFacts> {
  const backups = await listBackups(store);
  const [depths, suspects, drills] = await Promise.all([
    readDepths(store),
    listSuspects(store),
    readDrills(store, newestDrills),
  ]);
  const newest = backups.at(-1);
  if (newest !== undefined) await readManifest(store, newest);
  return { backups, depths, suspects, drills: drills.filter(({ at }) => Date.parse(at) <= now.getTime()) };
}

function locationOf(
  store: string,
  read: Reading<LocationFacts>,
  known: { readonly drills: readonly Drill[]; readonly suspects: ReadonlySet<string>; readonly now: Date },
): LocationState {
  const { drills, suspects, now } = known;
  const drilled = drills
    .flatMap(({ at, locations }) => locations.filter((one) => one.store === store).map((one) => ({ at, ...one })))
    .sort((a, b) => (a.at < b.at ? -1 : 1))
    .at(-1);
  const lastDrill =
    drilled === undefined
      ? null
      : {
          ...{ at: drilled.at, ageSeconds: secondsSince(drilled.at, now), verdict: drilled.verdict },
          ...{ rtoSeconds: drilled.rtoSeconds, problem: drilled.problem },
        };
  if ("problem" in read)
    return { store, problem: read.problem, backups: 0, newest: null, newestVerified: null, lastDrill };
  const { backups, depths } = read.found;
  const states = backups.map(({ name, tier }): BackupState => {
    const takenAt = (backupTime(name) ?? now).toISOString();
    return {
      ...{ name, tier, takenAt, ageSeconds: secondsSince(takenAt, now) },
      ...{ depth: depths.get(name) ?? 0, suspect: suspects.has(name) },
    };
  });
  return {
    ...{ store, problem: null, backups: backups.length, lastDrill },
    newest: states.at(-1) ?? null,
    newestVerified: states.findLast(({ depth, suspect }) => depth >= 4 && !suspect) ?? null,
  };
}

function secondsSince(at: string, now: Date): number {
  return Math.max(0, Math.round((now.getTime() - Date.parse(at)) / 1000));
}

async function readControlState(store: Store, drills: readonly Drill[], now: Date): Promise<ControlState> {
  const [freezes, lease, maintenance, receipts, planned, incidents] = await Promise.all([
    readFreezes(store),
    readLease(store),
    readMaintenance(store),
    listOpenReceipts(store),
    readPlannedRollback(store),
    listOpenIncidents(store, drills),
  ]);
  const isLeased = lease !== undefined && lease.phase !== "released" && !isExpired(lease, now);
  const identities = await Promise.all(receipts.map((runId) => identityOf(store, runId)));
  return {
    freezes: freezes.map(({ kind, person, reason, at }) => ({ kind, person, reason, at })),
    lease: isLeased
      ? { ...{ runId: lease.holder.runId, stack: lease.holder.stack }, phase: lease.phase, expiresAt: lease.expiresAt }
      : null,
    maintenance:
      maintenance === undefined || (!isFenced(maintenance) && changedPlatforms(maintenance).length === 0)
        ? null
        : {
            ...{ state: maintenance.state, roles: maintenance.roles, raisedAt: maintenance.raisedAt },
            platforms: changedPlatforms(maintenance),
          },
    openReceipts: identities.flatMap((run) =>
      run === undefined ? [] : [{ runId: run.runId, releaseVersion: run.releaseVersion, stack: run.stack }],
    ),
    plannedRollback: isUnderWay(planned)
      ? {
          ...{ id: planned.id, backup: planned.backup.name, person: planned.person, startedAt: planned.startedAt },
          step: nextStep(planned) ?? "its end",
          running: heldTurn(planned, now) !== null,
        }
      : null,
    incidents,
  };
}

async function readAlarms(read: StatusInput["alarms"], seconds: number): Promise<AlarmsState> {
  if (read === undefined) return { outcome: "not configured", problem: null, alarms: [] };
  const alarms = await reading("CloudWatch", seconds, read);
  return "found" in alarms
    ? { outcome: "read", problem: null, alarms: alarms.found }
    : { outcome: "not known", problem: alarms.problem, alarms: [] };
}

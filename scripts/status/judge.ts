/** What was read of the locations, the platform and the control documents, judged: Levels, and what needs attention. Pure. */
import { type PostureCheck, describeFinding, isHalting } from "../posture/checkPosture";
import type { OperationSettings } from "../settings";
import { describeSeconds } from "../verification/expectedRto";
import type { Reading } from "./reading";
import type { LevelState, LocationState, Status } from "./statusDocument";

type Settings = Pick<OperationSettings, "platform" | "drill">;

/** The strategy's protection levels, in its order. */
export function judgeLevels(facts: {
  readonly locations: readonly LocationState[];
  /** Undefined: nothing to ask is configured. */
  readonly posture: Reading<PostureCheck> | undefined;
  readonly drill: Settings["drill"];
  readonly platform: Settings["platform"];
  readonly now: Date;
}): LevelState[] {
  return [levelOne(facts.posture), levelTwo(facts.locations), levelThree(facts)];
}

function levelOne(posture: Reading<PostureCheck> | undefined): LevelState {
  if (posture === undefined)
    return {
      level: 1,
      state: "not configured",
      detail: "set DATABASE_URL, or SUPABASE_ACCESS_TOKEN and SUPABASE_PROJECT_REF",
    };
  if ("problem" in posture) return { level: 1, state: "not known", detail: posture.problem };
  const { verdict, findings, platform } = posture.found;
  const halting = findings.filter(isHalting).map(describeFinding);
  const met = findings.filter(({ outcome }) => outcome === "met").length;
  return verdict === "pass"
    ? {
        level: 1,
        state: "met",
        detail: `${platform}: ${met} of ${findings.length} requirements met, none that halts is not`,
      }
    : { level: 1, state: "unmet", detail: halting.join("; ") };
}

function levelTwo(locations: readonly LocationState[]): LevelState {
  if (locations.every(({ problem }) => problem !== null))
    return { level: 2, state: "not known", detail: "no location can be read" };
  const verified = locations.filter(({ newestVerified }) => newestVerified !== null);
  const newest = verified.map(({ newestVerified }) => newestVerified!).sort((a, b) => a.ageSeconds - b.ageSeconds)[0];
  if (newest === undefined)
    return { level: 2, state: "unmet", detail: "no location holds a backup that was verified by a restore" };
  const where = `${verified.length} of ${locations.length} location${locations.length === 1 ? "" : "s"}`;
  return {
    level: 2,
    state: "met",
    detail: `${newest.name}, ${describeAge(newest.ageSeconds)} old, depth ${newest.depth}; a verified backup in ${where}`,
  };
}

function levelThree({
  locations,
  drill,
  platform,
}: Pick<Settings, "drill" | "platform"> & { readonly locations: readonly LocationState[] }): LevelState {
  if (locations.length === 1)
    return platform.level < 3
      ? { level: 3, state: "not configured", detail: "one location" }
      : { level: 3, state: "unmet", detail: "one location: BACKUP_STORE names no second one" };
  if (locations.every(({ problem }) => problem !== null))
    return { level: 3, state: "not known", detail: "no location can be read" };
  const lacking = locations.flatMap((location) => {
    if (location.problem !== null) return [`${location.store} cannot be read`];
    if (location.newest === null) return [`${location.store} holds no backup`];
    const why = drillProblem(location, drill.maxAgeDays);
    return why === undefined ? [] : [`${location.store}: ${why}`];
  });
  return lacking.length === 0
    ? { level: 3, state: "met", detail: `${locations.length} locations, each restored in a drill` }
    : { level: 3, state: "unmet", detail: lacking.join("; ") };
}

function drillProblem({ lastDrill }: LocationState, maxAgeDays: number): string | undefined {
  if (lastDrill === null) return "no restore was ever drilled";
  if (lastDrill.verdict === "failed") return `the last drill failed: ${lastDrill.problem ?? ""}`;
  const days = lastDrill.ageSeconds / 86_400;
  return days > maxAgeDays
    ? `the last drill was ${Math.floor(days)} days ago, allowed are ${maxAgeDays} (drill.maxAgeDays)`
    : undefined;
}

/** A line for each thing that somebody should look at. */
export function listAttention(
  status: Pick<Status, "locations" | "levels" | "control" | "alarms"> & {
    /** Why the control documents could not be read, although their location could. */
    readonly controlProblem: string | null;
  } & Settings,
): string[] {
  const { locations, levels, control, controlProblem, alarms, platform, drill } = status;
  return [
    ...levels.flatMap(({ level, state, detail }) =>
      level === 1 && (state === "unmet" || state === "not known") ? [`Level 1: ${state}: ${detail}`] : [],
    ),
    ...locations.flatMap((location) => locationAttention(location, platform.backupHours, drill)),
    ...(controlProblem === null ? [] : [`who may release cannot be read: ${controlProblem}`]),
    ...(control === null ? [] : controlAttention(control)),
    ...(alarms.outcome === "not known" ? [`alarms cannot be read: ${alarms.problem ?? ""}`] : []),
    ...alarms.alarms.flatMap(({ name, state, reason }) => (state === "ALARM" ? [`alarm ${name}: ${reason}`] : [])),
  ];
}

function locationAttention(location: LocationState, backupHours: number, drill: Settings["drill"]): string[] {
  const { store, problem, newest, newestVerified } = location;
  if (problem !== null) return [`${store}: ${problem}`];
  if (newest === null) return [`${store}: no backup`];
  const found: string[] = [];
  if (newestVerified === null) found.push("no backup was verified by a restore");
  else if (newestVerified.ageSeconds > backupHours * 3600)
    found.push(
      `the newest verified backup is ${describeAge(newestVerified.ageSeconds)} old, allowed are ${backupHours} h (platform.backupHours)`,
    );
  const why = drill.onOverdue === "ignore" ? undefined : drillProblem(location, drill.maxAgeDays);
  if (why !== undefined) found.push(why);
  return found.map((line) => `${store}: ${line}`);
}

function controlAttention(control: NonNullable<Status["control"]>): string[] {
  const { freezes, maintenance, openReceipts, plannedRollback, incidents } = control;
  return [
    ...freezes.map(
      ({ person, at, reason }) => `releases are frozen since ${at}${person === null ? "" : ` by ${person}`}: ${reason}`,
    ),
    ...(maintenance === null ? [] : [`write fence: ${describeFence(maintenance)}`]),
    ...openReceipts.map(
      ({ runId, releaseVersion, stack }) =>
        `release ${releaseVersion || "(unnamed)"} of ${stack} is not verified (receipt ${runId}): npm run db:verify:post-deploy`,
    ),
    ...(plannedRollback === null
      ? []
      : [
          `planned rollback ${plannedRollback.id} to ${plannedRollback.backup} is at ${plannedRollback.step}${plannedRollback.running ? ", being carried out" : ": npm run rollback:planned goes on with it"}`,
        ]),
    ...incidents.map(({ id, detail }) => `incident ${id}: ${detail}`),
  ];
}

/** `on for anon since …; users are told on vercel`. */
export function describeFence({
  state,
  roles,
  raisedAt,
  platforms,
}: NonNullable<NonNullable<Status["control"]>["maintenance"]>): string {
  const told = platforms.length === 0 ? "" : `; users are told on ${platforms.join(" and ")}`;
  return `${state} for ${roles.join(", ")} since ${raisedAt}${told}`;
}

/** `14 d`, `3 h`, or seconds and minutes. */
export function describeAge(seconds: number): string {
  if (seconds < 3600) return describeSeconds(seconds);
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

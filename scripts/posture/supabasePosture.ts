/** Level 1 on hosted Supabase: what the Management API says, judged requirement by requirement. Reads only. */
import { Failure, UsageError } from "../contract/failure";
import type { Supabase, SupabaseBackups, SupabaseLint, SupabaseProject } from "../platforms/supabase";
import type { Demand, PlatformRequirement, PlatformSettings } from "../settings";
import { type Finding, describeAge } from "./requirements";

export interface SupabasePostureInput {
  readonly supabase: Supabase;
  readonly settings: PlatformSettings;
  /** What is ignored is not asked for. */
  readonly demands: Readonly<Record<PlatformRequirement, Demand>>;
  readonly now: Date;
}

type Judgement = Omit<Finding, "requirement">;

/**
 * One finding for each requirement that is not ignored. What one call cannot read leaves the others' findings as they
 * are.
 *
 * @throws UsageError when the token or the project is wrong: then nothing was looked at.
 */
export async function supabasePosture(input: SupabasePostureInput): Promise<Finding[]> {
  const { supabase, settings, demands, now } = input;
  const project = await supabase.project();
  const organization = project.organization_slug;
  const backups = shared(() => supabase.backups());
  const judges: Readonly<Record<PlatformRequirement, () => Promise<Judgement> | Judgement>> = {
    backup: async () => judgeBackup(await backups(), settings.backupHours, now),
    pitr: async () => judgePitr(await backups(), now),
    schedule: async () => judgeSchedule(await backups(), await supabase.scheduledFor(), settings.schedule),
    retention: async () => {
      const [found, plan, days] = await Promise.all([
        backups(),
        supabase.plan(organization),
        supabase.retentionDays(organization),
      ]);
      return judgeRetention(found, plan, days, settings.retentionDays, now);
    },
    region: () => judgeRegion(project, settings.region),
    replicas: async () => judgeReplicas(await supabase.databases(organization), settings.replicas),
    services: async () => judgeServices(project, await supabase.services()),
    disk: async () => judgeDisk(await supabase.disk(), settings.diskPercent),
    security: async () => judgeLints(await supabase.advisors("security"), "security"),
    performance: async () => judgeLints(await supabase.advisors("performance"), "performance"),
  };
  const asked = (Object.keys(judges) as PlatformRequirement[]).filter((name) => demands[name] !== "ignore");
  return Promise.all(
    asked.map(async (requirement) => ({ requirement, ...(await attempt(() => judges[requirement]())) })),
  );
}

/** Two requirements read the same document; it is asked for once. */
function shared<T>(read: () => Promise<T>): () => Promise<T> {
  let reading: Promise<T> | undefined;
  return () => (reading ??= read());
}

async function attempt(judge: () => Promise<Judgement> | Judgement): Promise<Judgement> {
  try {
    return await judge();
  } catch (error) {
    if (!(error instanceof Failure) || error instanceof UsageError) throw error;
    return { outcome: "unknown", found: `could not be read: ${error.message}` };
  }
}

function judge(met: boolean, found: string, expected: string): Judgement {
  return { outcome: met ? "met" : "unmet", found: met ? found : `${found}; expected ${expected}` };
}

/**
 * With PITR the daily backups stop and the physical ones count. Without it an empty list is the answer, with status 200,
 * of a project that nobody backs up.
 */
function judgeBackup(backups: SupabaseBackups, hours: number, now: Date): Judgement {
  const expected = `one younger than ${hours} h`;
  const latest = backups.physical_backup_data.latest_physical_backup_date_unix ?? undefined;
  const times = backups.pitr_enabled
    ? latest === undefined
      ? []
      : [latest * 1000]
    : backups.backups.filter(({ status }) => status === "COMPLETED").map(({ inserted_at }) => Date.parse(inserted_at));
  const kind = backups.pitr_enabled ? "physical backup (PITR)" : "completed backup";
  // A time that is none must not pass for a young one.
  const readable = times.filter((time) => !Number.isNaN(time));
  if (readable.length === 0) {
    const others = backups.pitr_enabled ? [] : [...new Set(backups.backups.map(({ status }) => status))];
    return judge(false, `no ${kind}${others.length === 0 ? "" : `, only ${others.join(", ")}`}`, expected);
  }
  const newest = Math.max(...readable);
  const age = (now.getTime() - newest) / 1000;
  return judge(
    age < hours * 3600,
    `newest ${kind} ${describeAge(age)} old (${new Date(newest).toISOString()})`,
    expected,
  );
}

function windowOf({ physical_backup_data: data }: SupabaseBackups): readonly [from: number, to: number] | undefined {
  const { earliest_physical_backup_date_unix: from, latest_physical_backup_date_unix: to } = data;
  return from === null || from === undefined || to === null || to === undefined ? undefined : [from, to];
}

function judgePitr(backups: SupabaseBackups, now: Date): Judgement {
  if (!backups.pitr_enabled) return judge(false, "point-in-time recovery is off", "it on");
  const window = windowOf(backups);
  if (window === undefined) return judge(false, "point-in-time recovery is on, but has no physical backup yet", "one");
  const reach = describeAge(now.getTime() / 1000 - window[0]);
  return judge(true, `point-in-time recovery reaches back ${reach}`, "");
}

/** Only daily backups have a time of day. */
function judgeSchedule(backups: SupabaseBackups, time: string | undefined, expected: string): Judgement {
  if (backups.pitr_enabled) return judge(true, "no daily backup to schedule: PITR archives continuously", "");
  if (time === undefined) {
    return { outcome: "unknown", found: `the plan does not tell when its backup is taken; expected ${expected} UTC` };
  }
  return judge(time.slice(0, 5) === expected, `daily backup at ${time.slice(0, 5)} UTC`, `${expected} UTC`);
}

/** A plan's promise counts for daily backups; the window of PITR only as far as it reaches by now. */
function judgeRetention(
  backups: SupabaseBackups,
  plan: string | undefined,
  planDays: number,
  demanded: number,
  now: Date,
): Judgement {
  const expected = `${demanded} days`;
  const name = `plan ${plan ?? "unknown"}`;
  if (backups.pitr_enabled) {
    const window = windowOf(backups);
    const reach = window === undefined ? 0 : now.getTime() / 1000 - window[0];
    return judge(reach >= demanded * 86_400, `${name}, PITR reaches back ${describeAge(reach)} so far`, expected);
  }
  // The strategy says 7 days on the free plan; Supabase keeps none there.
  const days = plan === "free" ? 0 : planDays;
  const kept = days === 0 ? "keeps no backup" : days === Infinity ? "keeps backups for ever" : `keeps ${days} days`;
  return judge(days >= demanded, `${name} ${kept}`, expected);
}

function judgeRegion({ region }: SupabaseProject, expected: string | undefined): Judgement {
  return judge(expected === undefined || region === expected, region, expected ?? "");
}

function judgeReplicas(
  databases: readonly { readonly type: string; readonly status: string; readonly region: string }[],
  demanded: number,
): Judgement {
  const replicas = databases.filter(({ type }) => type === "READ_REPLICA");
  const healthy = replicas.filter(({ status }) => status === "ACTIVE_HEALTHY");
  const listed = replicas.map(({ region, status }) => `${region} ${status}`).join(", ");
  const found = replicas.length === 0 ? "no read replica" : `${healthy.length} healthy of: ${listed}`;
  return judge(healthy.length >= demanded, found, `${demanded} healthy`);
}

/** The project's own state too: while it is restored or upgraded, its services may well answer. */
function judgeServices(
  { status }: SupabaseProject,
  services: readonly { readonly name: string; readonly status: string; readonly error?: string | undefined }[],
): Judgement {
  const ill = services.filter((service) => service.status !== "ACTIVE_HEALTHY");
  const told = ill.map(
    ({ name, status: state, error }) => `${name} ${state}${error === undefined ? "" : ` (${error})`}`,
  );
  const found = [`project ${status}`, ...(told.length === 0 ? [`${services.length} services healthy`] : told)];
  const met = status === "ACTIVE_HEALTHY" && ill.length === 0 && services.length > 0;
  return judge(met, found.join(", "), "all of them ACTIVE_HEALTHY");
}

function judgeDisk({ size, used }: { readonly size: number; readonly used: number }, limit: number): Judgement {
  const percent = size > 0 ? (used / size) * 100 : 100;
  const found = `${percent.toFixed(0)} % of ${(size / 1e9).toFixed(1)} GB used`;
  return judge(percent <= limit, found, `at most ${limit} %`);
}

/** Only errors count; the rest is advice. */
function judgeLints(lints: readonly SupabaseLint[], kind: string): Judgement {
  const errors = lints.filter(({ level }) => level === "ERROR");
  const shown = errors.slice(0, 3).map(({ name, detail }) => `${name}: ${detail}`);
  const more = errors.length > shown.length ? `, and ${errors.length - shown.length} more` : "";
  const found =
    errors.length === 0
      ? `no error by the ${kind} advisor, ${lints.length} remark(s)`
      : `${errors.length} error(s) by the ${kind} advisor: ${shown.join("; ")}${more}`;
  return judge(errors.length === 0, found.replace(/\s+/g, " "), "none");
}

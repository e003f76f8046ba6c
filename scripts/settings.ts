/**
 * What a stack's configuration decides about the operational commands, as one zod-checked document. The
 * Pulumi program passes it to its Commands in `DBPROTECT_SETTINGS` (JSON); people pass `--settings <file>`.
 * Secrets and addresses are not in here: they are environment variables (see docs/reference.md).
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { UsageError, messageOf } from "./contract/failure";
import { type SignalName, signalNames } from "./thresholds";

/** The variables that the strategy says must never change during a deployment. */
export const strategyCriticalVariables = [
  "SUPABASE_URL",
  "SUPABASE_ANON_KEY",
  "SUPABASE_SERVICE_ROLE_KEY",
  "VITE_SUPABASE_URL",
  "VITE_SUPABASE_ANON_KEY",
] as const;

/**
 * Listed by the strategy as safe to update, but rotating it logs everybody out and can invalidate the API
 * keys: by default it needs an acknowledgement, like the critical ones.
 */
export const acknowledgedVariables = ["JWT_SECRET"] as const;

/** The strategy's other "safe to update" variables: a change of them is listed and passes. */
export const strategySafeVariables = ["CORS_ORIGIN", "NODE_ENV"] as const;

/** How many rows a release may delete or update: `none`, `any`, or at most N as `<=N`. */
const allowance = z.union([z.enum(["none", "any"]), z.string().regex(/^<=\d+$/, "expected none, any or <=N")]);

export type Allowance = z.infer<typeof allowance>;

export const tablePolicySchema = z.strictObject({
  /** Rows of the fingerprint that may be gone after the release. Default `none`. */
  deletes: allowance.default("none"),
  /** Rows of the fingerprint whose content may differ after the release. Default `any`: live traffic writes. */
  updates: allowance.default("any"),
});

export type TablePolicy = z.infer<typeof tablePolicySchema>;

/** Why somebody may pass a check that said no: loud in the receipt, and only until `expires`. */
const consent = {
  reason: z.string().min(10, "expected a reason of at least 10 characters"),
  person: z.string().min(1),
  /** ISO date or date-time (UTC) from which on it no longer counts. */
  expires: z.union([z.iso.date(), z.iso.datetime()]),
};

export const overrideSchema = z.strictObject({
  /** `<gate step>` or `<gate step>:<finding>`, e.g. `migrations:20260103_purge.sql:delete`. */
  what: z.string().min(1),
  ...consent,
});

export type Override = z.infer<typeof overrideSchema>;

/** An acknowledged change of one critical variable. */
export const acknowledgementSchema = z.strictObject({ name: z.string().min(1), ...consent });

export type Acknowledgement = z.infer<typeof acknowledgementSchema>;

export const environmentSourceSchema = z.discriminatedUnion("kind", [
  /** The environment of the process that runs the command. */
  z.strictObject({ kind: z.literal("process") }),
  /** A dotenv file, relative to the project's folder. */
  z.strictObject({ kind: z.literal("dotenv"), path: z.string().min(1) }),
  /** The variables of the Railway service that `RAILWAY_SERVICE_ID` names, in its environment. */
  z.strictObject({ kind: z.literal("railway") }),
  /** The variables of the Vercel project that `VERCEL_PROJECT_ID` names, for one of its environments. */
  z.strictObject({
    kind: z.literal("vercel"),
    target: z.enum(["production", "preview", "development"]).default("production"),
  }),
]);

export type EnvironmentSource = z.infer<typeof environmentSourceSchema>;

/** Unmet, or unknown: `require` halts, `warn` is said, `ignore` is not even looked at. */
const demand = z.enum(["require", "warn", "ignore"]);

export type Demand = z.infer<typeof demand>;

export const environmentSettingsSchema = z.strictObject({
  sources: z
    .array(environmentSourceSchema)
    .min(1)
    .default([{ kind: "process" }]),
  /** Names, or patterns with `*`, that must not change during a deployment. Default: the strategy's five and `JWT_SECRET`. */
  critical: z.array(z.string().min(1)).default([...strategyCriticalVariables, ...acknowledgedVariables]),
  /** Names that must be present and not empty. Default: the strategy's five. */
  required: z.array(z.string().min(1)).default([...strategyCriticalVariables]),
  acknowledgements: z.array(acknowledgementSchema).default([]),
  /** Whether a critical or required variable halts whose value the platform gives to nobody. Default false. */
  strict: z.boolean().default(false),
  /** What is wrong with the values of Supabase's variables: see scripts/environment/content.ts. Default `require`. */
  content: demand.default("require"),
});

export type EnvironmentSettings = z.infer<typeof environmentSettingsSchema>;

export const releaseStepSchema = z.strictObject({
  /** The shell command that deploys, e.g. `railway up --ci`. */
  command: z.string().min(1),
  /** Seconds after which the command is ended and counts as failed. Default 1,800. */
  timeoutSeconds: z.int().positive().default(1800),
});

export type ReleaseStepSettings = z.infer<typeof releaseStepSchema>;

export const migrationsSettingsSchema = z
  .strictObject({
    /** Folder of the migrations, as the tool lays them out. */
    path: z.string().min(1),
    /**
     * Whose folder and ledger: `supabase` is also for plain folders of `<version>_<name>.sql`, which the release itself applies;
     * with another one `command` applies them. Default `supabase`.
     */
    tool: z.enum(["supabase", "prisma", "drizzle", "node-pg-migrate", "flyway"]).default("supabase"),
    /** Shell command that applies what is pending, such as `npx prisma migrate deploy`. Default: the release does. */
    command: z.string().min(1).optional(),
    /** What the gate does about a migration without the script that takes it back, where the tool has them. Default `warn`. */
    rollbackScript: z.enum(["warn", "halt", "ignore"]).default("warn"),
    /** Seconds that a statement may wait for a lock before the migration is rolled back. Default 5. */
    lockTimeoutSeconds: z.int().positive().default(5),
    /** Seconds that a statement may run before the migration is rolled back; an index CONCURRENTLY has no limit. Default 600. */
    statementTimeoutSeconds: z.int().positive().default(600),
    /** How often a file that gave up on a lock is tried again, after 1, 2, 4 … seconds, at most 30. Default 5. */
    lockRetries: z.int().min(0).max(100).default(5),
    /** Whether the gate runs the pending files on a copy of what it restored, and halts when that loses anything. Default `on`. */
    trial: z.enum(["on", "off"]).default("on"),
  })
  .refine(({ tool, command }) => tool === "supabase" || command !== undefined, {
    path: ["command"],
    error: "expected the command of the tool that applies its migrations, such as npx prisma migrate deploy",
  });

export type MigrationsSettings = z.infer<typeof migrationsSettingsSchema>;

export const healthSettingsSchema = z.strictObject({
  /** Paths below `APP_URL`. Default: the strategy's three. */
  appPaths: z.array(z.string().startsWith("/")).default(["/api/health", "/api/db/health", "/api/crm/clients"]),
  /** Paths below `FRONTEND_URL`. Default: `/`. */
  frontendPaths: z.array(z.string().startsWith("/")).default(["/"]),
  /** Seconds within which every path must have answered 2xx. Default 60. */
  deadlineSeconds: z.number().positive().default(60),
});

export type HealthSettings = z.infer<typeof healthSettingsSchema>;

export const verificationSettingsSchema = z.strictObject({
  /** The depth the gate demands of its own backup: 3 (read back) or 4 (restored and compared). Default 4. */
  depth: z.union([z.literal(3), z.literal(4)]).default(4),
  /** Hours that the scratch server outlives the gate. Default 4. */
  scratchHours: z.number().positive().max(72).default(4),
});

export const gateSettingsSchema = z.strictObject({
  /**
   * `full`: the gate takes a backup of its own. `reuse`: it takes the newest one that was verified at depth 4, if that
   * is young enough and nothing was released since, else one of its own. Default `full`.
   */
  backup: z.enum(["full", "reuse"]).default("full"),
  /** Minutes that a backup may be old to be reused; also the longest span of writes that it may lack. Default 60. */
  reuseMinutes: z.int().min(1).max(1440).default(60),
  /** Seconds that the gate of a `pulumi up` may take: backup, restore, comparison, trial. Default 14,400: four hours. */
  timeoutSeconds: z.int().min(1).max(172_800).default(14_400),
});

export type GateSettings = z.infer<typeof gateSettingsSchema>;

export const rollbackSettingsSchema = z.strictObject({
  /**
   * What happens when a deployment fails, or the verification after it: `application`: Railway and Vercel go back to what
   * was live before, as `deploy:rollback` does it; `manual`: a person decides. Default `manual`.
   */
  onFailure: z.enum(["manual", "application"]).default("manual"),
  /**
   * `required`: the gate halts when a configured platform has no live deployment that it could go back to, or cannot be
   * asked; `optional`: that is recorded and passes, as it must for a first deployment. Default `required`.
   */
  target: z.enum(["required", "optional"]).default("required"),
  /** Seconds that a platform may take to roll back. Default 240: with the health checks within the strategy's five minutes. */
  timeoutSeconds: z.int().min(1).max(3600).default(240),
  /** Roles that `deploy:maintenance on` keeps from writing, as far as they exist: the application's. Default: Supabase's three. */
  fencedRoles: z.array(z.string().min(1)).min(1).default(["anon", "authenticated", "service_role"]),
});

export type RollbackSettings = z.infer<typeof rollbackSettingsSchema>;

export const maintenanceSettingsSchema = z.strictObject({
  /**
   * A variable by which the application on Railway knows that it is in maintenance: `deploy:maintenance on` sets it and
   * deploys the service again, which is how Railway hands out variables. Default: none is set.
   */
  railway: z
    .strictObject({
      variable: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "expected the name of an environment variable"),
      /** Default `true`. */
      value: z.string().min(1).default("true"),
      /** Seconds that deploying it again may take. Default 600. */
      timeoutSeconds: z.int().min(1).max(3600).default(600),
    })
    .optional(),
  /** What Vercel's firewall does with requests to production meanwhile. Default: nothing. */
  vercel: z
    .discriminatedUnion("action", [
      /** Sends them to this page, for now (307). */
      z.strictObject({
        action: z.literal("redirect"),
        location: z.url({ protocol: /^https$/, error: "expected an https address" }),
      }),
      /** Answers 403. */
      z.strictObject({ action: z.literal("deny") }),
    ])
    .optional(),
});

export type MaintenanceSettings = z.infer<typeof maintenanceSettingsSchema>;

export const watchSettingsSchema = z.strictObject({
  /** Minutes that a release is watched after its last step; 0: neither then nor while it runs. Default 5. */
  soakMinutes: z.number().min(0).max(1440).default(5),
  /** Seconds between two requests to a health path; the platforms are asked half as often. Default 5. */
  intervalSeconds: z.number().min(0.05).max(300).default(5),
  /** Requests to each health path by which the gate measures what is usual. Default 20. */
  requests: z.int().min(5).max(1000).default(20),
  /** A path's latency spikes when the median of its last answers is over this many times the usual one, … Default 3. */
  factor: z.number().min(1).max(100).default(3),
  /** … and these milliseconds besides: what is quick may become twice as slow without anybody noticing. Default 500. */
  floorMilliseconds: z.int().min(0).max(60_000).default(500),
  /** A path's errors spike when more than this percentage over the usual one of its last requests failed, … Default 1. */
  errorPercent: z.number().min(0).max(100).default(1),
  /** … and at least so many. Default 3. */
  leastErrors: z.int().min(1).max(1000).default(3),
});

export type WatchSettings = z.infer<typeof watchSettingsSchema>;

export const drillSettingsSchema = z.strictObject({
  /** Days that the last restore drill may be ago. Default 35. */
  maxAgeDays: z.int().min(1).max(3650).default(35),
  /** What the gate does when it is longer ago, or failed, or there was none. Default `warn`. */
  onOverdue: z.enum(["warn", "halt", "ignore"]).default("warn"),
});

export type DrillSettings = z.infer<typeof drillSettingsSchema>;

export const replicaSettingsSchema = z.strictObject({
  /** The publication, the subscription and the slot are called so. Default `dbprotect_replica`. */
  name: z
    .string()
    .regex(/^[a-z][a-z0-9_]{0,39}$/, "expected lower-case letters, digits and _, at most 40")
    .default("dbprotect_replica"),
  /** Tables (`schema.name`, or patterns with `*`) that are declared not to be on the replica. Default: none. */
  uncovered: z.array(z.string().min(1)).default([]),
  /** Declares that large objects, which logical replication never carries, are not on the replica. Default false. */
  withoutLargeObjects: z.boolean().default(false),
  /** A password file on the replica's server, by which it connects to the source. Default: the subscription holds the password. */
  passfile: z.string().startsWith("/").optional(),
  /** The CA's PEM file on the replica's server, where the source's `sslmode` is `verify-ca` or `verify-full`. */
  rootCertificate: z.string().min(1).optional(),
  /** Seconds that the replica may lag behind. Default 600. */
  maxLagSeconds: z.int().min(1).max(86_400).default(600),
  /** Hours that one of our slots may be without a subscriber before `replication:janitor` drops it. Default 72. */
  slotTtlHours: z.int().min(1).max(8784).default(72),
  /** Variables that `replication:failover` sets to `REPLICA_APPLICATION_URL`. Default: none, the address is printed only. */
  connectionVariables: z
    .array(
      z.strictObject({
        platform: z.enum(["railway", "vercel"]),
        name: z.string().regex(/^[A-Za-z_]\w*$/, "expected the name of a variable, such as DATABASE_URL"),
        /** Of Vercel. Default `production`. */
        environment: z.enum(["production", "preview", "development"]).default("production"),
      }),
    )
    .default([]),
  /** What the gate does when the replica lacks definitions, lags too far or is broken. Default `halt`. */
  onDrift: z.enum(["halt", "warn"]).default("halt"),
});

export type ReplicaSettings = z.infer<typeof replicaSettingsSchema>;

/** What a tier promises: a backup is kept while either holds. Ages are counted to the last verified backup, not to now. */
function tierPromise(newest: number, days: number) {
  return z
    .strictObject({
      newest: z.int().min(0).max(10_000).default(newest),
      days: z.int().min(0).max(36_500).default(days),
    })
    .prefault({});
}

export const retentionSettingsSchema = z.strictObject({
  /** Default: the newest 7, and all younger than 7 days. */
  daily: tierPromise(7, 7),
  /** Default: the newest 5, and all younger than 35 days. */
  weekly: tierPromise(5, 35),
  /** Default: the newest 12, and all younger than 366 days. */
  monthly: tierPromise(12, 366),
  /** Default: the newest 10, and all younger than 30 days. */
  predeploy: tierPromise(10, 30),
  /** Default: the newest 10, and all younger than 90 days. */
  manual: tierPromise(10, 90),
  /** Verified backups, of whatever tier, that are always left. Default 3. */
  floor: z.int().min(1).max(10_000).default(3),
  /** Days after which archives without a manifest count as left behind. Default 7. */
  remainsDays: z.int().min(2).max(3650).default(7),
  /**
   * `tag`: objects in a bucket get the tag `expire=yes`, and its lifecycle rule removes them; `delete`: they are
   * deleted. In a folder files are always deleted. Default `tag`.
   */
  removal: z.enum(["tag", "delete"]).default("tag"),
});

export type RetentionSettings = z.infer<typeof retentionSettingsSchema>;

/** What is asked of the platform's own protection (Level 1); docs/reference.md says what meets each. */
export const platformRequirements = [
  "backup",
  "pitr",
  "schedule",
  "retention",
  "region",
  "replicas",
  "services",
  "disk",
  "security",
  "performance",
] as const;

export type PlatformRequirement = (typeof platformRequirements)[number];

const requirementsShape = Object.fromEntries(
  platformRequirements.map((requirement) => [requirement, demand.optional()]),
) as Record<PlatformRequirement, z.ZodOptional<typeof demand>>;

export const platformSettingsSchema = z.strictObject({
  /**
   * `supabase`: the Management API; `postgres`: the server itself. Default `auto`: the API where `SUPABASE_ACCESS_TOKEN`
   * or `SUPABASE_PROJECT_REF` is set.
   */
  kind: z.enum(["auto", "supabase", "postgres"]).default("auto"),
  /** The stack's protection level, which decides what is demanded where `requirements` says nothing. Default 2. */
  level: z.union([z.literal(1), z.literal(2), z.literal(3)]).default(2),
  requirements: z.strictObject(requirementsShape).prefault({}),
  /** Hours that the newest backup, or archived log, may be old. Default 26: a daily one, and two hours to take it. */
  backupHours: z.number().positive().max(8784).default(26),
  /** Days that backups must reach back. Default 7. */
  retentionDays: z.int().min(1).max(3650).default(7),
  /** When the daily backup is taken, `HH:MM` in UTC. Default `02:00`, the strategy's. */
  schedule: z
    .string()
    .regex(/^([01]\d|2[0-3]):[0-5]\d$/, "expected HH:MM in UTC")
    .default("02:00"),
  /** Where the project must be, such as `eu-central-1`. Default: wherever it is. */
  region: z.string().min(1).optional(),
  /** Healthy read replicas that there must be. Default 1. */
  replicas: z.int().min(1).max(100).default(1),
  /** Percent of the disk that may be used. Default 85. */
  diskPercent: z.int().min(1).max(100).default(85),
  /** Whether the gate asks Supabase for a restore point before a release and waits for it. It needs PITR. Default false. */
  restorePoint: z.boolean().default(false),
  /** Seconds to wait until the restore point is available. Default 300. */
  restorePointSeconds: z.int().min(1).max(7200).default(300),
});

export type PlatformSettings = z.infer<typeof platformSettingsSchema>;

const thresholdChangeSchema = z.strictObject({
  /** From here on the signal is a warning; null: never. Default: that of scripts/thresholds.ts. */
  warn: z.number().nullable().optional(),
  /** From here on it is critical; null: never. Default: that of scripts/thresholds.ts. */
  critical: z.number().nullable().optional(),
});

/** Empty objects stand for "all defaults", so that every consumer sees a complete document. */
export const operationSettingsSchema = z.strictObject({
  /** Per table (`schema.name`): what a release may do to its rows. */
  tables: z.record(z.string().regex(/^.+\..+$/, "expected schema.table"), tablePolicySchema).default({}),
  /** Folder with the data checks of this project, or `none`. Default `checks`. */
  checks: z.string().min(1).default("checks"),
  environment: environmentSettingsSchema.prefault({}),
  platform: platformSettingsSchema.prefault({}),
  migrations: migrationsSettingsSchema.optional(),
  railway: releaseStepSchema.optional(),
  vercel: releaseStepSchema.optional(),
  health: healthSettingsSchema.prefault({}),
  /** Shell command of the integration tests (`npm run test:integration`). */
  integrationCommand: z.string().min(1).optional(),
  verification: verificationSettingsSchema.prefault({}),
  gate: gateSettingsSchema.prefault({}),
  retention: retentionSettingsSchema.prefault({}),
  rollback: rollbackSettingsSchema.prefault({}),
  maintenance: maintenanceSettingsSchema.prefault({}),
  watch: watchSettingsSchema.prefault({}),
  drill: drillSettingsSchema.prefault({}),
  /** The live replica at `REPLICA_DATABASE_URL`; absent: there is none, and the gate asks for none. */
  replica: replicaSettingsSchema.optional(),
  /** Minutes that a restore may take; an expected RTO over it is a warning in receipt and `db:list`. Default 5. */
  rtoMinutes: z.int().min(1).max(10_080).default(5),
  /** Per signal of `db:health`: other thresholds than those of docs/monitoring.md; also those of its alarms. */
  thresholds: z.partialRecord(z.enum(signalNames as [SignalName, ...SignalName[]]), thresholdChangeSchema).default({}),
  overrides: z.array(overrideSchema).default([]),
});

export type OperationSettings = z.infer<typeof operationSettingsSchema>;
export type OperationSettingsInput = z.input<typeof operationSettingsSchema>;

/**
 * The settings of this run: `--settings <file>`, else `DBPROTECT_SETTINGS`, else all defaults.
 *
 * @throws UsageError naming the key, what was found and what is expected.
 */
export function readOperationSettings(
  file: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
): OperationSettings {
  const source = file ?? (env["DBPROTECT_SETTINGS"] === undefined ? undefined : "DBPROTECT_SETTINGS");
  if (source === undefined) return operationSettingsSchema.parse({});
  let document: unknown;
  try {
    document = JSON.parse(file === undefined ? (env["DBPROTECT_SETTINGS"] ?? "") : readFileSync(file, "utf8"));
  } catch (error) {
    throw new UsageError(`${source}: cannot be read as JSON: ${messageOf(error)}`);
  }
  return parseSettings(operationSettingsSchema, document, source);
}

/** Parses `value` or throws one line for the first mistake: `<source>: <key>: found …: <expected>`. */
export function parseSettings<T extends z.ZodType>(schema: T, value: unknown, source: string): z.output<T> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const key = issue?.path.join(".") ?? "";
  const found = issue?.input === undefined ? "nothing" : JSON.stringify(issue.input).slice(0, 80);
  throw new UsageError(`${source}: ${key === "" ? "document" : key}: found ${found}: ${issue?.message ?? "invalid"}`);
}

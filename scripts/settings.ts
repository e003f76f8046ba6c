/**
 * What a stack's configuration decides about the operational commands, as one zod-checked document. The
 * Pulumi program passes it to its Commands in `DBPROTECT_SETTINGS` (JSON); people pass `--settings <file>`.
 * Secrets and addresses are not in here: they are environment variables (see docs/reference.md).
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { readJson } from "./contract/jsonInput";
import {
  type NoticeName,
  type PageNoticeName,
  notices,
  pageNotices,
  pagePlaceholders,
  unknownPlaceholder,
} from "./notices";
import { type SignalName, signalNames } from "./thresholds";

/** The variables that the strategy says must never change during a deployment. */
const strategyCriticalVariables = [
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
const acknowledgedVariables = ["JWT_SECRET"] as const;

/** The strategy's other "safe to update" variables: a change of them is listed and passes. */
export const strategySafeVariables = ["CORS_ORIGIN", "NODE_ENV"] as const;

/** How many rows a release may delete or update: `none`, `any`, or at most N as `<=N`. */
const allowance = z.union([z.enum(["none", "any"]), z.string().regex(/^<=\d+$/, "expected none, any or <=N")]);

export type Allowance = z.infer<typeof allowance>;

export const tablePolicySchema = z.strictObject({
  deletes: allowance.default("none").meta({
    description: "`<table>` is `schema.name`: rows of the snapshot that may be gone after the release",
    allowed: "`none`, `any`, `<=N`",
  }),
  updates: allowance
    .default("any")
    .meta({ description: "rows of the snapshot whose content may differ after it", allowed: "`none`, `any`, `<=N`" }),
});

export type TablePolicy = z.infer<typeof tablePolicySchema>;

/** Why somebody may pass a check that said no: loud in the receipt, and only until `expires`. */
const consent = {
  reason: z
    .string()
    .min(10, "expected a reason of at least 10 characters")
    .meta({ description: "why", allowed: "at least 10 characters" }),
  person: z.string().min(1).meta({ description: "who", allowed: "not empty" }),
  expires: z.union([z.iso.date(), z.iso.datetime()]).meta({
    description: "from then on it no longer counts, and what it let pass halts",
    allowed: "`YYYY-MM-DD` or an ISO date-time in UTC",
  }),
};

export const overrideSchema = z.strictObject({
  what: z.string().min(1).meta({
    description:
      "what may pass: `migrations:20260103_purge.sql:delete`, `environment:SUPABASE_URL`, `data-checks:checks/orders.sql`",
    allowed: "a gate step, or `<step>:<finding>`",
  }),
  ...consent,
});

export type Override = z.infer<typeof overrideSchema>;

/** An acknowledged change of one critical variable. */
export const acknowledgementSchema = z.strictObject({
  name: z.string().min(1).meta({ description: "lets one change of it pass", allowed: "a variable's name" }),
  ...consent,
});

export type Acknowledgement = z.infer<typeof acknowledgementSchema>;

const environmentSourceSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z
      .literal("process")
      .describe("`process`: the environment of whoever runs the command, the only source by default"),
  }),
  z.strictObject({
    kind: z.literal("dotenv").describe("`dotenv`: a file"),
    path: z.string().min(1).meta({ description: "of `dotenv`: relative to the project's folder", allowed: "a file" }),
  }),
  z.strictObject({ kind: z.literal("railway").describe("`railway`: the service that `RAILWAY_SERVICE_ID` names") }),
  z.strictObject({
    kind: z
      .literal("vercel")
      .describe(
        "`vercel`: the project that `VERCEL_PROJECT_ID` names; several at once, see [below](#variables-of-railway-and-vercel)",
      ),
    target: z
      .enum(["production", "preview", "development"])
      .default("production")
      .describe("of `vercel`: which of the project's environments"),
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
  critical: z
    .array(z.string().min(1))
    .default([...strategyCriticalVariables, ...acknowledgedVariables])
    .meta({ description: "must not change without an acknowledgement", allowed: "names, or patterns with `*`" }),
  required: z
    .array(z.string().min(1))
    .default([...strategyCriticalVariables])
    .meta({ description: "must be there and not empty", allowed: "names, or patterns with `*`" }),
  acknowledgements: z.array(acknowledgementSchema).default([]),
  strict: z
    .boolean()
    .default(false)
    .describe("whether a critical or required variable halts whose value nobody is given"),
  content: demand
    .default("require")
    .describe("whether a wrong [value](reference.md#envcheck) of a Supabase variable halts"),
});

export type EnvironmentSettings = z.infer<typeof environmentSettingsSchema>;

const releaseStepSchema = z.strictObject({
  command: z.string().min(1).meta({
    description: "deploys, such as `railway up --ci` or `vercel deploy --prod --yes`",
    allowed: "a shell command",
  }),
  timeoutSeconds: z.int().positive().default(1800).describe("seconds after which it is ended and counts as failed"),
});

export type ReleaseStepSettings = z.infer<typeof releaseStepSchema>;

export const migrationsSettingsSchema = z
  .strictObject({
    path: z.string().min(1).meta({ description: "the migrations, as the tool lays them out", allowed: "a folder" }),
    tool: z
      .enum(["supabase", "prisma", "drizzle", "node-pg-migrate", "flyway"])
      .default("supabase")
      .describe("whose [folder and ledger](reference.md#tools-of-your-own)"),
    command: z.string().min(1).optional().meta({
      description: "applies what is pending in the release, such as `npx prisma migrate deploy`",
      allowed: "a shell command",
      otherwise: "none; required with another tool",
    }),
    rollbackScript: z
      .enum(["warn", "halt", "ignore"])
      .default("warn")
      .describe("what the gate does about a migration without the script that takes it back, where the tool has them"),
    lockTimeoutSeconds: z
      .int()
      .positive()
      .default(5)
      .describe("seconds that a statement may wait for a lock before its file is rolled back"),
    statementTimeoutSeconds: z
      .int()
      .positive()
      .default(600)
      .describe(
        "seconds that a statement may run before its file is rolled back; what runs alone (an index CONCURRENTLY) has no limit",
      ),
    lockRetries: z
      .int()
      .min(0)
      .max(100)
      .default(5)
      .describe("how often a file that gave up on a lock is tried again, after 1, 2, 4 … seconds, at most 30"),
    trial: z
      .enum(["on", "off"])
      .default("on")
      .describe(
        "whether the gate [runs the pending files](reference.md#the-trial-of-migrations) on a copy of what it restored",
      ),
  })
  .refine(({ tool, command }) => tool === "supabase" || command !== undefined, {
    path: ["command"],
    error: "expected the command of the tool that applies its migrations, such as npx prisma migrate deploy",
  });

export type MigrationsSettings = z.infer<typeof migrationsSettingsSchema>;

export const healthSettingsSchema = z.strictObject({
  appPaths: z
    .array(z.string().startsWith("/"))
    .default(["/api/health", "/api/db/health", "/api/crm/clients"])
    .meta({ description: "below `APP_URL`", allowed: "paths that start with `/`" }),
  frontendPaths: z
    .array(z.string().startsWith("/"))
    .default(["/"])
    .meta({ description: "below `FRONTEND_URL`", allowed: "paths that start with `/`" }),
  deadlineSeconds: z.number().positive().default(60).describe("seconds within which every path must have answered 2xx"),
});

export type HealthSettings = z.infer<typeof healthSettingsSchema>;

const verificationSettingsSchema = z.strictObject({
  depth: z
    .union([z.literal(3), z.literal(4)])
    .default(4)
    .describe("how deep the gate verifies its own backup: 3 read back, 4 restored and compared"),
  scratchHours: z
    .number()
    .positive()
    .max(72)
    .default(4)
    .describe("hours that the scratch server outlives the gate, unless its receipt is closed earlier"),
});

export const gateSettingsSchema = z.strictObject({
  backup: z
    .enum(["full", "reuse"])
    .default("full")
    .describe(
      "`full`: a backup of its own; `reuse`: the newest one that was verified at depth 4, if it is young enough and nothing was released since, see [below](#reusing-a-backup)",
    ),
  reuseMinutes: z
    .int()
    .min(1)
    .max(1440)
    .default(60)
    .describe("minutes that it may be old: also the longest span of writes that it may lack"),
  timeoutSeconds: z
    .int()
    .min(1)
    .max(172_800)
    .default(14_400)
    .describe(
      "seconds that the gate of a `pulumi up` may take; past it it is ended, cleans up, and nothing is released",
    ),
});

export type GateSettings = z.infer<typeof gateSettingsSchema>;

const rollbackSettingsSchema = z.strictObject({
  onFailure: z
    .enum(["manual", "application"])
    .default("manual")
    .describe(
      "what a failed deployment or verification does: `application` rolls Railway and Vercel back as `deploy:rollback` does",
    ),
  target: z
    .enum(["required", "optional"])
    .default("required")
    .describe(
      "`required`: the gate halts when a configured platform has nothing live that it could be rolled back to, or cannot be asked; `optional` for a first deployment",
    ),
  timeoutSeconds: z
    .int()
    .min(1)
    .max(3600)
    .default(240)
    .describe(
      "seconds that a platform may take to roll back; with the health checks within the strategy's five minutes",
    ),
  fencedRoles: z.array(z.string().min(1)).min(1).default(["anon", "authenticated", "service_role"]).meta({
    description:
      "roles that `deploy:maintenance on` keeps from writing, as far as they exist: those that the application connects as or takes on",
    allowed: "names",
  }),
});

const maintenanceSettingsSchema = z.strictObject({
  /**
   * A variable by which the application on Railway knows that it is in maintenance: `deploy:maintenance on` sets it and
   * deploys the service again, which is how Railway hands out variables. Default: none is set.
   */
  railway: z
    .strictObject({
      variable: z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "expected the name of an environment variable")
        .meta({
          description:
            "by which the application on Railway knows of a maintenance: `deploy:maintenance on` sets it and deploys the service again, which is how Railway hands out variables; not one that `environment` watches",
          allowed: "a variable's name",
        }),
      value: z.string().min(1).default("true").meta({ description: "what it is set to", allowed: "not empty" }),
      timeoutSeconds: z
        .int()
        .min(1)
        .max(3600)
        .default(600)
        .describe("seconds that deploying the service again may take"),
    })
    .optional(),
  /** What Vercel's firewall does with requests to production meanwhile. Default: nothing. */
  vercel: z
    .discriminatedUnion("action", [
      z.strictObject({
        action: z.literal("redirect").meta({
          description:
            "`redirect`: requests to production are sent to `location` meanwhile, for now (307), by Vercel's firewall",
        }),
        location: z.url({ protocol: /^https$/, error: "expected an https address" }).meta({
          description: "with `redirect`: where to; at another host than `FRONTEND_URL`",
          allowed: "an https address",
        }),
      }),
      z.strictObject({ action: z.literal("deny").describe("`deny`: they are answered 403") }),
    ])
    .optional(),
});

export type MaintenanceSettings = z.infer<typeof maintenanceSettingsSchema>;

const watchSettingsSchema = z.strictObject({
  soakMinutes: z
    .number()
    .min(0)
    .max(1440)
    .default(5)
    .describe("minutes that a release is watched after its last step; 0: neither then nor while it runs"),
  intervalSeconds: z
    .number()
    .min(0.05)
    .max(300)
    .default(5)
    .describe("seconds between two requests to a health path; the platforms are asked half as often"),
  requests: z
    .int()
    .min(5)
    .max(1000)
    .default(20)
    .describe("requests to each path by which the gate measures how it answers; at most 30 seconds"),
  factor: z
    .number()
    .min(1)
    .max(100)
    .default(3)
    .describe("latency spikes when the median of a path's last answers is over so many times that of before, and …"),
  floorMilliseconds: z
    .int()
    .min(0)
    .max(60_000)
    .default(500)
    .describe("… these milliseconds besides: what is quick may become twice as slow without anybody noticing"),
  errorPercent: z
    .number()
    .min(0)
    .max(100)
    .default(1)
    .describe("errors spike when more than this percentage over that of before failed, and …"),
  leastErrors: z.int().min(1).max(1000).default(3).describe("… at least so many requests"),
});

export type WatchSettings = z.infer<typeof watchSettingsSchema>;

const drillSettingsSchema = z.strictObject({
  maxAgeDays: z.int().min(1).max(3650).default(35).describe("days that the last restore drill may be ago"),
  onOverdue: z
    .enum(["warn", "halt", "ignore"])
    .default("warn")
    .describe("what the gate does when it is longer ago, failed, or there was none"),
});

export const replicaSettingsSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z][a-z0-9_]{0,39}$/, "expected lower-case letters, digits and _, at most 40")
    .default("dbprotect_replica")
    .meta({ description: "name of publication, subscription and slot", allowed: "lower-case letters, digits, `_`" }),
  uncovered: z.array(z.string().min(1)).default([]).meta({
    description: "tables that are declared not to be on the replica",
    allowed: "`schema.name`, or patterns with `*`",
  }),
  withoutLargeObjects: z
    .boolean()
    .default(false)
    .describe("declares that large objects, which logical replication never carries, are not on the replica"),
  passfile: z.string().startsWith("/").optional().meta({
    description: "a password file by which it connects to the source",
    allowed: "a path on the replica's server",
    otherwise: "the subscription holds the password",
  }),
  rootCertificate: z.string().min(1).optional().meta({
    description: "the CA of the source, where its `sslmode` is `verify-ca` or `verify-full`",
    allowed: "a path on the replica's server, `system`",
    otherwise: "none",
  }),
  maxLagSeconds: z.int().min(1).max(86_400).default(600).describe("seconds that the replica may be behind"),
  slotTtlHours: z
    .int()
    .min(1)
    .max(8784)
    .default(72)
    .describe("hours after which `replication:janitor` drops a slot of ours that nobody reads from"),
  /** Variables that `replication:failover` sets to `REPLICA_APPLICATION_URL`. Default: none, the address is printed only. */
  connectionVariables: z
    .array(
      z.strictObject({
        platform: z
          .enum(["railway", "vercel"])
          .describe(
            "a variable with the application's connection string, which `replication:failover` sets to `REPLICA_APPLICATION_URL`",
          ),
        name: z
          .string()
          .regex(/^[A-Za-z_]\w*$/, "expected the name of a variable, such as DATABASE_URL")
          .meta({ description: "its name, such as `DATABASE_URL`", allowed: "a name" }),
        environment: z
          .enum(["production", "preview", "development"])
          .default("production")
          .describe("Vercel's environment"),
      }),
    )
    .default([]),
  onDrift: z
    .enum(["halt", "warn"])
    .default("halt")
    .describe("what the gate does when the replica is broken, behind, or lacks definitions"),
});

export type ReplicaSettings = z.infer<typeof replicaSettingsSchema>;

/** What a tier promises: a backup is kept while either holds. Ages are counted to the last verified backup, not to now. */
function tierPromise(newest: number, days: number) {
  return z
    .strictObject({
      newest: z
        .int()
        .min(0)
        .max(10_000)
        .default(newest)
        .describe("the newest so many of this tier are kept, verified ones counted, whatever their age"),
      days: z
        .int()
        .min(0)
        .max(36_500)
        .default(days)
        .describe("all of this tier that are younger are kept; counted to the newest verified backup, not to now"),
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
  floor: z.int().min(1).max(10_000).default(3).describe("so many verified backups always stay, of whatever tier"),
  remainsDays: z
    .int()
    .min(2)
    .max(3650)
    .default(7)
    .describe("days after which archives without a manifest count as left behind"),
  removal: z
    .enum(["tag", "delete"])
    .default("tag")
    .describe("in a bucket: tag `expire=yes` and leave it to the lifecycle rule, or delete; a folder always deletes"),
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
  platformRequirements.map((requirement) => [
    requirement,
    demand.optional().meta({
      description: "unmet, or unknown: `require` halts, `warn` is said, `ignore` is not looked at",
      otherwise: "by Level",
    }),
  ]),
) as Record<PlatformRequirement, z.ZodOptional<typeof demand>>;

export const platformSettingsSchema = z.strictObject({
  kind: z
    .enum(["auto", "supabase", "postgres"])
    .default("auto")
    .describe(
      "what is asked; `auto`: Supabase's API where `SUPABASE_ACCESS_TOKEN` or `SUPABASE_PROJECT_REF` is set, else the server",
    ),
  level: z
    .union([z.literal(1), z.literal(2), z.literal(3)])
    .default(2)
    .describe(
      "the stack's protection level: decides what is demanded where `requirements` says nothing, see [the platform's own protection](reference.md#the-platforms-own-protection)",
    ),
  requirements: z.strictObject(requirementsShape).prefault({}),
  backupHours: z
    .number()
    .positive()
    .max(8784)
    .default(26)
    .describe(
      "hours that the newest backup, or archived log, may be old; by default that of a daily one, and two hours to take it",
    ),
  retentionDays: z.int().min(1).max(3650).default(7).describe("days that backups must reach back"),
  schedule: z
    .string()
    .regex(/^([01]\d|2[0-3]):[0-5]\d$/, "expected HH:MM in UTC")
    .default("02:00")
    .meta({ description: "when the daily backup is taken, in UTC", allowed: "`HH:MM`" }),
  region: z.string().min(1).optional().meta({
    description: "where the project must be",
    allowed: "a region, such as `eu-central-1`",
    otherwise: "wherever it is",
  }),
  replicas: z.int().min(1).max(100).default(1).describe("healthy read replicas that there must be"),
  diskPercent: z.int().min(1).max(100).default(85).describe("percent of the disk that may be used"),
  restorePoint: z
    .boolean()
    .default(false)
    .describe("whether the gate asks Supabase for a restore point and waits for it; needs PITR"),
  restorePointSeconds: z
    .int()
    .min(1)
    .max(7200)
    .default(300)
    .describe("seconds to wait until the restore point is available"),
});

export type PlatformSettings = z.infer<typeof platformSettingsSchema>;

/** A text of the project's own for a notice. */
function template(placeholders: readonly string[]) {
  return z
    .string()
    .min(1)
    .max(2000)
    .superRefine((text, context) => {
      const unknown = unknownPlaceholder(text, placeholders);
      const known = placeholders.map((name) => `{${name}}`).join(", ");
      if (unknown !== undefined)
        context.addIssue({ code: "custom", message: `{${unknown}} is no placeholder of this text: expected ${known}` });
    });
}

const noticeNames = Object.keys(notices) as [NoticeName, ...NoticeName[]];
const pageNoticeNames = Object.keys(pageNotices) as [PageNoticeName, ...PageNoticeName[]];

const templatesShape = Object.fromEntries(
  noticeNames.map((name) => [
    name,
    template(notices[name])
      .optional()
      .meta({
        description: "what webhook and SNS are told in its place",
        allowed: `up to 2,000 characters, with ${notices[name].map((placeholder) => `\`{${placeholder}}\``).join(", ")}`,
        otherwise: "the line that the program says",
      }),
  ]),
) as Record<NoticeName, z.ZodOptional<z.ZodString>>;

const pageTextsShape = Object.fromEntries(
  pageNoticeNames.map((name) => [
    name,
    template(pagePlaceholders)
      .default(pageNotices[name].text)
      .meta({
        description: "what the public reads",
        allowed: `up to 2,000 characters, with ${pagePlaceholders.map((placeholder) => `\`{${placeholder}}\``).join(", ")}`,
      }),
  ]),
) as Record<PageNoticeName, z.ZodDefault<z.ZodString>>;

/** As Statuspage makes them: lower-case letters and digits. */
const statuspageId = z.string().regex(/^[a-z0-9]{6,32}$/, "expected an id of Statuspage, such as 2kcp5yj929dq");

const communicationSettingsSchema = z.strictObject({
  /** What may be named in braces: scripts/notices.ts. */
  templates: z.strictObject(templatesShape).prefault({}),
  /** The public status page at Atlassian's Statuspage; absent: none is told. */
  statusPage: z
    .strictObject({
      pageId: statuspageId.meta({
        description: "the public page that an incident moves on; needs `STATUSPAGE_API_KEY`",
        allowed: "an id of Statuspage",
      }),
      components: z.array(statuspageId).max(50).default([]).meta({
        description: "components that an incident affects",
        allowed: "ids of Statuspage, at most 50",
      }),
      affected: z
        .enum(["degraded_performance", "partial_outage", "major_outage"])
        .default("major_outage")
        .describe("what these are shown as until the data is verified"),
      name: z.string().min(1).max(255).default("A problem with our data").meta({
        description: "an incident's title there",
        allowed: "up to 255 characters",
      }),
      texts: z.strictObject(pageTextsShape).prefault({}),
      notifySubscribers: z
        .boolean()
        .default(true)
        .describe("whether those who subscribed to the page are told of each step"),
    })
    .optional(),
});

export type CommunicationSettings = z.infer<typeof communicationSettingsSchema>;
export type StatusPageSettings = NonNullable<CommunicationSettings["statusPage"]>;

const thresholdChangeSchema = z.strictObject({
  warn: z.number().nullable().optional().meta({
    description: "from here on `db:health` warns, and the signal's alarm tells; `null`: never",
    otherwise: "that of [monitoring.md](monitoring.md)",
  }),
  critical: z.number().nullable().optional().meta({
    description: "from here on it is critical: exit 1, and the alarm pages; `null`: never",
    otherwise: "that of [monitoring.md](monitoring.md)",
  }),
});

/** Empty objects stand for "all defaults", so that every consumer sees a complete document. */
export const operationSettingsSchema = z.strictObject({
  /** Per table (`schema.name`): what a release may do to its rows. */
  tables: z.record(z.string().regex(/^.+\..+$/, "expected schema.table"), tablePolicySchema).default({}),
  checks: z
    .string()
    .min(1)
    .default("checks")
    .meta({ description: "your data checks; `none` turns the strategy's off too", allowed: "a folder, `none`" }),
  environment: environmentSettingsSchema.prefault({}),
  platform: platformSettingsSchema.prefault({}),
  migrations: migrationsSettingsSchema.optional(),
  railway: releaseStepSchema.optional(),
  vercel: releaseStepSchema.optional(),
  health: healthSettingsSchema.prefault({}),
  integrationCommand: z
    .string()
    .min(1)
    .optional()
    .meta({ description: "your integration tests", allowed: "a shell command", otherwise: "none" }),
  verification: verificationSettingsSchema.prefault({}),
  gate: gateSettingsSchema.prefault({}),
  retention: retentionSettingsSchema.prefault({}),
  rollback: rollbackSettingsSchema.prefault({}),
  maintenance: maintenanceSettingsSchema.prefault({}),
  watch: watchSettingsSchema.prefault({}),
  drill: drillSettingsSchema.prefault({}),
  communication: communicationSettingsSchema.prefault({}),
  /** The live replica at `REPLICA_DATABASE_URL`; absent: there is none, and the gate asks for none. */
  replica: replicaSettingsSchema.optional(),
  rtoMinutes: z
    .int()
    .min(1)
    .max(10_080)
    .default(5)
    .describe("minutes that a restore may take; an expected RTO over it is a warning in receipt and `db:list`"),
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
  const read = (): string => (file === undefined ? (env["DBPROTECT_SETTINGS"] ?? "") : readFileSync(file, "utf8"));
  return readJson(operationSettingsSchema, read, source);
}

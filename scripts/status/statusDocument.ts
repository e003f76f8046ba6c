/** What `status` shows, as a document: where everything stands, and what of it needs somebody's attention. */
import { z } from "zod";
import { openIncidentSchema } from "../record/openIncidents";
import { retentionTiers } from "../store/layout";

const backupSchema = z.object({
  name: z.string(),
  tier: z.enum(retentionTiers),
  takenAt: z.iso.datetime(),
  ageSeconds: z.number(),
  /** The deepest verification that it passed; 0: none. */
  depth: z.int(),
  /** It may hold damage. */
  suspect: z.boolean(),
});

export type BackupState = z.infer<typeof backupSchema>;

const drillStateSchema = z.object({
  at: z.iso.datetime(),
  ageSeconds: z.number(),
  verdict: z.enum(["passed", "failed"]),
  rtoSeconds: z.number().nullable(),
  problem: z.string().nullable(),
});

const locationSchema = z.object({
  store: z.string(),
  /** Why it could not be read; null: it was. */
  problem: z.string().nullable(),
  backups: z.int(),
  /** Null: it holds none, or could not be read. */
  newest: backupSchema.nullable(),
  /** The newest that was restored and compared, and is not suspect. */
  newestVerified: backupSchema.nullable(),
  /** The last drill of this location, as far as a location that could be read knows of it. */
  lastDrill: drillStateSchema.nullable(),
});

export type LocationState = z.infer<typeof locationSchema>;

/** `not known`: it could not be looked at; `not configured`: nothing names it. */
const levelStateSchema = z.object({
  level: z.int().min(1).max(3),
  state: z.enum(["met", "unmet", "not known", "not configured"]),
  detail: z.string(),
});

export type LevelState = z.infer<typeof levelStateSchema>;

const controlStateSchema = z.object({
  freezes: z.array(
    z.object({
      kind: z.enum(["manual", "failed-verification"]),
      person: z.string().nullable(),
      reason: z.string(),
      at: z.iso.datetime(),
    }),
  ),
  /** Null: nobody holds it. */
  lease: z.object({ runId: z.string(), stack: z.string(), phase: z.string(), expiresAt: z.iso.datetime() }).nullable(),
  /** Null: no write fence is up, and nothing is changed on the platforms. */
  maintenance: z
    .object({
      ...{ state: z.enum(["raising", "on", "lifting", "off"]), roles: z.array(z.string()), raisedAt: z.iso.datetime() },
      /** Where users are told of it. */
      platforms: z.array(z.enum(["railway", "vercel"])),
    })
    .nullable(),
  openReceipts: z.array(z.object({ runId: z.string(), releaseVersion: z.string(), stack: z.string() })),
  /** Null: none is under way. */
  plannedRollback: z
    .object({
      ...{ id: z.string(), backup: z.string(), person: z.string(), startedAt: z.iso.datetime() },
      /** The first that is not done. */
      step: z.string(),
      /** Whether a run carries it out now. */
      running: z.boolean(),
    })
    .nullable(),
  incidents: z.array(openIncidentSchema),
});

export type ControlState = z.infer<typeof controlStateSchema>;

const alarmsSchema = z.object({
  /** `not configured`: no topic is named whose alarms could be asked for. */
  outcome: z.enum(["read", "not known", "not configured"]),
  /** Why they are not known. */
  problem: z.string().nullable(),
  alarms: z.array(z.object({ name: z.string(), state: z.string(), reason: z.string() })),
});

export type AlarmsState = z.infer<typeof alarmsSchema>;

export const statusSchema = z.object({
  schemaVersion: z.literal(1),
  /** `unreachable`: no location could be read. */
  verdict: z.enum(["healthy", "attention", "unreachable"]),
  at: z.iso.datetime(),
  seconds: z.number(),
  /** A line for each thing that somebody should look at. */
  attention: z.array(z.string()),
  levels: z.array(levelStateSchema).length(3),
  locations: z.array(locationSchema).min(1),
  /** Null: the first location, which alone knows, could not be read. */
  control: controlStateSchema.nullable(),
  alarms: alarmsSchema,
  links: z.array(z.object({ name: z.string(), url: z.string() })),
});

export type Status = z.infer<typeof statusSchema>;

/** What an assessment finds, as a document: the damage, the last good state, and every way back with what it costs. */
import { z } from "zod";
import { databaseIdentitySchema } from "../database/identity";
import { tableImpactSchema } from "../record/incident";
import { retentionTiers } from "../store/layout";

/** The ladder, mildest first. */
export const rungs = ["deploy:rollback", "db:repair", "db:emergency-restore", "point-in-time recovery"] as const;
export type Rung = (typeof rungs)[number];

const momentSchema = z.iso.datetime().nullable();

const damagedTableSchema = tableImpactSchema.extend({
  /** The damage was not there before `notBefore`, and was there at `notAfter`: as backups and verifications prove it. */
  since: z.object({ notBefore: momentSchema, notAfter: momentSchema }),
  /** False: the table or columns of it are gone, so that its rows cannot be put back one by one. */
  repairable: z.boolean(),
  /** Columns whose values differ, with the number of rows; empty: not looked at, or none does. */
  columns: z.array(z.object({ column: z.string(), rows: z.int() })),
});

export type DamagedTable = z.infer<typeof damagedTableSchema>;

const ladderRungSchema = z.object({
  rung: z.enum(rungs),
  /** To be run as it stands; null: not by this program. */
  command: z.string().nullable(),
  possible: z.boolean(),
  /** Why it is not, or what it does. */
  detail: z.string(),
  /** Null: never measured. */
  expectedSeconds: z.number().nullable(),
  /** What that number comes from. */
  basis: z.string(),
  /** Seconds of writes that it gives up; null: not known. */
  lossSeconds: z.number().nullable(),
  /** Whether it fits into the strategy's 5 to 30 minutes; null: not known. */
  withinStrategy: z.boolean().nullable(),
});

export type LadderRung = z.infer<typeof ladderRungSchema>;

const backupSchema = z.object({
  tier: z.enum(retentionTiers),
  name: z.string(),
  takenAt: z.iso.datetime(),
  depth: z.int(),
});

export type AssessedBackup = z.infer<typeof backupSchema>;

export const assessmentSchema = z.object({
  schemaVersion: z.literal(1),
  /** `unreachable`: nothing can be told of the data. */
  verdict: z.enum(["intact", "damaged", "unreachable"]),
  at: z.iso.datetime(),
  seconds: z.number(),
  database: z.object({
    /** `gone`: the server answers and has no database of this name. */
    state: z.enum(["reachable", "gone", "unreachable"]),
    identity: databaseIdentitySchema.nullable(),
    detail: z.string(),
  }),
  /** The last release that was verified; null: none was. */
  knownGood: z.object({ runId: z.string(), releaseVersion: z.string(), at: z.iso.datetime() }).nullable(),
  /** The newest backup that holds all that is missing: what to repair and restore from. Null: there is none. */
  lastGood: backupSchema.nullable(),
  /** A receipt whose gate took that backup: what `db:repair` goes by. Null: none, it goes by the backup. */
  receipt: z.string().nullable(),
  /** Seconds from that backup to now: what a restore of all of it gives up. */
  lossWindowSeconds: z.number().nullable(),
  /** What was compared with, oldest first. */
  compared: z.array(backupSchema.extend({ verdict: z.enum(["pass", "fail"]), seconds: z.number() })),
  tables: z.array(damagedTableSchema),
  /** Losses beyond rows: sequences, definitions. */
  definitions: z.array(z.string()),
  dataChecks: z.object({ verdict: z.enum(["pass", "halt"]), summary: z.string() }).nullable(),
  health: z.object({ outcome: z.enum(["pass", "fail", "not configured"]), failing: z.array(z.string()) }),
  ladder: z.array(ladderRungSchema),
  recommendation: z.object({ rung: z.enum(rungs).nullable(), command: z.string().nullable(), reason: z.string() }),
  notVerified: z.array(z.string()),
  /** What the comparison saw of the live database, its `pg_current_snapshot()`; null: nothing was compared. */
  visibility: z.string().nullable(),
});

export type Assessment = z.infer<typeof assessmentSchema>;

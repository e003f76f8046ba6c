/**
 * The receipt: what the gate found, written once. Its SHA-256 is what the gate's Command outputs and what
 * the lease names; whoever acts on a receipt checks it again.
 */
import { z } from "zod";
import { Damage } from "../contract/failure";
import { databaseIdentitySchema } from "../database/identity";
import { scratchPlaceSchema } from "../scratch/scratchServer";
import { endpointBaselineSchema } from "./healthBaseline";
import { operationSettingsSchema, overrideSchema } from "../settings";
import { receiptKey, receiptsPrefix, retentionTiers } from "../store/layout";
import { NotFound, type Store, readBytes } from "../store/store";
import { decodeDocument, encodeDocument, sha256Of } from "../store/documents";
import { identityOf } from "./releaseEvents";
import { trialSchema } from "./trial";

const stepReportSchema = z.object({
  step: z.string(),
  outcome: z.enum(["pass", "halt", "skipped", "overridden"]),
  seconds: z.number(),
  /** One line that says what was found. */
  summary: z.string(),
  evidence: z.array(z.string()),
});

export type StepReport = z.infer<typeof stepReportSchema>;

/** What was live before the release, and whether it can be gone back to. */
const rollbackTargetSchema = z.object({
  deploymentId: z.string(),
  /** As the platform calls it. */
  status: z.string(),
  createdAt: z.string(),
  possible: z.boolean(),
});

export type RollbackTarget = z.infer<typeof rollbackTargetSchema>;

/** Null: not configured, or nothing was live, or it could not be asked. */
const rollbackTargetsSchema = z.object({
  railway: rollbackTargetSchema.nullable(),
  vercel: rollbackTargetSchema.nullable(),
});

export type RollbackTargets = z.infer<typeof rollbackTargetsSchema>;

export const receiptSchema = z.object({
  schemaVersion: z.literal(1),
  runId: z.string(),
  releaseVersion: z.string(),
  stack: z.string(),
  database: databaseIdentitySchema,
  backup: z.object({
    tier: z.enum(retentionTiers),
    name: z.string(),
    depth: z.int(),
    /** Measured seconds to a restored and compared copy; null when the depth was below 4. */
    restoreSeconds: z.number().nullable(),
    /** Seconds of writes before the gate that a reused backup lacks; null: it is the gate's own. */
    rpoSeconds: z.number().nullable().default(null),
  }),
  /** How long a restore of this database will take; null: none was ever measured. */
  expectedRto: z.object({ seconds: z.number(), restores: z.int() }).nullable().default(null),
  /** Where the restored copy is; null: it has to be restored again from the backup. */
  scratch: scratchPlaceSchema.nullable(),
  /** The pending migrations as the gate judged them: a release applies these and nothing else. */
  migrations: z.array(
    z.object({
      file: z.string(),
      sha256: z.string(),
      /** What the judge said of it: only reported, or refused and overridden. It explains what the release took away. */
      findings: z.array(z.object({ rule: z.string(), reason: z.string() })).default([]),
    }),
  ),
  /** What running them on the restored copy did; null: it was not tried, and the step `trial` says why. */
  trial: trialSchema.nullable().default(null),
  /** The platform's restore point of just before the release; null: none was asked for. */
  restorePoint: z.object({ name: z.string(), completedOn: z.string().nullable() }).nullable().default(null),
  /** What a point-in-time recovery to just before the release would aim at. */
  recoveryPoint: z.object({ lsn: z.string(), utc: z.iso.datetime() }),
  /** The production deployments of before the release. */
  rollback: rollbackTargetsSchema.default({ railway: null, vercel: null }),
  /** How the application answered before the release; empty: it was not asked. */
  baseline: z.array(endpointBaselineSchema).default([]),
  steps: z.array(stepReportSchema),
  /** What does not stop the gate: an optional store that was lost, an expected RTO over its target. */
  warnings: z.array(z.string()).default([]),
  overrides: z.array(overrideSchema),
  /** The settings that the release and its verification follow; they hold no secret. */
  settings: operationSettingsSchema,
  addresses: z.object({ appUrl: z.string().nullable(), frontendUrl: z.string().nullable() }),
  at: z.iso.datetime(),
});

export type Receipt = z.infer<typeof receiptSchema>;

/** @returns the SHA-256 of the stored bytes. */
export async function writeReceipt(store: Store, receipt: Receipt): Promise<string> {
  const bytes = encodeDocument(receipt);
  await store.create(receiptKey(receipt.runId), bytes);
  return sha256Of(bytes);
}

/**
 * @param sha256 what the receipt must hash to; absent only for a receipt that no lease and no event names.
 * @throws Damage when the stored receipt is another one, or gone.
 */
export async function readReceipt(store: Store, runId: string, sha256?: string): Promise<Receipt> {
  const key = receiptKey(runId);
  const bytes = await readBytes(store, key).catch((error: unknown) => {
    if (error instanceof NotFound) throw new Damage(`${store.url}/${key} is missing`, { cause: error });
    throw error;
  });
  if (sha256 !== undefined && sha256Of(bytes) !== sha256) {
    throw new Damage(`${store.url}/${key} is not the receipt that the gate wrote (its SHA-256 differs)`);
  }
  return decodeDocument(receiptSchema, bytes, `${store.url}/${key}`);
}

/** A receipt together with what it hashes to. */
export interface TrustedReceipt {
  readonly receipt: Receipt;
  readonly receiptSha256: string;
}

/**
 * A receipt as its events know it: by the hash that the gate recorded when it passed.
 *
 * @throws Damage when the stored receipt is another one. One without events was written by a gate that released
 *   nothing; there is no record to hold it against.
 */
export async function readTrustedReceipt(store: Store, runId: string): Promise<TrustedReceipt> {
  const known = await identityOf(store, runId);
  const receipt = await readReceipt(store, runId, known?.receiptSha256);
  return { receipt, receiptSha256: known?.receiptSha256 ?? sha256Of(encodeDocument(receipt)) };
}

/** Run ids of all receipts, oldest first: a run id starts with its UTC time. */
export async function listReceipts(store: Store): Promise<string[]> {
  return (await store.list(receiptsPrefix)).map(({ key }) => key.slice(receiptsPrefix.length).replace(/\.json$/, ""));
}

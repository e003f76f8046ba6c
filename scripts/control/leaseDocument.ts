/**
 * The lease as it is stored, and every decision about it as a pure function: whoever wants to change it reads
 * the document, asks here what it may become, and swaps.
 *
 * Expiry compares the holder's clock with the reader's. A gating holder renews after a third of its time, so a
 * live one is never taken for dead while the clocks of the two hosts differ by less than two thirds of it
 * (a minute, by default).
 */
import { z } from "zod";
import { currentProcess, fateOf } from "../process/processIdentity";

const leaseHolderSchema = z.object({
  /** `project/stack`, or who runs the gate by hand. */
  stack: z.string().min(1),
  runId: z.string().min(1),
  /** The process that took the lease; see `process/processIdentity.ts`. */
  host: z.string(),
  pid: z.int().positive(),
  processStart: z.string(),
});

export type LeaseHolder = z.infer<typeof leaseHolderSchema>;

export const leaseSchema = z.object({
  schemaVersion: z.literal(1),
  /** Fencing token: one more at every taking, over all leases that ever were. */
  token: z.int().positive(),
  /** `gating`: a gate runs; `passed`: its release may run; `released`: free, kept for the token's sake. */
  phase: z.enum(["gating", "passed", "released"]),
  holder: leaseHolderSchema,
  takenAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  receiptSha256: z.string().nullable(),
  releaseVersion: z.string().nullable(),
});

export type LeaseDocument = z.infer<typeof leaseSchema>;

/** What the lease names once its gate passed: the only receipt that releases accept. */
export interface CurrentReceipt {
  readonly runId: string;
  readonly sha256: string;
  readonly releaseVersion: string;
  readonly token: number;
}

export function thisHolder(stack: string, runId: string): LeaseHolder {
  return { stack, runId, ...currentProcess() };
}

/** Whether `holder` may take the lease now, and why. */
export type LeaseClaim =
  { readonly may: true; readonly because: "free" | "expired" | "holder gone" | "same stack" } | { readonly may: false };

/**
 * A passed lease goes to another run of the same stack at once: that stack's own lock (Pulumi runs one update of
 * a stack at a time) proves that the former run has ended. Without such a lock (`takeOver: false`, a gate by hand)
 * and for another stack it has to expire.
 */
export function claimOf(
  current: LeaseDocument | undefined,
  holder: LeaseHolder,
  now: Date,
  options: { readonly takeOver?: boolean; readonly fate?: typeof fateOf } = {},
): LeaseClaim {
  const { takeOver = true, fate = fateOf } = options;
  if (current === undefined || current.phase === "released") return { may: true, because: "free" };
  if (isExpired(current, now)) return { may: true, because: "expired" };
  if (current.phase === "passed")
    return takeOver && current.holder.stack === holder.stack ? { may: true, because: "same stack" } : { may: false };
  return fate(current.holder) === "gone" ? { may: true, because: "holder gone" } : { may: false };
}

export function taken(
  current: LeaseDocument | undefined,
  holder: LeaseHolder,
  now: Date,
  ttlSeconds: number,
): LeaseDocument {
  return {
    schemaVersion: 1,
    token: (current?.token ?? 0) + 1,
    phase: "gating",
    holder,
    takenAt: now.toISOString(),
    expiresAt: later(now, ttlSeconds),
    receiptSha256: null,
    releaseVersion: null,
  };
}

/** Never brings the end nearer. */
export function extended(current: LeaseDocument, now: Date, seconds: number): LeaseDocument {
  const expiresAt = later(now, seconds);
  return expiresAt > current.expiresAt ? { ...current, expiresAt } : current;
}

export function passed(
  current: LeaseDocument,
  receipt: { readonly receiptSha256: string; readonly releaseVersion: string },
  now: Date,
  holdSeconds: number,
): LeaseDocument {
  const { receiptSha256, releaseVersion } = receipt;
  return { ...current, phase: "passed", receiptSha256, releaseVersion, expiresAt: later(now, holdSeconds) };
}

export function released(current: LeaseDocument, now: Date): LeaseDocument {
  return { ...current, phase: "released", expiresAt: now.toISOString() };
}

export function isExpired(lease: LeaseDocument, now: Date): boolean {
  return Date.parse(lease.expiresAt) <= now.getTime();
}

/** The receipt of a lease whose gate passed and that nobody else may take yet. */
export function currentReceipt(lease: LeaseDocument | undefined, now: Date = new Date()): CurrentReceipt | undefined {
  if (lease?.phase !== "passed" || isExpired(lease, now)) return undefined;
  if (lease.receiptSha256 === null || lease.releaseVersion === null) return undefined;
  const { token, receiptSha256: sha256, releaseVersion } = lease;
  return { runId: lease.holder.runId, sha256, releaseVersion, token };
}

/** `run R of crm/prod (gate running, process 42 on host) since …, until … unless renewed`. */
export function describeHolder({ phase, holder, takenAt, expiresAt }: LeaseDocument): string {
  const doing = phase === "gating" ? `gate running, process ${holder.pid} on ${holder.host}` : "gate passed, releasing";
  const until = phase === "gating" ? `${expiresAt} unless renewed` : expiresAt;
  return `run ${holder.runId} of ${holder.stack} (${doing}) since ${takenAt}, until ${until}`;
}

function later(time: Date, seconds: number): string {
  return new Date(time.getTime() + seconds * 1000).toISOString();
}

/** What a verification found, as a document of the store. */
import { z } from "zod";

export const depthSchema = z.union([z.literal(1), z.literal(2), z.literal(3), z.literal(4), z.literal(5)]);
export type Depth = z.infer<typeof depthSchema>;

/** `verifications/<name>/<utc>-depth<N>.json`; only written when the depth was reached. */
export const verificationResultSchema = z.object({
  schemaVersion: z.literal(1),
  backup: z.string(),
  depth: depthSchema,
  verdict: z.literal("verified").or(z.literal("read")),
  /** Seconds from an empty server to a compared copy: the measured part of the RTO. Null below depth 4. */
  restoreSeconds: z.number().nullable(),
  tables: z.int(),
  rows: z.int(),
  notes: z.array(z.string()),
  /** Address of the location whose bytes were read; null: of an earlier version, or another one stood in for some. */
  store: z.string().nullable().default(null),
  /** SHA-256 of the manifest's bytes, which name that of every object; null: of an earlier version. */
  manifestSha256: z.string().nullable().default(null),
  at: z.iso.datetime(),
});

export type VerificationResult = z.infer<typeof verificationResultSchema>;

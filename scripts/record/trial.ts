/** What a trial of the pending migrations on the restored copy found, as the receipt keeps it. */
import { z } from "zod";

export const trialSchema = z.object({
  /** Those that ran to their end, in order. */
  files: z.array(z.object({ file: z.string(), milliseconds: z.int() })),
  /** Per table the strongest lock that any file held, and the longest time that it was held without a break. */
  locks: z.array(z.object({ table: z.string(), mode: z.string(), milliseconds: z.int() })),
  /** What was lost, or could not be tried. An override names it by `trial:<id>`. Empty: the trial passed. */
  findings: z.array(z.object({ id: z.string(), message: z.string() })),
  /** Losses of the definitions that the static judge tells of, with file and rule. */
  explained: z.array(z.string()),
  /** Every definition that was added, removed or changed. */
  definitions: z.array(z.string()),
});

export type Trial = z.infer<typeof trialSchema>;

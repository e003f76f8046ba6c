/** What `npm run bench:emergency` measured: read from the file that is committed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { emergencySteps, waysBack } from "../../scripts/control/emergency";
import { machineSchema } from "./machine";

export const measurementsFile = join(__dirname, "emergency.json");

const runSchema = z.object({
  way: z.enum(waysBack),
  /** SQL. */
  damage: z.string(),
  steps: z.array(z.object({ step: z.enum(emergencySteps), seconds: z.number() })).length(emergencySteps.length),
});

const measurementsSchema = z.object({
  schemaVersion: z.literal(1),
  at: z.iso.datetime(),
  machine: machineSchema,
  postgres: z.string(),
  node: z.string(),
  /** Of the database. */
  bytes: z.number(),
  rows: z.number(),
  runs: z.array(runSchema).min(1),
});

export type MeasuredRun = z.infer<typeof runSchema>;
export type Measurements = z.infer<typeof measurementsSchema>;

/** @throws when the file is not there, or of another form: measure anew. */
export function readMeasurements(): Measurements {
  return measurementsSchema.parse(JSON.parse(readFileSync(measurementsFile, "utf8")));
}

/** How far an emergency is, and what was decided, so that a run that was killed is gone on with at the step that it did not finish. */
import { z } from "zod";
import { Unavailable } from "../contract/failure";
import { emergencyKey, retentionTiers } from "../store/layout";
import type { Store } from "../store/store";
import { readControl } from "./controlDocument";
import { type SteppedTurn, demandFree, freshStepsOf, stepFacts, takeSteppedTurn } from "./steppedTurn";
import { type TurnDocument, describeTurn, turnSchema } from "./turn";

/** In this order, each named like the command that does the same by itself; `recover` is the way back that was chosen. */
export const emergencySteps = [
  "deploy:freeze",
  "db:assess",
  "db:backup",
  "recover",
  "db:emergency-verify",
  "test:emergency",
  "deploy:unfreeze",
] as const;

export type EmergencyStep = (typeof emergencySteps)[number];

/** `nothing`: what was found needs no way back; it is verified all the same. */
export const waysBack = ["deploy:rollback", "db:repair", "db:emergency-restore", "nothing"] as const;
export type WayBack = (typeof waysBack)[number];

const choiceSchema = z.object({
  way: z.enum(waysBack),
  /** What is repaired or restored from, and what the result is compared with; null: no backup could be compared with. */
  backup: z.object({ tier: z.enum(retentionTiers), name: z.string() }).nullable(),
  /** The receipt whose gate took it; null: none. */
  receipt: z.string().nullable(),
  /** Columns that get their former values: `<schema>.<table>:<column>,…`. */
  columns: z.array(z.string()),
  inPlace: z.boolean(),
  /** A backup of the damaged state that is to be enough; null: one is taken. */
  safetyBackup: z.string().nullable(),
  acceptMissing: z.boolean(),
  unfreeze: z.boolean(),
  /** Whether there is a database at all. */
  gone: z.boolean(),
  /** What the assessment saw of it (`pg_snapshot`): values changed later are nobody's damage. */
  boundary: z.string().nullable(),
});

export type EmergencyChoice = z.infer<typeof choiceSchema>;

const emergencySchema = z.object({
  schemaVersion: z.literal(1),
  /** Run id of the run that began it. */
  id: z.string(),
  state: z.enum(["under way", "done", "abandoned"]),
  person: z.string(),
  reason: z.string(),
  startedAt: z.iso.datetime(),
  incident: z.string().nullable(),
  /** Null: not decided yet. */
  choice: choiceSchema.nullable(),
  /** The backup of the damaged state; null: none yet, or none is needed. */
  damaged: z.string().nullable(),
  steps: z.array(z.object({ step: z.enum(emergencySteps), ...stepFacts })).length(emergencySteps.length),
  turn: turnSchema.nullable(),
});

export type Emergency = z.infer<typeof emergencySchema>;
export type EmergencyTurn = SteppedTurn<EmergencyStep, Emergency>;

/** Undefined: there never was one. */
export async function readEmergency(store: Store): Promise<Emergency | undefined> {
  return (await readControl(store, emergencyKey, emergencySchema))?.document;
}

/** A new one, nothing of it begun. */
export function freshEmergency(facts: Pick<Emergency, "id" | "person" | "reason">): Omit<Emergency, "turn"> {
  return {
    ...{ schemaVersion: 1, ...facts, state: "under way", startedAt: new Date().toISOString() },
    ...{ incident: null, choice: null, damaged: null, steps: freshStepsOf(emergencySteps) },
  };
}

const turnDocument: TurnDocument<typeof emergencySchema> = {
  ...{ key: emergencyKey, schema: emergencySchema },
  busy: (turn) =>
    new Unavailable(`an emergency is being carried out: ${describeTurn(turn)}`, {
      hint: `wait for it; if it does not live any more, it counts as given up at ${turn.expiresAt}`,
    }),
  lost: () => new Unavailable("another run took the emergency over: this one took too long", { hint: "run again" }),
};

/** @throws Unavailable when a run carries one out. */
export function demandFreeEmergency(current: Emergency | undefined, now: Date): void {
  demandFree(turnDocument, current, now);
}

/** @throws Unavailable when another run carries it out. */
export function takeEmergencyTurn(
  store: Store,
  runId: string,
  open: (current: Emergency | undefined) => Omit<Emergency, "turn">,
): Promise<EmergencyTurn> {
  return takeSteppedTurn<EmergencyStep, Emergency>(store, turnDocument, runId, open);
}

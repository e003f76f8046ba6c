/**
 * How far a planned rollback is, so that a run that was killed is gone on with at the step that it did not finish, on any
 * machine, towards the same backup and deployments. One run at a time has the turn and renews it while it lives.
 */
import { z } from "zod";
import { Unavailable } from "../contract/failure";
import { databaseIdentitySchema } from "../database/identity";
import { plannedRollbackKey, retentionTiers } from "../store/layout";
import type { Store } from "../store/store";
import { readControl } from "./controlDocument";
import { type SteppedTurn, demandFree, firstOpen, freshStepsOf, stepFacts, takeSteppedTurn } from "./steppedTurn";
import { type TurnDocument, describeTurn, turnSchema } from "./turn";

/** In this order, each as the command that does the same by itself. */
export const plannedSteps = [
  "deploy:maintenance on",
  "db:restore",
  "deploy:rollback",
  "db:verify:rollback",
  "deploy:maintenance off",
] as const;

export type PlannedStep = (typeof plannedSteps)[number];

const stepSchema = z.object({ step: z.enum(plannedSteps), ...stepFacts });

const plannedRollbackSchema = z.object({
  schemaVersion: z.literal(1),
  /** Run id of the run that began it. */
  id: z.string(),
  state: z.enum(["under way", "done", "abandoned"]),
  person: z.string(),
  startedAt: z.iso.datetime(),
  database: databaseIdentitySchema,
  /** Of the release that is undone; null: none is recorded. */
  receipt: z.string().nullable(),
  backup: z.object({ tier: z.enum(retentionTiers), name: z.string() }),
  mode: z.enum(["swap", "in-place"]),
  /** A backup that a person named as enough; null: one is taken of what is live. */
  safetyBackup: z.string().nullable(),
  /** The deployments to go back to, by platform. */
  deployments: z.object({ railway: z.string().optional(), vercel: z.string().optional() }),
  /**
   * When the write fence was raised under which the last attempt to restore began, and which attempt was the first under
   * it: another time means that it was down meanwhile.
   */
  fence: z.object({ raisedAt: z.iso.datetime(), sinceAttempt: z.int() }).nullable(),
  steps: z.array(stepSchema).length(plannedSteps.length),
  /** Who carries it out now; null: nobody. */
  turn: turnSchema.nullable(),
});

export type PlannedRollback = z.infer<typeof plannedRollbackSchema>;

/** Undefined: there never was one. */
export async function readPlannedRollback(store: Store): Promise<PlannedRollback | undefined> {
  return (await readControl(store, plannedRollbackKey, plannedRollbackSchema))?.document;
}

export function isUnderWay(document: PlannedRollback | undefined): document is PlannedRollback {
  return document?.state === "under way";
}

/** The first step that is not done; undefined: all are. */
export function nextStep(document: PlannedRollback): PlannedStep | undefined {
  return firstOpen(document);
}

export function freshSteps(): PlannedRollback["steps"] {
  return freshStepsOf(plannedSteps);
}

export type PlannedTurn = SteppedTurn<PlannedStep, PlannedRollback>;

const turnDocument: TurnDocument<typeof plannedRollbackSchema> = {
  ...{ key: plannedRollbackKey, schema: plannedRollbackSchema },
  busy: (turn) =>
    new Unavailable(`a planned rollback is being carried out: ${describeTurn(turn)}`, {
      hint: `wait for it; if it does not live any more, it counts as given up at ${turn.expiresAt}`,
    }),
  lost: () =>
    new Unavailable("another run took the planned rollback over: this one took too long", { hint: "run again" }),
};

/**
 * @param open makes what the turn begins with; `current` is what is there. It may be called several times.
 * @throws Unavailable when another run carries it out.
 */
export function takePlannedTurn(
  store: Store,
  runId: string,
  open: (current: PlannedRollback | undefined) => Omit<PlannedRollback, "turn">,
): Promise<PlannedTurn> {
  return takeSteppedTurn<PlannedStep, PlannedRollback>(store, turnDocument, runId, open);
}

/** @throws Unavailable when another run carries it out. */
export function demandFreeTurn(current: PlannedRollback | undefined, now: Date): void {
  demandFree(turnDocument, current, now);
}

/**
 * How far a planned rollback is, so that a run that was killed is gone on with at the step that it did not finish, on any
 * machine, towards the same backup and deployments. One run at a time has the turn and renews it while it lives.
 */
import { z } from "zod";
import { type Failure, Unavailable } from "../contract/failure";
import { databaseIdentitySchema } from "../database/identity";
import { plannedRollbackKey, retentionTiers } from "../store/layout";
import type { Store } from "../store/store";
import { readControl } from "./controlDocument";
import { type TurnDocument, changeInTurn, describeTurn, heldTurn, newTurn, takeTurn, turnSchema } from "./turn";

/** In this order, each as the command that does the same by itself. */
export const plannedSteps = [
  "deploy:maintenance on",
  "db:restore",
  "deploy:rollback",
  "db:verify:rollback",
  "deploy:maintenance off",
] as const;

export type PlannedStep = (typeof plannedSteps)[number];

const stepSchema = z.object({
  step: z.enum(plannedSteps),
  state: z.enum(["open", "begun", "done"]),
  /** How often it was begun. */
  attempts: z.int().min(0),
  /** Of the attempt that finished it; null: none did. */
  seconds: z.number().nullable(),
  doneAt: z.iso.datetime().nullable(),
  /** What it found; empty: it is not done. */
  detail: z.string(),
});

export const plannedRollbackSchema = z.object({
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
export function nextStep({ steps }: PlannedRollback): PlannedStep | undefined {
  return steps.find(({ state }) => state !== "done")?.step;
}

export function freshSteps(): PlannedRollback["steps"] {
  return plannedSteps.map((step) => ({
    ...{ step, state: "open", attempts: 0 },
    ...{ seconds: null, doneAt: null, detail: "" },
  }));
}

export interface PlannedTurn {
  /** As it was when it was last read or written. */
  readonly document: PlannedRollback;
  /** Aborted, with an Unavailable as its reason, when another run took over. */
  readonly lost: AbortSignal;
  /** @returns how often the step was begun, this time included. */
  begin(step: PlannedStep): Promise<number>;
  done(step: PlannedStep, seconds: number, detail: string): Promise<void>;
  noteFence(fence: PlannedRollback["fence"]): Promise<void>;
  /** Lets the next one begin. What is not done stays under way. */
  end(state?: "done" | "abandoned"): Promise<void>;
}

/** Seconds after which a run on another machine counts as given up that did not renew its turn. */
const turnSeconds = 90;

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
export async function takePlannedTurn(
  store: Store,
  runId: string,
  open: (current: PlannedRollback | undefined) => Omit<PlannedRollback, "turn">,
): Promise<PlannedTurn> {
  const taking = { runId, seconds: turnSeconds };
  const taken = await takeTurn(store, turnDocument, taking, (current, turn) => ({ ...open(current), turn }));
  return new HeldPlannedTurn(store, runId, taken);
}

/** @throws Unavailable when another run carries it out. */
export function demandFreeTurn(current: PlannedRollback | undefined, now: Date): void {
  const turn = heldTurn(current, now);
  if (current !== undefined && turn !== null) throw turnDocument.busy(turn, current);
}

class HeldPlannedTurn implements PlannedTurn {
  readonly #loss = new AbortController();
  readonly lost = this.#loss.signal;
  readonly #timer: NodeJS.Timeout;
  #document: PlannedRollback;

  constructor(
    private readonly store: Store,
    private readonly runId: string,
    taken: PlannedRollback,
  ) {
    this.#document = taken;
    this.#timer = setInterval(() => void this.#renew(), (turnSeconds / 3) * 1000).unref();
  }

  get document(): PlannedRollback {
    return this.#document;
  }

  async begin(step: PlannedStep): Promise<number> {
    await this.#changeStep(step, (is) => ({ ...is, state: "begun", attempts: is.attempts + 1 }));
    return this.#document.steps.find((is) => is.step === step)!.attempts;
  }

  async done(step: PlannedStep, seconds: number, detail: string): Promise<void> {
    const doneAt = new Date().toISOString();
    await this.#changeStep(step, (is) => ({ ...is, state: "done", seconds, doneAt, detail }));
  }

  noteFence(fence: PlannedRollback["fence"]): Promise<void> {
    return this.#change((current) => ({ ...current, fence }));
  }

  async end(state?: "done" | "abandoned"): Promise<void> {
    clearInterval(this.#timer);
    if (this.lost.aborted) return;
    await this.#change((current) => ({ ...current, state: state ?? current.state, turn: null }));
  }

  #changeStep(
    step: PlannedStep,
    next: (is: PlannedRollback["steps"][number]) => PlannedRollback["steps"][number],
  ): Promise<void> {
    return this.#change((current) => ({
      ...current,
      steps: current.steps.map((is) => (is.step === step ? next(is) : is)),
    }));
  }

  /** What goes wrong for a passing reason is tried again before the turn is over; past that, the next change tells. */
  async #renew(): Promise<void> {
    await this.#change((current) => current).catch((error: unknown) => {
      if (error === this.lost.reason) clearInterval(this.#timer);
    });
  }

  async #change(next: (current: PlannedRollback) => PlannedRollback): Promise<void> {
    const lossy = { ...turnDocument, lost: () => this.#lose() };
    await changeInTurn(this.store, lossy, this.runId, (current) => {
      const changed = next(current);
      this.#document =
        changed.turn === null ? changed : { ...changed, turn: newTurn(this.runId, turnSeconds, new Date()) };
      return this.#document;
    });
  }

  #lose(): Failure {
    this.#loss.abort(turnDocument.lost());
    return this.lost.reason as Failure;
  }
}

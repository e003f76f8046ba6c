/**
 * A control document of steps that are carried out in order, so that a run that was killed is gone on with at the step that
 * it did not finish, on any machine. One run at a time has the turn and renews it while it lives.
 */
import { z } from "zod";
import type { Failure } from "../contract/failure";
import type { Store } from "../store/store";
import { type Turn, type TurnDocument, changeInTurn, heldTurn, newTurn, takeTurn } from "./turn";

/** What is known of each step, besides its name. */
export const stepFacts = {
  state: z.enum(["open", "begun", "done"]),
  /** How often it was begun. */
  attempts: z.int().min(0),
  /** Of the attempt that finished it; null: none did. */
  seconds: z.number().nullable(),
  doneAt: z.iso.datetime().nullable(),
  /** What it found; empty: it is not done. */
  detail: z.string(),
};

export interface SteppedDocument<Step extends string> {
  readonly state: "under way" | "done" | "abandoned";
  readonly steps: readonly ({ readonly step: Step } & z.output<z.ZodObject<typeof stepFacts>>)[];
  /** Who carries it out now; null: nobody. */
  readonly turn: Turn | null;
}

/** Steps of which none was begun. */
export function freshStepsOf<Step extends string>(names: readonly Step[]) {
  return names.map((step) => ({
    ...{ step, state: "open" as const, attempts: 0 },
    ...{ seconds: null, doneAt: null, detail: "" },
  }));
}

/** The first step that is not done; undefined: all are. */
export function firstOpen<Step extends string>({ steps }: Pick<SteppedDocument<Step>, "steps">): Step | undefined {
  return steps.find(({ state }) => state !== "done")?.step;
}

/** Seconds after which a run on another machine counts as given up that did not renew its turn. */
const turnSeconds = 90;

/** @throws what `busy` of the kind makes when another run carries it out. */
export function demandFree<D extends SteppedDocument<string>>(
  kind: TurnDocument<z.ZodType<D>>,
  current: D | undefined,
  now: Date,
): void {
  const turn = heldTurn(current, now);
  if (current !== undefined && turn !== null) throw kind.busy(turn, current);
}

/**
 * @param open makes what the turn begins with; `current` is what is there. It may be called several times.
 * @throws what `busy` of the kind makes when another run carries it out.
 */
export async function takeSteppedTurn<Step extends string, D extends SteppedDocument<Step>>(
  store: Store,
  kind: TurnDocument<z.ZodType<D>>,
  runId: string,
  open: (current: D | undefined) => Omit<D, "turn">,
): Promise<SteppedTurn<Step, D>> {
  const taking = { runId, seconds: turnSeconds };
  const taken = await takeTurn(store, kind, taking, (current, turn) => ({ ...open(current), turn }) as D);
  return new SteppedTurn<Step, D>(store, kind, runId, taken);
}

export class SteppedTurn<Step extends string, D extends SteppedDocument<Step>> {
  readonly #loss = new AbortController();
  /** Aborted, with a Failure as its reason, when another run took over. */
  readonly lost = this.#loss.signal;
  readonly #timer: NodeJS.Timeout;
  #document: D;

  constructor(
    private readonly store: Store,
    private readonly kind: TurnDocument<z.ZodType<D>>,
    private readonly runId: string,
    taken: D,
  ) {
    this.#document = taken;
    this.#timer = setInterval(() => void this.#renew(), (turnSeconds / 3) * 1000).unref();
  }

  /** As it was when it was last read or written. */
  get document(): D {
    return this.#document;
  }

  isDone(step: Step): boolean {
    return this.#document.steps.some((is) => is.step === step && is.state === "done");
  }

  /** @returns how often the step was begun, this time included. */
  async begin(step: Step): Promise<number> {
    await this.#changeStep(step, (is) => ({ ...is, state: "begun", attempts: is.attempts + 1 }));
    return this.#document.steps.find((is) => is.step === step)!.attempts;
  }

  async done(step: Step, seconds: number, detail: string): Promise<void> {
    const doneAt = new Date().toISOString();
    await this.#changeStep(step, (is) => ({ ...is, state: "done", seconds, doneAt, detail }));
  }

  /** Anything but steps and turn. */
  note(facts: Partial<Omit<D, "steps" | "turn" | "state">>): Promise<void> {
    return this.#change((current) => ({ ...current, ...facts }));
  }

  /** Lets the next one begin. What is not done stays under way. */
  async end(state?: "done" | "abandoned"): Promise<void> {
    clearInterval(this.#timer);
    if (this.lost.aborted) return;
    await this.#change((current) => ({ ...current, state: state ?? current.state, turn: null }));
  }

  #changeStep(step: Step, next: (is: D["steps"][number]) => D["steps"][number]): Promise<void> {
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

  async #change(next: (current: D) => D): Promise<void> {
    const lossy = { ...this.kind, lost: () => this.#lose() };
    await changeInTurn(this.store, lossy, this.runId, (current) => {
      const changed = next(current);
      this.#document =
        changed.turn === null ? changed : { ...changed, turn: newTurn(this.runId, turnSeconds, new Date()) };
      return this.#document;
    });
  }

  #lose(): Failure {
    this.#loss.abort(this.kind.lost());
    return this.lost.reason as Failure;
  }
}

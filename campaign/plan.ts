/** What happens in one run of the campaign, as a function of its seed: the world, the release, and what goes wrong. */
import { z } from "zod";
import { randomNumbers } from "../tests/servers/campaign";
import type { Fault as StoreFault } from "../tests/servers/s3FaultProxy";

/** The commands of a release, in their order. */
const way = ["gate", "migrations", "railway", "vercel", "verify"] as const;
export type WayStep = (typeof way)[number];

/** What follows a loss. */
const remedies = ["repair", "restore by swap", "restore in place", "accept"] as const;

/** The file among the migrations: all but the first two must be refused by the gate. */
const migrations = [
  "none",
  "additive",
  "deletes rows",
  "drops a table",
  "drops a column",
  "truncates",
  "deletes through a trigger",
  "fails half-way",
] as const;
export type Migration = (typeof migrations)[number];

/** What the new version of the application does to the database when it becomes live. */
const damages = [
  "none",
  "deletes rows",
  "truncates a table",
  "drops a table",
  "drops a column",
  "deletes rows without a key",
  "deletes rows of an odd table",
  "drops a policy",
] as const;
export type Damage = (typeof damages)[number];

/** Where a command is struck: by milliseconds after its start, or by lines that it has written to stderr. */
const momentSchema = z.union([
  z.strictObject({ milliseconds: z.number().min(0) }),
  z.strictObject({ lines: z.int().min(1) }),
]);
export type Moment = z.infer<typeof momentSchema>;

/** Answers of tests/servers/s3FaultProxy.ts that a store has to survive, or to name. */
const storeAnswers = [
  ...(["500", "503", "reset before", "reset after", "500 after", "cut the answer", "error in a 200"] as const),
  ...(["keeps nothing", "keeps half", "keeps other bytes", "expired token", "403", "507"] as const),
] as const satisfies readonly StoreFault[];

const count = z.int().min(0);

/** A fault of a kind, with what more it says. */
function fault<Kind extends string, Shape extends z.ZodRawShape>(kind: Kind, shape: Shape) {
  return z.strictObject({ kind: z.literal(kind), ...shape });
}

/** Something that goes wrong while one command of the first attempt runs. What it needs is taken back afterwards. */
const faultSchema = z.discriminatedUnion("kind", [
  fault("kill", { signal: z.enum(["SIGKILL", "SIGTERM", "SIGINT"]), at: momentSchema }),
  fault("server crash", { at: momentSchema }),
  fault("session ended", { at: momentSchema }),
  fault("network", { does: z.enum(["reset", "stall", "terminate"]), afterBytes: count }),
  fault("slow network", { milliseconds: count }),
  fault("byte flip", { object: count, place: count }),
  fault("truncation", { object: count, place: count }),
  fault("full disk", { at: momentSchema }),
  fault("store request", { answer: z.enum(storeAnswers), request: z.int().min(1), times: z.int().min(1) }),
  fault("clock jump", { seconds: z.int(), afterMilliseconds: count }),
  fault("lost lease", { at: momentSchema }),
  fault("two operators", { stack: z.enum(["same", "other"]), afterMilliseconds: count }),
  fault("platform", { does: z.enum(["build fails", "500", "truncated answer", "lost answer", "slow"]) }),
]);
export type Fault = z.infer<typeof faultSchema>;

export type FaultKind = Fault["kind"];

export const faultKinds: readonly FaultKind[] = faultSchema.options.map(({ shape }) => shape.kind.value);

/** A fault strikes a command of the release, or the remedy after a loss. */
const plannedFaultSchema = z.strictObject({ during: z.enum([...way, "remedy"]), fault: faultSchema }).readonly();
export type PlannedFault = z.infer<typeof plannedFaultSchema>;

/** Also the form of a plan's file. */
export const planSchema = z
  .strictObject({
    seed: count,
    store: z.enum(["folder", "two folders", "bucket"]),
    scratch: z.enum(["kept server", "own server"]),
    /** Orders before the release; a few rows of other tables for each. */
    orders: z.int().min(1),
    /** Whether a schema of the generator lies beside the orders. */
    oddSchema: z.boolean(),
    writers: count,
    /** Whether variables of the environment are watched and sealed. */
    environment: z.boolean(),
    migration: z.enum(migrations),
    damage: z.enum(damages),
    remedy: z.enum(remedies),
    /** Whether the application answers 500 after the deployment. */
    brokenHealth: z.boolean(),
    steps: z.array(z.enum(way)).min(1).readonly(),
    faults: z.array(plannedFaultSchema).readonly(),
  })
  .readonly();
export type Plan = z.infer<typeof planSchema>;

/** Choices that a sequence of numbers determines. */
export class Dice {
  private readonly next: () => number;

  constructor(seed: number) {
    this.next = randomNumbers(seed);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  pick<T>(items: readonly T[]): T {
    return items[this.between(0, items.length - 1)]!;
  }
}

/** The plan of a seed: the same on every machine. */
export function planOf(seed: number): Plan {
  const dice = new Dice(seed);
  const store = dice.chance(0.55) ? "folder" : dice.chance(0.65) ? "bucket" : "two folders";
  const whole = dice.chance(0.45);
  const migration = dice.chance(0.45) ? "none" : dice.chance(0.6) ? "additive" : dice.pick(migrations.slice(2));
  const damage = dice.chance(0.5) ? "none" : dice.pick(damages.slice(1));
  const steps = way
    .filter((step) => whole || step !== "vercel")
    .filter((step) => step !== "migrations" || migration !== "none");
  const plan: Plan = {
    ...{ seed, store, migration, damage, steps },
    scratch: dice.chance(0.8) ? "kept server" : "own server",
    orders: dice.between(50, 800),
    oddSchema: dice.chance(0.5),
    writers: dice.between(0, 3),
    environment: dice.chance(0.25),
    remedy: dice.pick(remedies),
    brokenHealth: dice.chance(0.08),
    faults: [],
  };
  const count = dice.chance(0.08) ? 0 : dice.chance(0.6) ? 1 : 2;
  const faults: PlannedFault[] = [];
  for (let left = count; left > 0; left--) {
    const places = [...steps, ...(damage === "none" ? [] : (["remedy"] as const))];
    // The gate does most, so most goes wrong there.
    const during = dice.chance(0.3) ? "gate" : dice.pick(places);
    if (faults.every((other) => other.during !== during)) faults.push({ during, fault: faultOf(dice, during, store) });
  }
  return { ...plan, faults };
}

function faultOf(dice: Dice, during: PlannedFault["during"], store: Plan["store"]): Fault {
  const fits = faultKinds.filter(
    (kind) =>
      (kind !== "platform" || during === "railway" || during === "vercel") &&
      (kind !== "store request" || store === "bucket") &&
      (kind !== "full disk" || store === "folder") &&
      ((kind !== "byte flip" && kind !== "truncation") || (store !== "bucket" && during !== "gate")) &&
      (kind !== "lost lease" || during !== "remedy"),
  );
  const kind = dice.pick(fits);
  // A gate takes seconds, the rest of it half of one.
  const longest = during === "gate" || during === "remedy" ? 2_500 : 700;
  const at: Moment = dice.chance(0.5)
    ? { milliseconds: dice.between(80, longest) }
    : { lines: dice.between(1, during === "gate" ? 24 : during === "remedy" ? 8 : 3) };
  switch (kind) {
    case "kill":
      return { kind, signal: dice.pick(["SIGKILL", "SIGKILL", "SIGTERM", "SIGINT"] as const), at };
    case "server crash":
    case "session ended":
    case "full disk":
    case "lost lease":
      return { kind, at };
    case "network":
      return {
        kind,
        does: dice.pick(["reset", "stall", "terminate"] as const),
        afterBytes: Math.floor(10 ** (dice.between(20, during === "gate" ? 52 : 45) / 10)),
      };
    case "slow network":
      return { kind, milliseconds: dice.between(1, 15) };
    case "byte flip":
    case "truncation":
      return { kind, object: dice.between(0, 1_000_000), place: dice.between(0, 1_000_000) };
    case "store request":
      return {
        kind,
        answer: dice.pick(storeAnswers),
        request: dice.between(1, during === "gate" || during === "remedy" ? 60 : 12),
        times: dice.pick([1, 1, 3, 1_000]),
      };
    case "clock jump":
      return {
        ...{ kind, afterMilliseconds: dice.chance(0.5) ? 0 : dice.between(50, longest) },
        seconds: dice.pick([-1, 1]) * dice.pick([30, 120, 3_700, 90_000, 40_000_000]),
      };
    case "two operators":
      return { kind, stack: dice.pick(["same", "other"] as const), afterMilliseconds: dice.between(0, longest) };
    case "platform":
      return { kind, does: dice.pick(["build fails", "500", "truncated answer", "lost answer", "slow"] as const) };
  }
}

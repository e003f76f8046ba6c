/**
 * `npm run campaign`: release after release on real servers, each determined by a seed, with something going wrong in most; after each the
 * invariants of docs/reliability.md. One line a run; a run that violates one is kept with all outputs, and made smaller.
 *
 * Usage: npm run campaign -- [--seed 1] [--runs N] [--minutes M] [--lanes 2] [--minimise 12] [--out reports/campaign] [--plan file]
 */
import { appendFileSync, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { forgetSurroundings } from "../scripts/rehearsal/surroundings";
import { startSeaweed } from "../tests/servers/seaweedfs";
import { type RunResult, runPlan } from "./drive";
import { minimise } from "./minimise";
import { type Plan, planOf } from "./plan";
import { Tally, describe, keepFailure, recordOf } from "./results";
import { Standstill } from "./standstill";
import { Lane } from "./world";

interface Options {
  readonly seed: number;
  readonly runs: number;
  readonly minutes: number;
  readonly lanes: number;
  /** Runs that making a failing plan smaller may take; 0: it is kept as it is. */
  readonly minimise: number;
  readonly out: string;
  readonly plan: Plan | undefined;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      seed: { type: "string", default: "1" },
      runs: { type: "string" },
      minutes: { type: "string" },
      lanes: { type: "string", default: "2" },
      minimise: { type: "string", default: "12" },
      out: { type: "string", default: join("reports", "campaign") },
      plan: { type: "string" },
    },
  });
  const number = (name: string, text: string | undefined, otherwise: number): number => {
    const value = text === undefined ? otherwise : Number(text);
    if (!(value > 0)) throw new Error(`--${name}: found ${text}: expected a number above 0`);
    return value;
  };
  const plan = values.plan === undefined ? undefined : (JSON.parse(readFileSync(values.plan, "utf8")) as Plan);
  const minutes = number("minutes", values.minutes, Number.POSITIVE_INFINITY);
  return {
    seed: number("seed", values.seed, 1),
    // Without any bound: as many as a person waits for.
    runs: plan === undefined ? number("runs", values.runs, minutes === Number.POSITIVE_INFINITY ? 20 : 1e9) : 1,
    minutes,
    lanes: plan === undefined ? number("lanes", values.lanes, 2) : 1,
    minimise: plan === undefined ? Number(values.minimise) : 0,
    out: resolve(values.out),
    plan,
  };
}

/** Seconds of a standstill after which a run that failed says nothing of the program; and how often it is played again. */
const tooLong = 5;
const mostRepeats = 3;

async function main(): Promise<void> {
  const options = readOptions();
  forgetSurroundings();
  mkdirSync(options.out, { recursive: true });
  const standstill = new Standstill();
  const seaweed = await startSeaweed();
  await Lane.prepareBucket(seaweed);
  const tally = new Tally();
  const until = Date.now() + options.minutes * 60_000;
  let next = options.seed;
  const last = options.seed + options.runs - 1;
  let stopping = false;
  process.once("SIGINT", () => (stopping = true));

  const finish = async (lane: Lane, result: RunResult): Promise<void> => {
    tally.add(result);
    console.log(describe(result));
    appendFileSync(join(options.out, "results.ndjson"), `${JSON.stringify(recordOf(result))}\n`);
    if (result.violations.length === 0) return;
    const folder = keepFailure(options.out, result);
    for (const violation of result.violations) console.log(`  ${violation}`);
    console.log(`  kept in ${folder}`);
    if (options.minimise === 0) return;
    const smallest = await minimise(result.plan, (plan) => runPlan(lane, plan), options.minimise);
    keepFailure(options.out, smallest, "smallest");
    console.log(`  smallest: ${describe(smallest)}`);
  };

  const play = async (lane: Lane, plan: Plan): Promise<RunResult> => {
    for (let left = mostRepeats; ; left--) {
      const start = performance.now();
      const result = await runPlan(lane, plan);
      const seconds = standstill.longestSince(start);
      if (result.violations.length === 0 || seconds < tooLong || left === 0) return result;
      console.log(`seed ${plan.seed} is played again: this machine stood still for ${Math.round(seconds)} s`);
    }
  };

  const work = async (name: string): Promise<void> => {
    const lane = await Lane.start(name, seaweed);
    try {
      while (next <= last && Date.now() < until && !stopping) {
        const plan = options.plan ?? planOf(next++);
        if (options.plan !== undefined) next = last + 1;
        await finish(lane, await play(lane, plan));
      }
    } finally {
      await lane.stop();
    }
  };

  try {
    await Promise.all(
      Array.from({ length: Math.min(options.lanes, options.runs) }, (_, place) => work(`lane${place + 1}`)),
    );
  } finally {
    await seaweed.stop();
    standstill.end();
  }
  console.log(tally.render());
  process.exitCode = tally.failed === 0 ? 0 : 1;
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 2;
});

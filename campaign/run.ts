/**
 * `npm run campaign`: release after release on real servers, each determined by a seed, with something going wrong in most; after each the
 * invariants of docs/reliability.md. One line a run; a run that violates one is kept with all outputs, and made smaller.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "../scripts/commandLine";
import { exitCode } from "../scripts/contract/failure";
import { forgetSurroundings } from "../scripts/rehearsal/surroundings";
import { startSeaweed } from "../tests/servers/seaweedfs";
import { type RunResult, runPlan } from "./drive";
import { minimise as makeSmaller } from "./minimise";
import { type Campaign, campaignCommand } from "./options";
import type { Plan } from "./plan";
import { Tally, describe, keepFailure, recordOf } from "./results";
import { Standstill } from "./standstill";
import { Lane } from "./world";

/** Seconds of a standstill after which a run that failed says nothing of the program; and how often it is played again. */
const tooLong = 5;
const mostRepeats = 3;

async function play({ plans, minutes, lanes, minimise, out }: Campaign): Promise<void> {
  forgetSurroundings();
  const standstill = new Standstill();
  const seaweed = await startSeaweed();
  await Lane.prepareBucket(seaweed);
  const tally = new Tally();
  const until = Date.now() + minutes * 60_000;
  let stopping = false;
  process.once("SIGINT", () => (stopping = true));

  const finish = async (lane: Lane, result: RunResult): Promise<void> => {
    tally.add(result);
    console.log(describe(result));
    appendFileSync(join(out, "results.ndjson"), `${JSON.stringify(recordOf(result))}\n`);
    if (result.violations.length === 0) return;
    const folder = keepFailure(out, result);
    for (const violation of result.violations) console.log(`  ${violation}`);
    console.log(`  kept in ${folder}`);
    if (minimise === 0) return;
    const smallest = await makeSmaller(result.plan, (plan) => runPlan(lane, plan), minimise);
    keepFailure(out, smallest, "smallest");
    console.log(`  smallest: ${describe(smallest)}`);
  };

  const playOne = async (lane: Lane, plan: Plan): Promise<RunResult> => {
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
      while (Date.now() < until && !stopping) {
        const next = plans.next();
        if (next.done === true) return;
        await finish(lane, await playOne(lane, next.value));
      }
    } finally {
      await lane.stop();
    }
  };

  try {
    await Promise.all(Array.from({ length: lanes }, (_, place) => work(`lane${place + 1}`)));
  } finally {
    await seaweed.stop();
    standstill.end();
  }
  console.log(tally.render());
  process.exitCode = tally.failed > 0 ? exitCode.refused : stopping ? exitCode.interrupted : exitCode.pass;
}

void runProgram(campaignCommand(play));

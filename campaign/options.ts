/** The options of `npm run campaign`: what is played, on how many lanes, and where it is kept; or one line for what is wrong with them. */
import { accessSync, constants, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command, Option } from "commander";
import { positiveNumber, wholeNumber } from "../scripts/commandLine";
import { UsageError, messageOf } from "../scripts/contract/failure";
import { readJson } from "../scripts/contract/jsonInput";
import { type Plan, planOf, planSchema } from "./plan";

interface Options {
  readonly seed: number;
  readonly runs?: number;
  readonly minutes?: number;
  readonly lanes: number;
  readonly minimise: number;
  readonly out: string;
  readonly plan?: string;
}

/** What a campaign does. */
export interface Campaign {
  readonly plans: Iterator<Plan>;
  /** After so many no run begins. */
  readonly minutes: number;
  readonly lanes: number;
  /** Runs that making a failing plan smaller may take; 0: it is kept as it is. */
  readonly minimise: number;
  /** A folder that can be written to. */
  readonly out: string;
}

/** Seeds have 32 bits. */
const mostSeed = 2 ** 32 - 1;

/** @param play is not called unless every option is right. */
export function campaignCommand(play: (campaign: Campaign) => Promise<void>): Command {
  return new Command("npm run campaign --")
    .description("Plays releases with faults on real servers, and checks after each what must hold whatever happened.")
    .option("--seed <number>", "the first seed; each run has the next", wholeNumber(1, mostSeed), 1)
    .option("--runs <number>", "how many; default: 20, with --minutes no limit", wholeNumber(1, mostSeed))
    .option("--minutes <number>", "begin no run after so long", positiveNumber(100_000))
    .option("--lanes <number>", "how many at once, each with servers of its own", wholeNumber(1, 64), 2)
    .option("--minimise <number>", "runs that making a failing plan smaller may take", wholeNumber(0, 1000), 12)
    .option("--out <folder>", "where results and failed runs are kept", join("reports", "campaign"))
    .addOption(
      new Option("--plan <file>", "play the plan of a kept run, once, as it is").conflicts([
        ...["seed", "runs", "minutes", "lanes", "minimise"],
      ]),
    )
    .action((options: Options) => play(campaignOf(options)));
}

function campaignOf({
  seed,
  minutes = Number.POSITIVE_INFINITY,
  lanes,
  minimise,
  out,
  plan,
  ...given
}: Options): Campaign {
  // Without any bound: as many as a person waits for.
  const { runs = minutes === Number.POSITIVE_INFINITY ? 20 : mostSeed } = given;
  if (plan === undefined)
    return { plans: plansFrom(seed, runs), minutes, lanes: Math.min(lanes, runs), minimise, out: madeFolder(out) };
  const kept = readJson(planSchema, () => readFileSync(plan, "utf8"), `--plan: found ${plan}`);
  return { plans: [kept].values(), minutes, lanes: 1, minimise: 0, out: madeFolder(out) };
}

function* plansFrom(seed: number, runs: number): Generator<Plan> {
  for (let next = seed; next < seed + runs; next++) yield planOf(next);
}

/** @throws UsageError when nothing can be written there. */
function madeFolder(folder: string): string {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
  } catch (error) {
    throw new UsageError(`--out: found ${folder}: nothing can be written there: ${messageOf(error)}`);
  }
  return resolve(folder);
}

/** Options that benchmarks share, and where they say how far they are. */
import { InvalidArgumentError, Option } from "commander";
import { wholeNumber } from "../scripts/commandLine";
import { progress } from "../scripts/commands/session";

/** What one machine's disk is likely to hold. */
const mostMegabytes = 1_000_000;

export function megabytes(otherwise: number): Option {
  return new Option("--megabytes <number>", "MB of heap of the database")
    .argParser(wholeNumber(1, mostMegabytes))
    .default(otherwise);
}

export function rounds(otherwise: number): Option {
  return new Option("--rounds <number>", "how often each is measured, in turn")
    .argParser(wholeNumber(1, 1000))
    .default(otherwise);
}

/** For commander: numbers with commas between; none where there is no word. @throws InvalidArgumentError for anything else. */
export function wholeNumbers(text: string): number[] {
  const number = wholeNumber(1, mostMegabytes);
  return text === "" ? [] : text.split(",").map(number);
}

/** For commander. @throws InvalidArgumentError for what is none. */
export function regularExpression(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new InvalidArgumentError(`found ${text}: expected a regular expression`);
  }
}

export function say(line: string): void {
  progress(`bench: ${line}`);
}

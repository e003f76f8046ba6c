/** The number of jobs on the command line. */
import { InvalidArgumentError } from "commander";

const most = 64;

/** @throws InvalidArgumentError for what is no number from 1 to 64. */
export function parseJobs(text: string): number {
  const jobs = Number(text);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > most) {
    throw new InvalidArgumentError(`found ${text}: expected a number from 1 to ${most}`);
  }
  return jobs;
}

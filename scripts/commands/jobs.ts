/** The number of jobs on the command line. */
import { wholeNumber } from "../commandLine";

/** @throws InvalidArgumentError for what is no number from 1 to 64. */
export const parseJobs = wholeNumber(1, 64);

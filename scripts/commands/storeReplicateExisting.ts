/** `store:replicate-existing`: starts the job of S3 that copies what was there before replication; a Command of Level 3 runs it. */
import type { Command } from "commander";
import { readReplicationJob, replicateExisting } from "../replication/replicateExisting";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command.option("--json", "one JSON document on stdout").action(async (options: { json?: boolean }) => {
    const job = readReplicationJob();
    const { id, status } = await replicateExisting(storeFromEnvironment(), job, {
      signal: interrupted,
      onProgress: progress,
    });
    const text = id === null ? `${job.source}: ${status}` : `${job.source}: job ${id} is ${status}`;
    printResult(options.json === true, { id, status }, text);
  });
}

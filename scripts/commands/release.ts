/** `release <step>`: one release step, admitted by the receipt that the lease names. */
import { type Command, Argument } from "commander";
import { targetFromEnvironment } from "../database/target";
import { type ReleaseStep, releaseSteps } from "../record/releaseEvents";
import { releaseVersionFromEnvironment } from "../release/admission";
import { runReleaseStep } from "../release/releaseStep";
import { openPlatforms } from "../release/rollbackTargets";
import { addressesFromEnvironment, stackFromEnvironment } from "./gateContext";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .addArgument(new Argument("<step>", "what is released").choices(releaseSteps))
    .option("--json", "one JSON document on stdout")
    .action(async (step: ReleaseStep, options: { json?: boolean }) => {
      const result = await runReleaseStep({
        step,
        releaseVersion: releaseVersionFromEnvironment(),
        stack: stackFromEnvironment(),
        store: storeFromEnvironment(),
        target: targetFromEnvironment("DATABASE_URL"),
        addresses: addressesFromEnvironment(),
        clients: openPlatforms(process.env, interrupted),
        signal: interrupted,
        onLine: progress,
      });
      printResult(options.json === true, { step, ...result }, `${step}: ${result.outcome}: ${result.detail}`);
    });
}

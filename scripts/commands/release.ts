/** `release <step>`: one release step, admitted by the receipt that the lease names. */
import { type Command, Argument } from "commander";
import { registerSecret } from "../contract/redaction";
import { targetFromEnvironment } from "../database/target";
import { type ReleaseStep, releaseSteps } from "../record/releaseEvents";
import { releaseVersionFromEnvironment } from "../release/admission";
import { runReleaseStep } from "../release/releaseStep";
import { openStore } from "../store/openStore";
import { interrupted, printResult, progress } from "./session";

export function configure(command: Command): void {
  command
    .addArgument(new Argument("<step>", "which").choices(releaseSteps))
    .option("--json", "one JSON document on stdout")
    .action(async (step: ReleaseStep, options: { json?: boolean }) => {
      for (const secret of ["RAILWAY_TOKEN", "RAILWAY_API_TOKEN", "VERCEL_TOKEN"]) registerSecret(process.env[secret]);
      const result = await runReleaseStep({
        step,
        releaseVersion: releaseVersionFromEnvironment(),
        store: openStore(undefined),
        target: targetFromEnvironment("DATABASE_URL"),
        signal: interrupted,
        onLine: progress,
      });
      printResult(options.json === true, { step, ...result }, `${step}: ${result.outcome}: ${result.detail}`);
    });
}

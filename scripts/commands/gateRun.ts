/** `gate run`: the full gate. */
import { type Command, Option } from "commander";
import { fullSteps, runGate } from "../gate/gate";
import { gateMetrics, tellMetrics } from "../monitoring/runMetrics";
import { renderGate } from "../report/gateReport";
import { showSteps } from "../report/stepProgress";
import { parseDuration } from "./duration";
import { gateContext } from "./gateContext";
import { interrupted, printResult, progress } from "./session";

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--wait <duration>", "how long to wait for a lease that another run holds: 90s, 10m, 1h", parseDuration, 0)
    .option("--take-over", "take the lease of a gate of your own that passed and that you gave up")
    .addOption(
      new Option("--print <what>", "only the receipt's SHA-256, or unchanged; default: the table of steps").choices([
        "receipt",
      ]),
    )
    .option("--json", "one JSON document on stdout")
    .action(
      async (options: { settings?: string; wait: number; takeOver?: boolean; print?: "receipt"; json?: boolean }) => {
        const names = fullSteps.map(({ name }) => name);
        const result = await showSteps(names, (observer) => {
          const { settings, wait: waitSeconds, takeOver = false } = options;
          return runGate(
            gateContext({ settings, store: "required", waitSeconds, takeOver, onProgress: observer.onLine }),
            observer,
          );
        });
        const text =
          options.print === "receipt" && result.verdict === "pass"
            ? (result.receiptSha256 ?? "unchanged")
            : renderGate(result);
        printResult(options.json === true, result, text);
        process.exitCode = result.exitCode;
        await tellMetrics(gateMetrics(result), progress, interrupted);
      },
    );
}

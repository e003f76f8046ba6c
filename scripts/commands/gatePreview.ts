/** `gate preview`: the read-only checks for `pulumi preview`; the verdict is in the JSON, never in the exit code. */
import type { Command } from "commander";
import { Failure, exitCode } from "../contract/failure";
import { redact } from "../contract/redaction";
import { runReadOnlyGate } from "../gate/gate";
import { gateContext } from "./gateContext";

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .action(async (options: { settings?: string }) => {
      const verdict = await judge(options);
      process.stdout.write(`${redact(JSON.stringify(verdict))}\n`);
    });
}

async function judge(options: { settings?: string }): Promise<object> {
  try {
    const result = await runReadOnlyGate(gateContext({ ...options, store: "optional" }));
    return { ...result, skipped: result.steps.filter(({ outcome }) => outcome === "skipped").map(({ step }) => step) };
  } catch (error) {
    // A wrong setting halts the preview like any other finding; a bug of ours is not a verdict.
    if (!(error instanceof Failure)) throw error;
    return {
      verdict: "halt",
      exitCode: error.exitCode ?? exitCode.usage,
      message: error.message,
      hint: error.hint ?? null,
      skipped: [],
      steps: [],
    };
  }
}

/** The options of commands that change the live replica: they look first, ask, and wait until it has caught up. */
import type { Command } from "commander";
import { parseDuration } from "./duration";

export interface PairOptions {
  readonly dryRun?: boolean;
  /** Seconds. */
  readonly wait: number;
  readonly settings?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** @param says what `--dry-run` and `--wait` mean for this command. */
export function addPairOptions(command: Command, says: { readonly dryRun: string; readonly wait: string }): Command {
  return command
    .option("--dry-run", `only look: ${says.dryRun}`)
    .option("--wait <duration>", says.wait, parseDuration, 300)
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout");
}

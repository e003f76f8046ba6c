/**
 * `env:snapshot`: digests of the variables, compared with the accepted snapshot; `--accept` makes them the
 * new one. What the Pulumi program's environmentSnapshot resource runs.
 */
import type { Command } from "commander";
import { exitCode } from "../contract/failure";
import { acceptEnvironment } from "../environment/acceptEnvironment";
import { checkEnvironment } from "../environment/checkEnvironment";
import { matchesAny } from "../environment/namePatterns";
import { overriddenVariables } from "../gate/overrides";
import { readOperationSettings } from "../settings";
import { readStoreIdentity } from "../store/storeIdentity";
import { newRunId } from "./gateContext";
import { interrupted, printResult } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .option("--accept", "store what was found as the accepted snapshot, if nothing forbids it")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { accept?: boolean; settings?: string; json?: boolean }) => {
      const { environment, overrides } = readOperationSettings(options.settings);
      const store = storeFromEnvironment();
      const input = { store, settings: environment, signal: interrupted };
      const check = await checkEnvironment(input);
      const overridden = overriddenVariables(overrides);
      const findings = check.findings.filter(({ name }) => !matchesAny(name, overridden));
      const verdict = findings.length === 0 ? "pass" : "halt";
      // An unclaimed store has no salt yet: the gate claims it, and accepts the first snapshot when it passes.
      const accepting = options.accept === true && verdict === "pass" && (await readStoreIdentity(store)) !== undefined;
      const acceptance = accepting ? await acceptEnvironment({ ...input, runId: newRunId(), overridden }) : undefined;
      const accepted = acceptance?.name ?? null;
      const document = {
        ...check,
        verdict,
        accepted,
        variables: (acceptance?.variables ?? check.variables).map((variable) => ({
          ...variable,
          critical: matchesAny(variable.name, environment.critical),
        })),
        message: verdict === "pass" ? null : findings.map(({ message }) => message).join("; "),
      };
      printResult(
        options.json === true,
        document,
        [...check.lines, ...(accepted === null ? [] : [`accepted as ${accepted}`]), "", verdict.toUpperCase()].join(
          "\n",
        ),
      );
      process.exitCode = verdict === "pass" ? exitCode.pass : exitCode.refused;
    });
}

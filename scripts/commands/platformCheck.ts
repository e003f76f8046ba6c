/** `platform:check`: the platform's own protection (Level 1) against what is demanded of it. */
import type { Command } from "commander";
import { Failure, exitCode } from "../contract/failure";
import { redact } from "../contract/redaction";
import { targetFromEnvironment } from "../database/target";
import { type PostureCheck, checkPosture, describeFinding, isHalting } from "../posture/checkPosture";
import { readOperationSettings } from "../settings";
import { interrupted, printResult } from "./session";

interface Options {
  readonly settings?: string;
  readonly preview?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option(
      "--preview",
      "always exit 0; the verdict is in the JSON document that it prints: what the Pulumi program runs",
    )
    .option("--json", "one JSON document on stdout")
    .action(async (options: Options) => {
      if (options.preview === true) {
        process.stdout.write(`${redact(JSON.stringify(await preview(options)))}\n`);
        return;
      }
      const check = await checkNow(options);
      printResult(options.json === true, documentOf(check), describe(check));
      process.exitCode = check.verdict === "pass" ? exitCode.pass : exitCode.refused;
    });
}

function checkNow(options: Options): Promise<PostureCheck> {
  const { platform } = readOperationSettings(options.settings);
  return checkPosture({
    settings: platform,
    target: () => targetFromEnvironment("DATABASE_URL"),
    signal: interrupted,
  });
}

async function preview(options: Options): Promise<object> {
  try {
    return documentOf(await checkNow(options));
  } catch (error) {
    // A wrong setting halts the preview like any other finding; a bug of ours is not a verdict.
    if (!(error instanceof Failure)) throw error;
    return { verdict: "halt", message: error.message, hint: error.hint ?? null, warnings: [], findings: [] };
  }
}

function documentOf(check: PostureCheck): object {
  const halting = check.findings.filter(isHalting).map(describeFinding);
  return {
    ...check,
    message: halting.length === 0 ? null : halting.join("; "),
    hint: halting.length === 0 ? null : "change it at the platform, or what is demanded in platform.requirements",
    warnings: check.findings.filter((finding) => finding.outcome !== "met" && !isHalting(finding)).map(describeFinding),
  };
}

function describe(check: PostureCheck): string {
  return [
    `${check.platform}, Level ${check.level}`,
    ...check.findings.map((finding) => `${isHalting(finding) ? "HALT " : ""}${describeFinding(finding)}`),
    "",
    check.verdict.toUpperCase(),
  ].join("\n");
}

/** `db:assess`: what is damaged and since when, what a restore would give up, and which way back to take. Reads only. */
import { type Command, Option } from "commander";
import { exitCode } from "../contract/failure";
import { targetFromEnvironment } from "../database/target";
import { assess, copyChoices } from "../incident/assess";
import { type Assessment, assessmentSchema } from "../incident/assessment";
import { recordAssessment } from "../incident/recordAssessment";
import { renderAssessment } from "../report/assessment";
import { readOperationSettings } from "../settings";
import { addressesFromEnvironment } from "./gateContext";
import { configuredPlatforms } from "./incidentContext";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly copy: (typeof copyChoices)[number];
  readonly settings?: string;
  readonly json?: boolean;
}

const codes: Readonly<Record<Assessment["verdict"], number>> = {
  intact: exitCode.pass,
  damaged: exitCode.refused,
  unreachable: exitCode.unreachable,
};

export function configure(command: Command): void {
  command
    .addOption(
      new Option("--copy <when>", "whether a copy is restored to name rows; auto: if it takes at most a minute")
        .choices(copyChoices)
        .default("auto"),
    )
    .option(
      "--settings <file>",
      "where there is no receipt: settings as JSON; default: DBPROTECT_SETTINGS, else all defaults",
    )
    .option("--json", "one JSON document on stdout")
    .action(async (options: Options) => {
      const store = storeFromEnvironment();
      const assessment = assessmentSchema.parse(
        await assess({
          ...{ store, live: targetFromEnvironment("DATABASE_URL"), copy: options.copy },
          settings: readOperationSettings(options.settings),
          addresses: addressesFromEnvironment(),
          application: configuredPlatforms().length > 0,
          ...{ signal: interrupted, onProgress: progress },
        }),
      );
      await recordAssessment(store, assessment, progress);
      printResult(options.json === true, assessment, renderAssessment(assessment));
      process.exitCode =
        assessment.compared.length === 0 && assessment.verdict === "intact"
          ? exitCode.refused
          : codes[assessment.verdict];
    });
}

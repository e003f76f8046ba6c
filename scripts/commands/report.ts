/** `deploy:report`: all that is recorded of a release as one HTML file that opens from disk. Reads the store only. */
import type { Command } from "commander";
import { progress, printResult } from "./session";
import { writeReleaseReport } from "./releaseReportFile";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .option("--receipt <run id>", "the release; default: the newest open one, else the newest")
    .option("--html <file>", "where to; default: release-<run id>.html in DBPROTECT_REPORTS, else in reports/")
    .option("--json", "the report as one JSON document on stdout, too")
    .action(async (options: { receipt?: string; html?: string; json?: boolean }) => {
      const { file, document } = await writeReleaseReport(storeFromEnvironment(), options);
      progress(`report: ${file}`);
      printResult(
        options.json === true,
        document,
        `${document.title}: ${document.verdict.word}. ${document.verdict.sentence}`,
      );
    });
}

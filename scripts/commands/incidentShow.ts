/** `incident show`: one incident on the screen, and its blameless report as a file. */
import type { Command } from "commander";
import { writeOutputFile } from "../contract/outputFile";
import { factsOf } from "../incident/incidentFacts";
import { chooseIncident, readIncident } from "../record/incident";
import { renderReport } from "../report/html/renderReport";
import { incidentMarkdown, incidentReport, renderIncident } from "../report/incident";
import { printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly id?: string;
  readonly markdown?: string;
  readonly html?: string;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .option("--id <id>", "which; default: the only open one")
    .option("--markdown <file>", "write its report there")
    .option("--html <file>", "write its report there, as one file")
    .option("--json", "one JSON document on stdout")
    .action(async ({ id, markdown, html, json }: Options) => {
      const store = storeFromEnvironment();
      const incident = id === undefined ? await chooseIncident(store, undefined) : await readIncident(store, id);
      if (markdown !== undefined) await write("--markdown", markdown, incidentMarkdown(incident));
      if (html !== undefined) await write("--html", html, renderReport(incidentReport(incident)));
      printResult(json === true, { ...incident, facts: factsOf(incident) }, renderIncident(incident));
    });
}

async function write(key: string, file: string, text: string): Promise<void> {
  await writeOutputFile({ key, file }, text);
  progress(`report: ${file}`);
}

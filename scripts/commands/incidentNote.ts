/** `incident note`: a line of a person in an incident's timeline; or that what was lost is back. */
import type { Command } from "commander";
import { chooseIncident, recordIncident } from "../record/incident";
import { printResult } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly person: string;
  readonly id?: string;
  readonly mitigated?: boolean;
  readonly notVerified?: readonly string[];
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .argument("<text>", "what is to be known; no row's content")
    .requiredOption("--person <name>", "who says so")
    .option("--id <id>", "of which incident; default: the only open one")
    .option("--mitigated", "what was lost is back: the text says what proves it")
    .option("--not-verified <what...>", "with --mitigated: what nobody looked at")
    .option("--json", "one JSON document on stdout")
    .action(async (text: string, { person, id, mitigated, notVerified = [], json }: Options) => {
      const store = storeFromEnvironment();
      const incident = await chooseIncident(store, id);
      const event = await recordIncident(
        store,
        incident.id,
        mitigated === true
          ? { event: "mitigated", person, text, notVerified: [...notVerified] }
          : { event: "noted", person, text },
      );
      printResult(json === true, { id: incident.id, ...event }, `${incident.id}: ${event.event} at ${event.at}`);
    });
}

/** `incident note`: a line of a person in an incident's timeline; or that what was lost is back. */
import type { Command } from "commander";
import { chooseIncident, recordIncident } from "../record/incident";
import { tellOfIncident } from "../record/incidentNotice";
import { channelsFor } from "./communication";
import { printResult } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly person: string;
  readonly id?: string;
  readonly mitigated?: boolean;
  readonly notVerified?: readonly string[];
  readonly settings?: string;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .argument("<text>", "what is to be known; no row's content")
    .requiredOption("--person <name>", "who says so")
    .option("--id <id>", "of which incident; default: the only open one")
    .option("--mitigated", "what was lost is back: the text says what proves it")
    .option("--not-verified <what...>", "with --mitigated: what nobody looked at")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async (text: string, { person, id, mitigated, notVerified = [], settings, json }: Options) => {
      const store = storeFromEnvironment();
      const channels = channelsFor(store, settings);
      const incident = await chooseIncident(store, id);
      const event = await recordIncident(
        store,
        incident.id,
        mitigated === true
          ? { event: "mitigated", person, text, notVerified: [...notVerified] }
          : { event: "noted", person, text },
      );
      const notice = mitigated === true ? "incident-mitigated" : "incident-noted";
      await tellOfIncident(incident.id, { event: notice, text }, channels);
      printResult(json === true, { id: incident.id, ...event }, `${incident.id}: ${event.event} at ${event.at}`);
    });
}

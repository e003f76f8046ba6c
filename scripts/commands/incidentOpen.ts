/** `incident open`: from now on, what is run against this store is in the incident's timeline. */
import type { Command } from "commander";
import { UsageError } from "../contract/failure";
import { openIncident } from "../record/incident";
import { tellOfIncident } from "../record/incidentNotice";
import { channelsFor } from "./communication";
import { idsFromEnvironment } from "./incidentContext";
import { printResult } from "./session";
import { storeFromEnvironment, warnOfUnusedStore } from "./store";

interface Options {
  readonly title: string;
  readonly person: string;
  readonly since?: string;
  readonly settings?: string;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .requiredOption("--title <text>", "what was seen, in a line")
    .requiredOption("--person <name>", "who opens it")
    .option("--since <utc>", "when it began at the latest, as far as is known: 2026-01-31T12:00Z")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async ({ title, person, since, settings, json }: Options) => {
      const store = storeFromEnvironment();
      const channels = channelsFor(store, settings);
      await warnOfUnusedStore(store);
      const id = await openIncident(store, {
        ...{ kind: "person", title, person, receipt: null, impact: [], notVerified: [] },
        began: { notBefore: null, notAfter: since === undefined ? null : parseUtc(since) },
        ids: await idsFromEnvironment(store),
      });
      await tellOfIncident(id, { event: "incident-opened", key: "opened", text: title }, channels);
      printResult(
        json === true,
        { id, title, person },
        `opened: ${id}\nnext: npm run db:assess; releases go on unless npm run deploy:freeze stops them`,
      );
    });
}

function parseUtc(text: string): string {
  const time = new Date(text);
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z$/.test(text) || Number.isNaN(time.getTime()))
    throw new UsageError(`--since: found ${text}: expected a time in UTC such as 2026-01-31T12:00Z`);
  if (time.getTime() > Date.now()) throw new UsageError(`--since: found ${text}: expected a time that has passed`);
  return time.toISOString();
}

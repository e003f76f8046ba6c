/** `incident close`: with a reason, and with what keeps it from happening again. A freeze stays: it follows its own rule. */
import type { Command } from "commander";
import { UsageError } from "../contract/failure";
import { readFreezes } from "../control/freeze";
import { factsOf } from "../incident/incidentFacts";
import { chooseIncident, readIncident, recordIncident } from "../record/incident";
import { tellOfIncident } from "../record/incidentNotice";
import { preventionQuestions, renderIncident } from "../report/incident";
import { channelsFor } from "./communication";
import { idsFromEnvironment } from "./incidentContext";
import { printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly person: string;
  readonly reason: string;
  readonly id?: string;
  readonly prevention?: readonly string[];
  readonly withoutPrevention?: string;
  readonly settings?: string;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .requiredOption("--person <name>", "who closes it")
    .requiredOption("--reason <text>", "why it is over")
    .option("--prevention <measures...>", "what keeps it from happening again, and who does it by when")
    .option("--without-prevention <why>", "there is none, and why; one of both is required")
    .option("--id <id>", "which incident; default: the only open one")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout, as incident show")
    .action(async (options: Options) => {
      const { person, reason, id, json } = options;
      const store = storeFromEnvironment();
      const channels = channelsFor(store, options.settings);
      const open = await chooseIncident(store, id);
      const { prevention, noPrevention } = await preventionOf(options);
      const ids = await idsFromEnvironment(store);
      await recordIncident(store, open.id, { event: "closed", person, reason, prevention, noPrevention, ids });
      const planned =
        prevention.length === 0 ? "no measure of prevention" : `measures of prevention: ${prevention.length}`;
      const text = `over: ${reason}; ${planned}; the report: npm run incident -- show --id ${open.id}`;
      await tellOfIncident(open.id, { event: "incident-closed", key: "closed", text }, channels);
      const incident = await readIncident(store, open.id);
      const freezes = await readFreezes(store);
      if (freezes.length > 0)
        progress("releases are still frozen: npm run deploy:unfreeze lifts that, by its own rule");
      printResult(json === true, { ...incident, facts: factsOf(incident) }, renderIncident(incident));
    });
}

/** @throws UsageError when nobody says what would prevent the next one: that is asked for, not guessed. */
async function preventionOf(options: Options): Promise<{ prevention: string[]; noPrevention: string | null }> {
  const { prevention = [], withoutPrevention } = options;
  if (prevention.length > 0 && withoutPrevention !== undefined)
    throw new UsageError("--prevention and --without-prevention contradict each other: expected one of them");
  if (prevention.length > 0) return { prevention: [...prevention], noPrevention: null };
  if (withoutPrevention !== undefined) return { prevention: [], noPrevention: withoutPrevention };
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new UsageError("found neither --prevention nor --without-prevention: expected one of them", {
      hint: `answer at least one: ${preventionQuestions.join(" ")}`,
    });
  const answers = await askPrevention();
  if (answers.length > 0) return { prevention: answers, noPrevention: null };
  throw new UsageError("no measure was named: the incident stays open", { hint: "or: --without-prevention <why>" });
}

async function askPrevention(): Promise<string[]> {
  const prompts = await import("@clack/prompts");
  const answers: string[] = [];
  for (const message of preventionQuestions) {
    const answer = await prompts.text({ message, placeholder: "empty: nothing", output: process.stderr });
    if (prompts.isCancel(answer)) return [];
    if ((answer ?? "").trim() !== "") answers.push(answer.trim());
  }
  return answers;
}

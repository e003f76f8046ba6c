/** The runbook's tables: the steps as the commands declare them, their help, and the minutes that were measured. */
import type { Command } from "commander";
import { scripts as npmScripts } from "../../package.json";
import { type EmergencyStep, freshEmergency } from "../../scripts/control/emergency";
import { plannedSteps } from "../../scripts/control/plannedRollback";
import { type Rung, rungs } from "../../scripts/incident/assessment";
import { resultOf } from "../../scripts/incident/emergency";
import { describeMachine } from "./machine";
import { anchorOf, code, markdownTable } from "./markdown";
import { type Measurements, readMeasurements } from "./measurements";

type Commands = ReadonlyMap<string, Command>;

/** By the name of its part of the page. */
export function runbookParts(commands: Commands): Map<string, () => string> {
  return new Map([
    ["runbook emergency", () => emergencyTable(commands, readMeasurements())],
    ["runbook measured", () => machineOf(readMeasurements())],
    ["runbook ways back", () => waysTable(commands, readMeasurements())],
    ["runbook planned rollback", () => plannedTable(commands)],
    ["runbook incident", () => incidentTable(commands)],
  ]);
}

/** Each step by its own command, for who has to go on by hand. */
function emergencyTable(commands: Commands, { runs }: Measurements): string {
  const { steps } = resultOf({ ...freshEmergency({ id: "", person: "", reason: "" }), turn: null });
  const secondsOf = (step: EmergencyStep): string[] =>
    runs.map((run) => duration(run.steps.find((each) => each.step === step)?.seconds ?? 0));
  const rows = steps.map(({ step, limitSeconds }) => [
    ...(step === "recover"
      ? ["the way back", "as assessed, see below"]
      : [byHand(commands, step), helpOf(commands, step)]),
    String(limitSeconds / 60),
    ...secondsOf(step),
  ]);
  const totals = runs.map(({ steps: all }) => duration(all.reduce((sum, { seconds }) => sum + seconds, 0)));
  return markdownTable(
    ["by hand", "what it does", "by minute", ...runs.map(({ way }) => `took, by ${code(way)}`)],
    [...rows, ["all of it: `npm run emergency`", helpOf(commands, "emergency"), "30", ...totals]],
  );
}

function machineOf({ at, machine, postgres, node, bytes, rows, runs }: Measurements): string {
  const damages = runs.map(({ way, damage }) => `${code(damage)} by ${code(way)}`).join(", ");
  return `Measured ${at.slice(0, 10)}: ${describeMachine(machine)}, PostgreSQL ${postgres}, Node.js ${node}; a database of ${Math.round(bytes / 1e6)} MB and ${rows.toLocaleString("en-US")} rows; ${damages}. Yours: \`npm run db:assess\` names the minutes of each way for your database, and \`npm run bench:emergency\` measures these anew.`;
}

/** What stands in a rung's row where no command of this program is it. */
const byThePlatform: Readonly<Partial<Record<Rung, string>>> = {
  "point-in-time recovery": "the platform's own; `db:assess` names the point to aim at",
};

function waysTable(commands: Commands, { runs }: Measurements): string {
  return markdownTable(
    ["way back, mildest first", "what it does", "took"],
    rungs.map((rung) => {
      const other = byThePlatform[rung];
      const run = runs.find(({ way }) => way === rung);
      const took = run?.steps.find(({ step }) => step === "recover")?.seconds;
      return [
        other === undefined ? byHand(commands, rung) : rung,
        other ?? helpOf(commands, rung),
        took === undefined ? "not measured" : duration(took),
      ];
    }),
  );
}

function plannedTable(commands: Commands): string {
  return markdownTable(
    ["step", "what it does"],
    plannedSteps.map((step) => {
      const [name = "", ...words] = step.split(" ");
      return [byHand(commands, name, words), helpOf(commands, name)];
    }),
  );
}

function incidentTable(commands: Commands): string {
  const names = [...commands.keys()].filter((name) => name.startsWith("incident "));
  return markdownTable(
    ["command", "what it does"],
    names.map((name) => [byHand(commands, name), helpOf(commands, name)]),
  );
}

function commandOf(commands: Commands, name: string): Command {
  const command = commands.get(name);
  if (command === undefined) throw new Error(`the runbook names ${name}, which is no command`);
  return command;
}

function helpOf(commands: Commands, name: string): string {
  return `${commandOf(commands, name).description()} ([options](reference.md#${anchorOf(name)}))`;
}

/** As it is typed, with what it cannot do without, its arguments as far as they are given: `npm run deploy:freeze -- --person <name> --reason <text>`. */
function byHand(commands: Commands, name: string, given: readonly string[] = []): string {
  const command = commandOf(commands, name);
  const [script = "", ...words] = name.split(" ");
  if (!(script in npmScripts)) throw new Error(`the runbook names npm run ${script}, which is no script`);
  const needed = [
    ...words,
    ...given,
    ...command.registeredArguments
      .slice(given.length)
      .filter(({ required }) => required)
      .map((each) => `<${each.name()}>`),
    ...command.options.filter(({ mandatory }) => mandatory).map(({ flags }) => flags),
  ];
  return code(["npm run", script, ...(needed.length === 0 ? [] : ["--", ...needed])].join(" "));
}

/** `under 1 s`, `7 s`, `2 min 5 s`. */
function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 1) return "under 1 s";
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

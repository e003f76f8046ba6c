/**
 * `dbprotect`: the one entry of the operational program. Commands are named like the npm scripts; only the
 * module of the command that was asked for is loaded, so `--help` stays quick.
 */
import { Command } from "commander";
import { version } from "../package.json";
import { demandOptionsFromNpm, demandValues, errorOutput, reportFailure } from "./commandLine";
import { commandEntries, commandGroups } from "./commandList";
import { hasResult, interrupted, listenForLostOutput, listenForSignals, lostResult } from "./commands/session";
import { UsageError, exitCode } from "./contract/failure";
import { registerEnvironmentSecrets } from "./contract/redaction";
import { stillWaits } from "./contract/within";
import type { TimelineEntry } from "./record/commandTimeline";
import type * as TimelineModule from "./commands/timeline";

interface CommandModule {
  configure(command: Command): void;
}

function buildProgram(words: readonly string[]): Command {
  const program = new Command("dbprotect")
    .description("Proves before a release that the database can be brought back, and after it that no row is gone.")
    .version(version)
    .exitOverride()
    .configureOutput(errorOutput);
  const asked = words.filter((word) => !word.startsWith("-"));
  for (const entry of commandEntries) {
    const path = entry.name.split(" ");
    const command = parentOf(program, path).command(path.at(-1)!).description(entry.description).exitOverride();
    if (path.every((word, place) => asked[place] === word)) {
      (loadModule(entry.module) as CommandModule).configure(command);
      demandOptionsFromNpm(command, entry.name);
      command.hook("preAction", demandValues);
      if (entry.inTimeline === true) command.hook("preAction", () => beginTimeline(words));
    }
  }
  return program;
}

/** Loaded at the call: the other commands' dependencies never cost anything. With the ending, as the bundler wants it. */
function loadModule(module: string): unknown {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  return require(`./commands/${module}.ts`);
}

/** What this command is in the timeline of open incidents; undefined: it has no place there. */
let timelineEntry: TimelineEntry | undefined;

async function beginTimeline(words: readonly string[]): Promise<void> {
  const { beginInTimelines } = loadModule("timeline") as typeof TimelineModule;
  timelineEntry = await beginInTimelines(words);
}

/** `gate run` is the command `run` of the group `gate`. */
function parentOf(program: Command, path: readonly string[]): Command {
  if (path.length === 1) return program;
  const group = path[0]!;
  return (
    program.commands.find((command) => command.name() === group) ??
    program
      .command(group)
      .description(commandGroups[group] ?? "")
      .exitOverride()
  );
}

/** Anybody on the machine can read another process's arguments. */
function demandNoPassword(words: readonly string[]): void {
  if (!words.some((word) => /[a-z]:\/\/[^/\s:@]*:[^/\s@]+@/i.test(word))) return;
  throw new UsageError(
    "found a URL with a password among the arguments, where every process of this machine can read it",
    {
      hint: "use DATABASE_URL, or a password file (PGPASSFILE)",
    },
  );
}

function report(thrown: unknown, words: readonly string[]): number {
  const entry = commandEntries.find(({ name }) => name.split(" ").every((word, place) => words[place] === word));
  const help = `dbprotect ${entry === undefined ? "" : `${entry.name} `}--help`;
  // One document, whatever fails after the command's own result.
  const json = words.includes("--json") && !hasResult();
  return reportFailure(thrown, { help, json, aborted: interrupted.aborted });
}

async function main(words: string[]): Promise<number> {
  registerEnvironmentSecrets(process.env);
  listenForSignals();
  listenForLostOutput();
  try {
    demandNoPassword(words);
    await buildProgram(words).parseAsync(words, { from: "user" });
    return Number(process.exitCode ?? exitCode.pass);
  } catch (error) {
    return report(error, words);
  }
}

void main(process.argv.slice(2)).then(async (code) => {
  await timelineEntry?.end(code);
  // The last of what was printed first: a pipe takes it when it can.
  const lost = await lostResult();
  process.exitCode = lost === undefined || code !== exitCode.pass ? code : report(lost, []);
  if (stillWaits()) process.exit();
});

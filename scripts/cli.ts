/**
 * `dbprotect`: the one entry of the operational program. Commands are named like the npm scripts; only the
 * module of the command that was asked for is loaded, so `--help` stays quick.
 */
import { Command, CommanderError } from "commander";
import { version } from "../package.json";
import { commandEntries, commandGroups } from "./commandList";
import { interrupted, listenForLostOutput, listenForSignals, lostResult } from "./commands/session";
import { sourceStack } from "./contract/bugReport";
import { Failure, Interrupted, Refusal, UsageError, exitCode, messageOf } from "./contract/failure";
import { redact, registerEnvironmentSecrets } from "./contract/redaction";
import { stillWaits } from "./contract/within";
import { databaseFailure } from "./database/databaseFailure";
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
    .configureOutput({
      writeErr: (text) => process.stderr.write(redact(text)),
      outputError: () => undefined, // it is thrown as well, and reported as any other mistake
    });
  const asked = words.filter((word) => !word.startsWith("-"));
  for (const entry of commandEntries) {
    const path = entry.name.split(" ");
    const command = parentOf(program, path).command(path.at(-1)!).description(entry.description).exitOverride();
    if (path.every((word, place) => asked[place] === word)) {
      (loadModule(entry.module) as CommandModule).configure(command);
      demandOptionsFromNpm(command, entry.name);
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

/**
 * npm keeps flags that stand before `--` for itself and hands them on as `npm_config_*`: a `--yes` that
 * never arrives would surprise in the wrong direction.
 *
 * @throws UsageError naming the flag and the right way to write it.
 */
function demandOptionsFromNpm(command: Command, name: string): void {
  if (process.env["npm_lifecycle_event"] === undefined) return;
  const swallowed = command.options.find((option) => {
    const value = process.env[`npm_config_${option.name().replaceAll("-", "_")}`];
    return (
      option.long !== undefined &&
      (option.required ? value !== undefined && value !== "" : value === "true") &&
      !process.argv.includes(option.long)
    );
  });
  if (swallowed === undefined) return;
  throw new UsageError(`npm kept ${swallowed.long ?? ""} for itself: it never reached ${name}`, {
    hint: `write: npm run ${process.env["npm_lifecycle_event"]} -- ${swallowed.long ?? ""}`,
  });
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

/** The code of a bug of ours: EX_SOFTWARE of sysexits.h. */
const bug = 70;

function report(thrown: unknown, words: readonly string[]): number {
  const json = words.includes("--json");
  const error = databaseFailure(thrown) ?? thrown;
  if (error instanceof CommanderError) return reportUsage(error, words, json);
  if (!(error instanceof Failure) && !interrupted.aborted) {
    const text = error instanceof Error ? sourceStack(error) : messageOf(error);
    process.stderr.write(`${redact(text)}\n`);
    if (json) printDocument({ exitCode: bug, message: messageOf(error), hint: "a bug of this program", details: [] });
    return bug;
  }
  const failure = error instanceof Failure ? error : new Interrupted("interrupted");
  const details = failure instanceof Refusal ? failure.details : [];
  // What an interrupted command found out is worth saying, but it did not end as asked.
  const code = interrupted.aborted ? exitCode.interrupted : failure.exitCode;
  return conclude({ exitCode: code, message: failure.message, hint: failure.hint ?? null, details }, json);
}

/** What commander says of words that it does not understand. Help and version are no mistake, a group alone has shown its help. */
function reportUsage(error: CommanderError, words: readonly string[], json: boolean): number {
  if (error.exitCode === 0) return exitCode.pass;
  const entry = commandEntries.find(({ name }) => name.split(" ").every((word, place) => words[place] === word));
  const hint = `see dbprotect ${entry === undefined ? "" : `${entry.name} `}--help`;
  const [message = "", ...details] = error.message.replace(/^error: /, "").split("\n");
  if (error.code !== "commander.help") return conclude({ exitCode: exitCode.usage, message, hint, details }, json);
  if (json) printDocument({ exitCode: exitCode.usage, message: "a command is missing", hint, details: [] });
  return exitCode.usage;
}

interface Conclusion {
  readonly exitCode: number;
  readonly message: string;
  readonly hint: string | null;
  readonly details: readonly string[];
}

function printDocument(conclusion: Conclusion): void {
  process.stdout.write(`${redact(JSON.stringify({ verdict: "error", ...conclusion }, null, 2))}\n`);
}

function conclude(conclusion: Conclusion, json: boolean): number {
  if (json) printDocument(conclusion);
  const lines = [
    `error: ${conclusion.message}`,
    ...conclusion.details.map((line) => `  ${line}`),
    ...(conclusion.hint === null ? [] : [`hint: ${conclusion.hint}`]),
  ];
  process.stderr.write(`${redact(lines.join("\n"))}\n`);
  return conclusion.exitCode;
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

/** What `dbprotect` and the programs beside it (`npm run campaign`, `npm run bench`) do alike: options, and how a failure is told. */
import { type Command, CommanderError, InvalidArgumentError, type OutputConfiguration } from "commander";
import { sourceStack } from "./contract/bugReport";
import { Failure, Interrupted, Refusal, UsageError, exitCode, messageOf } from "./contract/failure";
import { redact, registerEnvironmentSecrets } from "./contract/redaction";
import { databaseFailure } from "./database/databaseFailure";

/** For commander: a whole number. @throws InvalidArgumentError for anything else. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`found ${text}: expected a number from ${least} to ${most}`);
  };
}

/** For commander: a number above 0, also a fraction. @throws InvalidArgumentError for anything else. */
export function positiveNumber(most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && value > 0 && value <= most) return value;
    throw new InvalidArgumentError(`found ${text}: expected a number above 0, at most ${most}`);
  };
}

/**
 * npm keeps flags that stand before `--` for itself and hands them on as `npm_config_*`: a `--yes` that
 * never arrives would surprise in the wrong direction.
 *
 * @throws UsageError naming the flag and the right way to write it.
 */
export function demandOptionsFromNpm(command: Command, name: string): void {
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

/**
 * A shell's variable that is not set, as in `--id "$ID"`, must not pass for a name, a file or a reason.
 *
 * @throws UsageError naming the option or the argument.
 */
export function demandValues(command: Command): void {
  const given = [
    ...command.options.map((option) => ({
      key: option.long ?? option.flags,
      value: command.getOptionValue(option.attributeName()) as unknown,
    })),
    ...command.registeredArguments.map((argument, place) => ({
      key: `<${argument.name()}>`,
      value: command.processedArgs[place] as unknown,
    })),
  ];
  const empty = given.find(({ value }) =>
    [value].flat().some((text) => typeof text === "string" && text.trim() === ""),
  );
  if (empty === undefined) return;
  throw new UsageError(`${empty.key}: found nothing: expected a text that is not empty`, {
    hint: "is a variable of the shell not set?",
  });
}

/** For commander's `configureOutput`: what it says of words that it does not understand is thrown as well, and told as any other mistake. */
export const errorOutput: OutputConfiguration = {
  writeErr: (text) => process.stderr.write(redact(text)),
  outputError: () => undefined,
};

/** The code of a bug of ours: EX_SOFTWARE of sysexits.h. */
const bug = 70;

/** Who is told of a failure, and how. */
export interface Telling {
  /** What shows the options: `dbprotect db:backup --help`. */
  readonly help: string;
  /** Whether machines are told too, by a document on stdout. */
  readonly json: boolean;
  /** Whether a signal ended the program, whatever was thrown then. */
  readonly aborted: boolean;
}

/** Tells why a program ends: people on stderr, with a stack only of a bug of ours. @returns the exit code. */
export function reportFailure(thrown: unknown, { help, json, aborted }: Telling): number {
  const error = databaseFailure(thrown) ?? thrown;
  if (error instanceof CommanderError) return reportUsage(error, `see ${help}`, json);
  if (!(error instanceof Failure) && !aborted) {
    const text = error instanceof Error ? sourceStack(error) : messageOf(error);
    process.stderr.write(`${redact(text)}\n`);
    if (json) printDocument({ exitCode: bug, message: messageOf(error), hint: "a bug of this program", details: [] });
    return bug;
  }
  const failure = error instanceof Failure ? error : new Interrupted("interrupted");
  const details = failure instanceof Refusal ? failure.details : [];
  // What an interrupted command found out is worth saying, but it did not end as asked.
  const code = aborted ? exitCode.interrupted : failure.exitCode;
  return conclude({ exitCode: code, message: failure.message, hint: failure.hint ?? null, details }, json);
}

/** What commander says of words that it does not understand. Help and version are no mistake, a group alone has shown its help. */
function reportUsage(error: CommanderError, hint: string, json: boolean): number {
  if (error.exitCode === 0) return exitCode.pass;
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

/** Parses this process's arguments and does what the command says; a failure decides the process's exit code. */
export async function runProgram(command: Command): Promise<void> {
  registerEnvironmentSecrets(process.env);
  command.exitOverride().configureOutput(errorOutput);
  try {
    demandOptionsFromNpm(command, "the program");
    await command.parseAsync();
  } catch (error) {
    process.exitCode = reportFailure(error, { help: `${command.name()} --help`, json: false, aborted: false });
  }
}

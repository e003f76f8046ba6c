/**
 * What every command shares: the signal that Ctrl-C, SIGTERM, a closed terminal and the end of Pulumi's shell set off, where results
 * and progress go, and the question before something changes.
 */
import { Refusal, Unavailable, UsageError, codeOf } from "../contract/failure";
import { redact } from "../contract/redaction";

const interruption = new AbortController();

/** Aborted by the first SIGINT, SIGTERM or SIGHUP, or a parent that is gone; a later signal ends the process at once. */
export const interrupted: AbortSignal = interruption.signal;

/** Seconds within which a second signal is the same Ctrl-C: a launcher hands on what the terminal sent us as well. */
const sameSignalSeconds = 1;

export function listenForSignals(env: NodeJS.ProcessEnv = process.env): void {
  let first = 0;
  const stop = (why: string): void => {
    first = performance.now();
    process.stderr.write(`${why}: stopping, cleaning up (once more to stop at once)\n`);
    interruption.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (!interruption.signal.aborted) stop(signal);
      else if (performance.now() - first > sameSignalSeconds * 1000) process.exit(130);
    });
  }
  if (env["DBPROTECT_ENDS_WITH_PARENT"] === "yes") watchParent(() => stop("the process that started this one is gone"));
}

/** Milliseconds between two looks at it. */
const parentInterval = 500;

/**
 * Pulumi kills the shell of a Command, and nobody else, when `up` is interrupted or the Command takes too long; then it waits
 * until our pipes are closed, for as long as we go on.
 */
function watchParent(onGone: () => void): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    if (!interruption.signal.aborted) onGone();
  }, parentInterval).unref();
}

let lost: Error | undefined;

/**
 * That nobody reads any more (`| head`, a terminal that is gone) ends no backup and no restore in its middle: whatever is written
 * after that is dropped.
 */
export function listenForLostOutput(): void {
  process.stderr.on("error", () => undefined);
  process.stdout.on("error", (error: Error) => void (lost ??= error));
}

/** The result that could not be written, once all is written; undefined too where its reader had enough of it. */
export async function lostResult(): Promise<Unavailable | undefined> {
  await new Promise<void>((done) => process.stdout.write("", () => done()));
  if (lost === undefined || codeOf(lost) === "EPIPE") return undefined;
  return new Unavailable(`stdout: the result cannot be written there: ${lost.message}`, {
    hint: "what was asked for was done: only its result is missing",
  });
}

/** Progress and logs: stderr, one line, without secrets. */
export function progress(line: string): void {
  process.stderr.write(`${redact(line)}\n`);
}

let result = false;

/** Whether the one document of `--json` is on stdout already. */
export function hasResult(): boolean {
  return result;
}

/** The result: stdout; with `--json` the document alone. */
export function printResult(json: boolean, document: unknown, text: string): void {
  result = true;
  process.stdout.write(`${redact(json ? JSON.stringify(document, null, 2) : text)}\n`);
}

/**
 * Says what is about to happen, to which host, and asks.
 *
 * @param unasked what to do where nobody can be asked.
 * @throws Refusal when declined; UsageError without a terminal and without `--yes`.
 */
export async function confirm(
  what: string,
  yes: boolean,
  unasked = "pass --yes (through npm: npm run <name> -- --yes)",
): Promise<void> {
  progress(what);
  if (yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new UsageError("this needs a confirmation and there is no terminal to ask on: nothing was changed", {
      hint: unasked,
    });
  }
  const prompts = await import("@clack/prompts");
  const answer = await prompts.confirm({ message: "Go on?", initialValue: false, output: process.stderr });
  if (answer !== true) throw new Refusal("declined: nothing was changed");
}

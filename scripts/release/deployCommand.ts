/** Runs a configured shell command (`railway up --ci`) with a live log, a timeout, and no orphan left behind. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Interrupted, Refusal } from "../contract/failure";
import { redact } from "../contract/redaction";
import { endGroup } from "../process/processGroup";
import type { ReleaseStepSettings } from "../settings";

/** Seconds between SIGTERM and SIGKILL. */
const graceSeconds = 10;

/** Seconds that output may still arrive after the shell ended: a child in the background can hold the pipes forever. */
const lastWordsSeconds = 1;

/**
 * The command is over when its shell is. What it left in the background goes on if it succeeded, and is ended if
 * it failed.
 *
 * @returns the last line that the command wrote to stdout, which for both platforms' CLIs is the address.
 * @throws Refusal when it exits non-zero or takes longer than its timeout; Interrupted when it was aborted.
 */
export async function runDeployCommand(
  settings: ReleaseStepSettings,
  options: { signal: AbortSignal; onLine: (line: string) => void },
): Promise<string> {
  // A process group of its own, so that what the shell started ends with it.
  const child = spawn("/bin/sh", ["-c", settings.command], { stdio: ["ignore", "pipe", "pipe"], detached: true });
  let lastLine = "";
  const output = Promise.all([
    follow(child.stdout, (line) => {
      if (line.trim() !== "") lastLine = line.trim();
      options.onLine(line);
    }),
    follow(child.stderr, options.onLine),
  ]);
  let timedOut = false;
  let ending: Promise<void> | undefined;
  const stop = (): void => void (ending ??= child.pid === undefined ? undefined : endGroup(child.pid, graceSeconds));
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
  }, settings.timeoutSeconds * 1000);
  options.signal.addEventListener("abort", stop, { once: true });
  if (options.signal.aborted) stop();
  try {
    const { code, signal } = await ended(child);
    clearTimeout(timer);
    await Promise.race([output, sleep(lastWordsSeconds * 1000, undefined, { ref: false })]);
    child.stdout.destroy();
    child.stderr.destroy();
    await output;
    if (code !== 0) stop();
    await ending;
    if (options.signal.aborted) throw new Interrupted(`the command was interrupted: ${settings.command}`);
    if (timedOut) throw new Refusal(`the command took longer than ${settings.timeoutSeconds} s: ${settings.command}`);
    if (code !== 0) throw new Refusal(`the command ended with ${code ?? signal ?? "unknown"}: ${settings.command}`);
    return lastLine === "" ? "done" : lastLine.slice(0, 500);
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener("abort", stop);
  }
}

/** Hands on each line, the last one also without its end; resolves when the stream is closed, however that came. */
function follow(stream: Readable, onLine: (line: string) => void): Promise<void> {
  let rest = "";
  return new Promise((resolve) => {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      const lines = (rest + text).split(/\r?\n/);
      rest = lines.pop() ?? "";
      for (const line of lines) onLine(redact(line));
    });
    stream.once("error", () => undefined);
    stream.once("close", () => {
      if (rest !== "") onLine(redact(rest));
      resolve();
    });
  });
}

function ended(child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
}

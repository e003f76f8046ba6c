/** Runs a configured shell command (`railway up --ci`) with a live log, a timeout, and no orphan left behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Interrupted, Refusal } from "../contract/failure";
import { redact } from "../contract/redaction";
import type { ReleaseStepSettings } from "../settings";

/** Seconds between SIGTERM and SIGKILL. */
const graceSeconds = 10;

/**
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
  const lines = [
    follow(child.stdout, (line) => {
      if (line.trim() !== "") lastLine = line.trim();
      options.onLine(line);
    }),
    follow(child.stderr, options.onLine),
  ];
  let timedOut = false;
  const stop = (): void => endGroup(child);
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
  }, settings.timeoutSeconds * 1000);
  options.signal.addEventListener("abort", stop, { once: true });
  try {
    const { code, signal } = await ended(child);
    await Promise.all(lines);
    if (options.signal.aborted) throw new Interrupted(`the command was interrupted: ${settings.command}`);
    if (timedOut) throw new Refusal(`the command took longer than ${settings.timeoutSeconds} s: ${settings.command}`);
    if (code !== 0) throw new Refusal(`the command ended with ${code ?? signal ?? "unknown"}: ${settings.command}`);
    return lastLine === "" ? "done" : lastLine.slice(0, 500);
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener("abort", stop);
  }
}

async function follow(stream: NodeJS.ReadableStream, onLine: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream })) onLine(redact(line));
}

function ended(child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
}

function endGroup(child: ChildProcess): void {
  const signalGroup = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, signal);
    } catch {
      // Gone already.
    }
  };
  signalGroup("SIGTERM");
  setTimeout(() => signalGroup("SIGKILL"), graceSeconds * 1000).unref();
}

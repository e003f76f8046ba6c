/** Runs the real command line as a child process, as a person or a Command would. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const bin = resolve(__dirname, "../../bin/dbprotect.js");

export interface CliRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCli {
  readonly process: ChildProcess;
  /** What it has written to stderr so far. */
  stderr(): string;
  readonly ended: Promise<CliRun>;
}

/** Only what a command needs to run: nothing of the developer's own environment leaks into a test. */
const inherited = ["PATH", "HOME", "TMPDIR", "DBPROTECT_CACHE", "LANG"];

/** Starts `dbprotect <words>` with `env` as its whole environment, in a folder of its own unless one is given. */
export function startCli(words: readonly string[], env: Record<string, string>, folder?: string): RunningCli {
  const base = Object.fromEntries(
    inherited.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
  const child = spawn(process.execPath, [bin, ...words], {
    cwd: folder ?? mkdtempSync(join(tmpdir(), "dbprotect-cli-")),
    env: { ...base, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = new Promise<CliRun>((done, fail) => {
    child.once("error", fail);
    child.once("close", (code) => done({ code, stdout, stderr }));
  });
  return { process: child, stderr: () => stderr, ended };
}

export function runCli(words: readonly string[], env: Record<string, string>, folder?: string): Promise<CliRun> {
  return startCli(words, env, folder).ended;
}

/** Runs one of PostgreSQL's client programs against a target and turns its failure into one line. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { Damage, type Failure, Interrupted, Refusal, Unavailable, UsageError } from "../contract/failure";
import { redact } from "../contract/redaction";
import { stallSeconds } from "./stallWatch";
import { type DatabaseTarget, describeTarget, libpqEnvironment } from "./target";

export interface RunningProgram {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Resolves when the program has ended with 0; rejects with what it said otherwise. */
  readonly succeeded: Promise<void>;
  /** What it wrote to stderr so far (its last 64 kB). */
  stderr(): string;
}

export interface ProgramCall {
  readonly binDir: string;
  readonly program: "pg_dump" | "pg_dumpall" | "pg_restore" | "psql";
  readonly args: readonly string[];
  /** Absent for a program that only reads an archive. */
  readonly target?: DatabaseTarget;
  readonly signal?: AbortSignal;
  /** It writes its result to stdout as it goes: silence for `stallSeconds` while we listen is a stalled connection. */
  readonly watched?: boolean;
}

const keptStderr = 65_536;

/** Starts the program; secrets travel in the environment, never in argv. */
export function startProgram(call: ProgramCall): RunningProgram {
  const child = spawn(join(call.binDir, call.program), [...call.args], {
    env: call.target === undefined ? process.env : libpqEnvironment(call.target),
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-keptStderr);
  });
  // A reader that ended early (EPIPE) shows as the program's own failure.
  child.stdin.on("error", () => undefined);
  const onAbort = (): void => void child.kill("SIGTERM");
  call.signal?.addEventListener("abort", onAbort, { once: true });
  const silence = call.watched === true ? watchForSilence(child) : undefined;
  const succeeded = ended(child).then(({ code, signal }) => {
    call.signal?.removeEventListener("abort", onAbort);
    silence?.end();
    if (call.signal?.aborted === true) throw new Interrupted(`${call.program} was interrupted`);
    if (silence?.struck() === true) throw new Unavailable(`${call.program} was ended: ${silence.describe()}`);
    if (code !== 0) throw programFailure(call, code ?? signal ?? "unknown", stderr);
  });
  // Whoever needs the outcome awaits it; until then a rejection must not count as unhandled.
  succeeded.catch(() => undefined);
  return { stdin: child.stdin, stdout: child.stdout, succeeded, stderr: () => stderr };
}

interface Silence {
  struck(): boolean;
  describe(): string;
  end(): void;
}

/** What waits in our own buffer was said: then it is the store that is slow. */
function watchForSilence(child: ChildProcess & { stdout: Readable }): Silence {
  const seconds = stallSeconds();
  const stdout = child.stdout as Socket;
  let heard = { bytes: 0, at: performance.now() };
  let struck = false;
  const timer = setInterval(
    () => {
      if (stdout.bytesRead !== heard.bytes || stdout.readableLength > 0) {
        heard = { bytes: stdout.bytesRead, at: performance.now() };
      } else if (performance.now() - heard.at > seconds * 1000) {
        struck = true;
        child.kill("SIGTERM");
      }
    },
    (seconds * 1000) / 4,
  ).unref();
  return {
    struck: () => struck,
    describe: () => `nothing came from it for ${seconds} s`,
    end: () => clearInterval(timer),
  };
}

function ended(child: ChildProcess): Promise<{ code: number | null; signal: string | null }> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
}

/**
 * What libpq and the server say when it is "not now": no connection, no room for one, a full disk, a lock, a snapshot whose
 * session was ended (before PostgreSQL 17 "invalid snapshot identifier").
 */
const passing =
  /snapshot "[^"]*" does not exist|invalid snapshot identifier|connection to server|could not translate host name|server closed the connection|SSL SYSCALL|connection (has been closed|not open)|no connection to the server|could not (receive data from|send data to) server|terminating connection|the database system is|too many clients|remaining connection slots|deadlock detected|out of shared memory|No space left on device|canceling statement due to/;

/** What the program's stderr means; also without any word of it, for a program that was killed. */
export function programFailure(
  call: Pick<ProgramCall, "program" | "target">,
  status: number | string,
  stderr: string,
): Failure {
  const lines = redact(stderr)
    .split("\n")
    .filter((line) => line.trim() !== "");
  const said = lines.find((line) => /error|fatal/i.test(line)) ?? lines.at(-1) ?? "it said nothing";
  const where = call.target === undefined ? "" : ` at ${describeTarget(call.target)}`;
  const message = `${call.program} failed (${status})${where}: ${said.replace(/^pg_\w+: /, "")}`;
  if (/server version mismatch/.test(stderr))
    return new UsageError(message, { hint: "install a client as new as the server" });
  if (/unsupported version .* in file header/.test(stderr))
    return new UsageError(message, { hint: "install a client as new as the one that wrote the archive" });
  if (/permission denied|must be (owner|superuser|able to)/.test(stderr))
    return new Refusal(message, { details: lines });
  if (passing.test(stderr) || typeof status === "string") return new Unavailable(message);
  // Nothing to read from but the archive: it is what pg_restore complains of.
  if (call.target === undefined && call.program === "pg_restore") return new Damage(message);
  // The server refused a statement, and would again.
  if (/ERROR: {2}/.test(stderr)) return new Refusal(message, { details: lines });
  return new Unavailable(message);
}

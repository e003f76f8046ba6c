/**
 * Who a process is, so that a later one can tell whether it is still there: a bare process id is reused
 * by the kernel, and means nothing in another container or after a reboot.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { codeOf } from "../contract/failure";

export interface ProcessIdentity {
  /** For people: where to look for it. */
  readonly host: string;
  readonly pid: number;
  /**
   * `<space>-<start>`: the space is the boot and PID namespace in which `pid` counts, the start is when
   * the process began there. Letters, digits and dashes only.
   */
  readonly processStart: string;
}

/** What stands for the start of a zombie: it has ended, only its parent has not looked yet. */
const ended = "ended";

let own: ProcessIdentity | undefined;

/** What a process that was written down is recognised by: `pid` and `processStart` of `ProcessIdentity`. */
export type ProcessKey = Pick<ProcessIdentity, "pid" | "processStart">;

/** A process of this machine by its number; undefined if none runs under it. */
export function findProcess(pid: number): ProcessKey | undefined {
  const start = startOf(pid);
  return start === undefined || start === ended ? undefined : { pid, processStart: `${processSpace()}-${start}` };
}

/** The process that runs this code. */
export function currentProcess(): ProcessIdentity {
  own ??= {
    host: hostname(),
    pid: process.pid,
    processStart: `${processSpace()}-${startOf(process.pid) ?? "unknown"}`,
  };
  return own;
}

/**
 * Whether a process has certainly ended. One that lives in another PID namespace, on another host or in
 * another boot cannot be seen from here: `unknown`.
 */
export function fateOf(identity: ProcessKey): "alive" | "gone" | "unknown" {
  const [space, start] = splitOnce(identity.processStart);
  if (space !== processSpace()) return "unknown";
  if (!answersToSignals(identity.pid)) return "gone";
  const startNow = startOf(identity.pid);
  // No start time although signals arrive: /proc is mounted with hidepid and the process is another user's.
  return startNow === undefined || startNow === start ? "alive" : "gone";
}

let space: string | undefined;

/** Where a PID is meaningful: kernel boot and PID namespace on Linux, else the host. */
function processSpace(): string {
  if (space === undefined) {
    try {
      const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").replaceAll("-", "").trim();
      space = `${boot.slice(0, 12)}n${readlinkSync("/proc/self/ns/pid").replace(/\D/g, "")}`;
    } catch {
      space = Buffer.from(hostname()).toString("hex");
    }
  }
  return space;
}

/** When the process started, as text that never changes while it lives; undefined if that cannot be seen. */
function startOf(pid: number): string | undefined {
  try {
    if (process.platform === "linux") {
      // The command name (field 2) may hold spaces and parentheses: fields count from the last ")".
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      // Field 3 is the state, field 22 the start in clock ticks since boot: proc(5).
      return fields[0] === "Z" || fields[0] === "X" ? ended : fields[19];
    }
    const started = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8", stdio: "pipe" });
    return started.replace(/[^0-9A-Za-z]/g, "") || undefined;
  } catch {
    return undefined;
  }
}

function answersToSignals(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

function splitOnce(text: string): [string, string] {
  const at = text.lastIndexOf("-");
  return [text.slice(0, at), text.slice(at + 1)];
}

/**
 * Tells one process from a later one with the same number. A pid alone is no identity: before we signal a
 * process whose pid was written down earlier, it must have started at the moment that was written down too.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Unavailable } from "../contract/failure";

export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, as an opaque text of this machine and boot; see `processStart`. */
  readonly start: string;
}

/** `<boot id>/<clock ticks since boot>` on Linux, `ps`'s start time elsewhere; undefined if it does not run. */
export function processStart(pid: number): string | undefined {
  return process.platform === "linux" ? startFromProc(pid) : startFromPs(pid);
}

export function isRunning(identity: ProcessIdentity): boolean {
  return processStart(identity.pid) === identity.start;
}

/** False if it is gone. */
function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(identity)) return false;
  try {
    return process.kill(identity.pid, signal);
  } catch {
    return isRunning(identity); // gone meanwhile, or not ours to signal
  }
}

/** Seconds that a process may take to end: an orderly end, a hard one, removing its files. */
const endSeconds = 30;

/**
 * Signals exactly that process and waits until it is gone; fine if it is gone already.
 *
 * @throws Unavailable if it still runs after 30 seconds.
 */
export async function endProcess(identity: ProcessIdentity, signal: NodeJS.Signals): Promise<void> {
  if (!signalProcess(identity, signal)) return;
  const until = Date.now() + endSeconds * 1000;
  while (isRunning(identity)) {
    if (Date.now() > until) {
      throw new Unavailable(`an embedded server did not end within ${endSeconds} s`, {
        hint: `end process ${identity.pid} by hand`,
      });
    }
    await sleep(20);
  }
}

function startFromProc(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command name (field 2) may hold spaces and parentheses: count from its last ")" on. proc(5).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, startTicks] = [fields[0], fields[19]];
    if (state === "Z" || state === "X" || startTicks === undefined) return undefined;
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()}/${startTicks}`;
  } catch {
    return undefined;
  }
}

function startFromPs(pid: number): string | undefined {
  try {
    const line = execFileSync("ps", ["-o", "stat=,lstart=", "-p", String(pid)], {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C", TZ: "UTC" },
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
    const [state = "", ...start] = line.split(/\s+/);
    return state === "" || state.startsWith("Z") ? undefined : start.join(" ");
  } catch {
    return undefined;
  }
}

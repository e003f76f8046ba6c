/** Ends a process group: a shell and whatever it started. */
import { readFileSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds between two looks. */
const lookEvery = 50;

/**
 * SIGTERM, then SIGKILL; resolves when nobody of the group runs any more, also where its leader has ended long ago.
 *
 * @param group the process id of its leader.
 * @param graceSeconds between the two.
 */
export async function endGroup(group: number, graceSeconds: number): Promise<void> {
  signalGroup(group, "SIGTERM");
  for (const until = performance.now() + graceSeconds * 1000; groupRuns(group); await sleep(lookEvery)) {
    if (performance.now() <= until) continue;
    signalGroup(group, "SIGKILL");
    return;
  }
}

/**
 * Whether any process of the group still runs. One that has ended is there until its parent has looked, and answers to
 * signals; in a container whose first process does not look after orphans, that is for ever.
 */
export function groupRuns(group: number): boolean {
  if (!signalGroup(group, 0)) return false;
  if (process.platform !== "linux") return true;
  return readdirSync("/proc").some((entry) => /^\d+$/.test(entry) && runsIn(group, entry));
}

/** By proc(5): after the command name, which ends at the last ")", come state, parent and process group. */
function runsIn(group: number, pid: string): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state = "", , processGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(processGroup) === group && !"ZX".includes(state);
  } catch {
    return false; // it has ended since
  }
}

function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, signal);
  } catch {
    return false; // nobody of the group is left
  }
}

/** Ends exactly the process that was written down, never another one that got its number since. */
import { setTimeout as sleep } from "node:timers/promises";
import { Unavailable } from "../contract/failure";
import { type ProcessKey, fateOf } from "./processIdentity";

/** Seconds that a process may take to end: an orderly end, a hard one, removing its files. */
const endSeconds = 30;

/**
 * Signals the process and waits until it is gone; fine if it is gone already, or cannot be seen from here.
 *
 * @throws Unavailable if it still runs after 30 seconds.
 */
export async function endProcess(identity: ProcessKey, signal: NodeJS.Signals): Promise<void> {
  if (!signalProcess(identity, signal)) return;
  const until = Date.now() + endSeconds * 1000;
  while (fateOf(identity) === "alive") {
    if (Date.now() > until) {
      throw new Unavailable(`an embedded server did not end within ${endSeconds} s`, {
        hint: `end process ${identity.pid} by hand`,
      });
    }
    await sleep(20);
  }
}

/** False if it is gone. */
function signalProcess(identity: ProcessKey, signal: NodeJS.Signals): boolean {
  if (fateOf(identity) !== "alive") return false;
  try {
    return process.kill(identity.pid, signal);
  } catch {
    return fateOf(identity) === "alive"; // gone meanwhile, or not ours to signal
  }
}

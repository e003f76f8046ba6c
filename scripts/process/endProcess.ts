/** Ends exactly the process that was written down, never another one that got its number since. */
import { setTimeout as sleep } from "node:timers/promises";
import { Unavailable, codeOf } from "../contract/failure";
import { type ProcessKey, fateOf } from "./processIdentity";

/** Seconds that a process may take to end: an orderly end, a hard one, removing its files. */
const endSeconds = 30;

/**
 * Signals the process and waits until it is gone; fine if it is gone already, or cannot be seen from here. One
 * that we have no right to signal is `not ours`, and goes on.
 *
 * @throws Unavailable if it still runs after 30 seconds.
 */
export async function endProcess(identity: ProcessKey, signal: NodeJS.Signals): Promise<"gone" | "not ours"> {
  if (fateOf(identity) !== "alive") return "gone";
  try {
    process.kill(identity.pid, signal);
  } catch (error) {
    return codeOf(error) === "EPERM" ? "not ours" : "gone";
  }
  const until = Date.now() + endSeconds * 1000;
  while (fateOf(identity) === "alive") {
    if (Date.now() > until) {
      throw new Unavailable(`an embedded server did not end within ${endSeconds} s`, {
        hint: `end process ${identity.pid} by hand`,
      });
    }
    await sleep(20);
  }
  return "gone";
}

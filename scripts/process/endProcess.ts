/** Ends exactly the process that was written down, never another one that got its number since. */
import { setTimeout as sleep } from "node:timers/promises";
import { Unavailable, codeOf } from "../contract/failure";
import { type ProcessKey, fateOf } from "./processIdentity";

/** How long a process may take to end. */
export interface EndingPatience {
  /** Seconds of an orderly end and a hard one; default 30. */
  readonly seconds?: number;
  /** Whether it is past that and only tidies up, which takes what it takes. Default: never. */
  readonly isTidying?: () => boolean;
}

/**
 * Signals the process and waits until it is gone; fine if it is gone already, or cannot be seen from here. One
 * that we have no right to signal is `not ours`, and goes on.
 *
 * @throws Unavailable if it still runs after that time.
 */
export async function endProcess(
  identity: ProcessKey,
  signal: NodeJS.Signals,
  { seconds = 30, isTidying = () => false }: EndingPatience = {},
): Promise<"gone" | "not ours"> {
  if (fateOf(identity) !== "alive") return "gone";
  try {
    process.kill(identity.pid, signal);
  } catch (error) {
    return codeOf(error) === "EPERM" ? "not ours" : "gone";
  }
  const until = Date.now() + seconds * 1000;
  while (fateOf(identity) === "alive") {
    if (Date.now() > until && !isTidying()) {
      throw new Unavailable(`an embedded server did not end within ${seconds} s`, {
        hint: `end process ${identity.pid} by hand`,
      });
    }
    await sleep(20);
  }
  return "gone";
}

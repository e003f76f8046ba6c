/** What is run while an incident is open is written into its timeline: which command, where, when, and how it ended. */
import { randomBytes } from "node:crypto";
import { messageOf } from "../contract/failure";
import type { Store } from "../store/store";
import { listIncidents, recordIncident } from "./incident";

export interface TimelineEntry {
  /** @param exitCode as the shell sees it. */
  end(exitCode: number): Promise<void>;
}

/**
 * Where no incident is open, nothing is written. Never throws: that it could not be written down is no reason not to do what
 * an emergency needs.
 *
 * @param command with its arguments.
 */
export async function beginInTimeline(
  store: Store,
  command: string,
  onProgress: (line: string) => void,
): Promise<TimelineEntry> {
  const run = randomBytes(4).toString("hex");
  const started = performance.now();
  let incidents: readonly string[] = [];
  const record = async (write: (id: string) => Promise<unknown>): Promise<void> => {
    try {
      for (const id of incidents) await write(id);
    } catch (error) {
      onProgress(`warning: ${command} is not in the incident's timeline: ${messageOf(error)}`);
    }
  };
  try {
    incidents = await listIncidents(store, "open");
  } catch (error) {
    onProgress(`warning: whether an incident is open cannot be told: ${messageOf(error)}`);
  }
  await record((id) => recordIncident(store, id, { event: "command-started", person: null, run, command }));
  return {
    end: (exitCode) => {
      const seconds = Math.round((performance.now() - started) / 100) / 10;
      const ended = { event: "command-ended", person: null, run, command, exitCode, seconds } as const;
      return record((id) => recordIncident(store, id, ended));
    },
  };
}

/** How commands tell of incidents: by the settings and the environment of this run. */
import { type IncidentChannels, tellOfOpenIncidents } from "../record/incidentNotice";
import { readOperationSettings } from "../settings";
import type { Store } from "../store/store";
import { progress } from "./session";

/** @throws UsageError for settings that are none: before anything is done. */
export function channelsFor(store: Store, settings?: string): IncidentChannels {
  return { store, communication: readOperationSettings(settings).communication, onProgress: progress };
}

/**
 * Tells that a recovery begins, carries it out, and tells that it is done; one that throws is not.
 *
 * @param way the command.
 * @param from a backup's name; empty: it takes none.
 * @param isDone whether what it came to is a recovery. Default: it is.
 */
export async function telling<T>(
  channels: IncidentChannels,
  { way, from = "" }: { readonly way: string; readonly from?: string },
  recover: () => Promise<T>,
  isDone: (result: T) => boolean = () => true,
): Promise<T> {
  const what = from === "" ? way : `${way} from ${from}`;
  await tellOfOpenIncidents({ event: "recovery-started", way, text: `${what} begins` }, channels);
  const result = await recover();
  if (isDone(result)) await tellOfOpenIncidents({ event: "recovery-ended", way, text: `${what} is done` }, channels);
  return result;
}

/** @param command which proved it: told once for each incident. */
export function tellMitigated(channels: IncidentChannels, command: string): Promise<void> {
  const text = `what was recovered is verified: ${command} passed`;
  return tellOfOpenIncidents({ event: "incident-mitigated", key: command, text }, channels);
}

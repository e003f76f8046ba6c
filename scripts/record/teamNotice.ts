/** Tells the team what happens to releases, with a note of it. What is told of an incident: incidentNotice.ts. */
import { messageOf } from "../contract/failure";
import type { NoticeName } from "../notices";
import type { Delivery } from "../platforms/webhook";
import type { Store } from "../store/store";
import type { RunIdentity } from "./releaseEvents";
import { recordNote } from "./releaseNotes";
import { type TeamChannels, type TeamMessage, teamChannels } from "./teamChannels";

export interface TeamNotice {
  readonly event: Extract<NoticeName, `release-${string}` | "frozen" | "unfrozen" | "rollback-ended">;
  /** One line without the release's name. */
  readonly text: string;
  /** Null: it belongs to no release. */
  readonly run: Pick<RunIdentity, "runId" | "releaseVersion" | "stack"> | null;
}

export interface TeamNoticeChannel extends TeamChannels {
  readonly store: Store;
  readonly onProgress?: ((line: string) => void) | undefined;
}

/** Where no channel is set, nothing happens. Never throws: what goes wrong is a warning, and a note that says so. */
export async function tellTeam(notice: TeamNotice, channel: TeamNoticeChannel): Promise<void> {
  const { store, onProgress } = channel;
  const { event, run } = notice;
  const message = messageOfNotice(notice);
  const deliveries = await Promise.all(teamChannels(channel).map(({ deliver }) => deliver(message)));
  if (deliveries.length === 0) return;
  for (const { delivered, detail } of deliveries) {
    if (!delivered) onProgress?.(`warning: the team was not told (${event}): ${detail}`);
  }
  if (run === null) return;
  try {
    await recordNote(store, run.runId, { kind: "notified", item: event, ...summarize(deliveries) });
  } catch (error) {
    onProgress?.(`warning: that the team was told is not recorded: ${messageOf(error)}`);
  }
}

/** Whoever is reached by one way is told. */
function summarize(deliveries: readonly Delivery[]): { ok: boolean; detail: string } {
  const ok = deliveries.some(({ delivered }) => delivered);
  return { ok, detail: deliveries.map(({ detail }) => detail).join("; ") };
}

function messageOfNotice({ event, text, run }: TeamNotice): TeamMessage {
  const { runId = null, releaseVersion = null, stack = null } = run ?? {};
  const release = run === null ? "" : `${run.stack}: release ${run.releaseVersion || run.runId}: `;
  const at = new Date().toISOString();
  return {
    event,
    values: { text: `${release}${text}`, at, stack: stack ?? "", release: releaseVersion ?? "", run: runId ?? "" },
    facts: { stack, releaseVersion, runId },
    about: run === null ? "dbprotect" : run.stack,
  };
}

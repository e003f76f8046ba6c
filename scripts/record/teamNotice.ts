/**
 * Tells the team what happens to releases: one message to the webhook of `NOTIFY_WEBHOOK_URL`, and a note of it. A message
 * says what happened and where to look; never a row, a key or an error's text, which may hold personal data.
 */
import { messageOf } from "../contract/failure";
import { redact } from "../contract/redaction";
import { type WebhookPace, postWebhook } from "../platforms/webhook";
import type { Store } from "../store/store";
import type { RunIdentity } from "./releaseEvents";
import { recordNote } from "./releaseNotes";

export interface TeamNotice {
  readonly event: "release-started" | "release-passed" | "release-failed" | "frozen" | "unfrozen" | "rollback-ended";
  /** One line without the release's name. */
  readonly text: string;
  /** Null: it belongs to no release. */
  readonly run: Pick<RunIdentity, "runId" | "releaseVersion" | "stack"> | null;
}

export interface TeamChannel {
  readonly store: Store;
  readonly onProgress?: ((line: string) => void) | undefined;
  /** Where `NOTIFY_WEBHOOK_URL` stands. Default: that of the process. */
  readonly env?: NodeJS.ProcessEnv;
  readonly pace?: WebhookPace;
}

/** Where no webhook is set, nothing happens. Never throws: what goes wrong is a warning, and a note that says so. */
export async function tellTeam(notice: TeamNotice, channel: TeamChannel): Promise<void> {
  const { store, onProgress, env = process.env, pace } = channel;
  const address = env["NOTIFY_WEBHOOK_URL"] || undefined;
  if (address === undefined) return;
  const { event, run } = notice;
  const { runId = null, releaseVersion = null, stack = null } = run ?? {};
  const body = { text: textOf(notice), event, stack, releaseVersion, runId, at: new Date().toISOString() };
  const { delivered, detail } = await postWebhook(address, body, pace);
  if (!delivered) onProgress?.(`warning: the team was not told (${event}): ${detail}`);
  if (run === null) return;
  try {
    await recordNote(store, run.runId, { kind: "notified", ok: delivered, item: event, detail });
  } catch (error) {
    onProgress?.(`warning: that the team was told is not recorded: ${messageOf(error)}`);
  }
}

/** As Slack takes it: `&`, `<` and `>` would be markup, and `<!channel>` calls everybody. */
function textOf({ text, run }: TeamNotice): string {
  const release = run === null ? "" : `${run.stack}: release ${run.releaseVersion || run.runId}: `;
  return redact(`${release}${text}`).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/**
 * Tells the team what happens to releases: one message to the webhook of `NOTIFY_WEBHOOK_URL`, one to the topic of
 * `NOTIFY_SNS_TOPIC_ARN`, and a note of it. A message says what happened and where to look; never a row, a key or an error's text, which may hold personal data.
 */
import { messageOf } from "../contract/failure";
import { redact } from "../contract/redaction";
import { publishToTopic } from "../platforms/snsTopic";
import { type Delivery, type WebhookPace, postWebhook } from "../platforms/webhook";
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
  /** Where `NOTIFY_WEBHOOK_URL` and `NOTIFY_SNS_TOPIC_ARN` stand. Default: that of the process. */
  readonly env?: NodeJS.ProcessEnv;
  readonly pace?: WebhookPace;
  /** For SNS. */
  readonly milliseconds?: number;
}

/** Where no channel is set, nothing happens. Never throws: what goes wrong is a warning, and a note that says so. */
export async function tellTeam(notice: TeamNotice, channel: TeamChannel): Promise<void> {
  const { store, onProgress, env = process.env, pace, milliseconds } = channel;
  const { event, run } = notice;
  const at = new Date().toISOString();
  const webhook = env["NOTIFY_WEBHOOK_URL"] || undefined;
  const topic = env["NOTIFY_SNS_TOPIC_ARN"] || undefined;
  const deliveries = await Promise.all([
    ...(webhook === undefined ? [] : [postWebhook(webhook, webhookBody(notice, at), pace)]),
    ...(topic === undefined ? [] : [publishToTopic(topic, topicMessage(notice, at), milliseconds)]),
  ]);
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

/** As Slack takes it: `&`, `<` and `>` would be markup, and `<!channel>` calls everybody. */
function webhookBody(notice: TeamNotice, at: string): object {
  const { runId = null, releaseVersion = null, stack = null } = notice.run ?? {};
  const text = lineOf(notice).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return { text, event: notice.event, stack, releaseVersion, runId, at };
}

function topicMessage(notice: TeamNotice, at: string) {
  const { event, run } = notice;
  const facts = {
    event,
    ...(run === null ? {} : { stack: run.stack, release: run.releaseVersion, run: run.runId }),
    at,
  };
  const lines = Object.entries(facts).map(([name, value]) => `${name}: ${value}`);
  return {
    subject: run === null ? `dbprotect: ${event}` : `${run.stack}: ${event}`,
    text: redact([lineOf(notice), "", ...lines].join("\n")),
    attributes: { event },
  };
}

function lineOf({ text, run }: TeamNotice): string {
  const release = run === null ? "" : `${run.stack}: release ${run.releaseVersion || run.runId}: `;
  return redact(`${release}${text}`);
}

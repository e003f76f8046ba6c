/**
 * The team's own channels: the webhook of `NOTIFY_WEBHOOK_URL` and the topic of `NOTIFY_SNS_TOPIC_ARN`, which hands on by mail.
 * A message says what happened and where to look; never a row, a key or an error's text, which may hold personal data.
 */
import { redact } from "../contract/redaction";
import { type NoticeName, fillTemplate } from "../notices";
import { publishToTopic } from "../platforms/snsTopic";
import { type Delivery, type WebhookPace, postWebhook } from "../platforms/webhook";
import type { CommunicationSettings } from "../settings";

export interface TeamMessage {
  readonly event: NoticeName;
  /** By placeholder of its template; `text` is the line that is said without one. */
  readonly values: Readonly<Record<string, string>> & { readonly text: string; readonly at: string };
  /** For machines, beside the line; null: it belongs to none. */
  readonly facts: Readonly<Record<string, string | null>>;
  /** What the mail's subject begins with. */
  readonly about: string;
}

/** Where the channels are, and how patient one is with them. */
export interface TeamChannels {
  /** Where `NOTIFY_WEBHOOK_URL`, `NOTIFY_SNS_TOPIC_ARN` and what Statuspage needs stand. Default: that of the process. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Texts of the project's own. Default: none. */
  readonly templates?: CommunicationSettings["templates"] | undefined;
  readonly pace?: WebhookPace | undefined;
  /** For SNS. */
  readonly milliseconds?: number | undefined;
}

export interface TeamChannel {
  readonly name: "webhook" | "sns";
  /** Never throws. */
  readonly deliver: (message: TeamMessage) => Promise<Delivery>;
}

/** Those that the environment names. */
export function teamChannels({ env = process.env, templates, pace, milliseconds }: TeamChannels): TeamChannel[] {
  const webhook = env["NOTIFY_WEBHOOK_URL"] || undefined;
  const topic = env["NOTIFY_SNS_TOPIC_ARN"] || undefined;
  const channels: TeamChannel[] = [];
  if (webhook !== undefined)
    channels.push({
      name: "webhook",
      deliver: (message) => postWebhook(webhook, webhookBody(message, templates), pace),
    });
  if (topic !== undefined)
    channels.push({
      name: "sns",
      deliver: (message) => publishToTopic(topic, topicMessage(message, templates), milliseconds),
    });
  return channels;
}

/** As Slack takes it: `&`, `<` and `>` would be markup, and `<!channel>` calls everybody. A template may want just that. */
function webhookBody(message: TeamMessage, templates: TeamChannels["templates"]): object {
  const escaped = (value: string): string =>
    value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const { event, values, facts } = message;
  return { text: lineOf(message, templates, escaped), event, ...facts, at: values.at };
}

function topicMessage(message: TeamMessage, templates: TeamChannels["templates"]) {
  const { event, facts, about, values } = message;
  const lines = Object.entries({ event, ...facts, at: values.at }).flatMap(([name, value]) =>
    value === null ? [] : [`${name}: ${value}`],
  );
  return {
    subject: `${about}: ${event}`,
    text: redact([lineOf(message, templates), "", ...lines].join("\n")),
    attributes: { event },
  };
}

function lineOf(
  { event, values }: TeamMessage,
  templates: TeamChannels["templates"],
  written: (value: string) => string = (value) => value,
): string {
  return redact(fillTemplate(templates?.[event] ?? "{text}", values, written));
}

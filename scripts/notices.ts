/**
 * Every kind of notice that people are told, what its template may name, and what the public status page says of it: the
 * strategy's communication plan. Notify stakeholders, update the status page, document the incident, plan prevention.
 */

const ofRelease = ["text", "at", "stack", "release", "run"] as const;
const ofIncident = ["text", "at", "incident", "title"] as const;

/** By kind of notice: the placeholders that its template may hold. `text` is the line that is said without a template. */
export const notices = {
  "release-started": ofRelease,
  "release-passed": ofRelease,
  "release-failed": ofRelease,
  "rollback-ended": ofRelease,
  frozen: [...ofRelease, "incident"],
  unfrozen: [...ofRelease, "incident"],
  "incident-opened": ofIncident,
  "incident-noted": ofIncident,
  "recovery-started": [...ofIncident, "way"],
  "recovery-ended": [...ofIncident, "way"],
  "incident-mitigated": ofIncident,
  "incident-closed": ofIncident,
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type NoticeName = keyof typeof notices;

/** The state of an incident on a status page of Statuspage. */
export type PageStatus = "investigating" | "identified" | "monitoring" | "resolved";

interface PageNotice {
  readonly status: PageStatus;
  /** Whether the configured components are shown as affected from here on; else as operational. */
  readonly affected: boolean;
  /** What the public reads; the project may say it otherwise. */
  readonly text: string;
}

/** What the public is told, and of nothing else. */
export const pageNotices = {
  "incident-opened": {
    ...{ status: "investigating", affected: true },
    text: "We are investigating a problem with our data.",
  },
  "recovery-started": {
    ...{ status: "identified", affected: true },
    text: "We know what is wrong and are recovering our data.",
  },
  "recovery-ended": {
    ...{ status: "monitoring", affected: true },
    text: "Our data has been recovered. We are verifying it.",
  },
  "incident-mitigated": {
    ...{ status: "monitoring", affected: false },
    text: "The recovered data has been verified. We keep watching.",
  },
  "incident-closed": {
    ...{ status: "resolved", affected: false },
    text: "This is over. We have written down what happened and what keeps it from happening again.",
  },
} as const satisfies Readonly<Partial<Record<NoticeName, PageNotice>>>;

export type PageNoticeName = keyof typeof pageNotices;

/** What the public's texts may name. */
export const pagePlaceholders = ["at", "incident", "title"] as const;

/** `{name}`; other braces are text. */
const placeholder = /\{([a-z]+)\}/g;

/** The first placeholder of the template that is none of these; undefined: all are. */
export function unknownPlaceholder(template: string, known: readonly string[]): string | undefined {
  return [...template.matchAll(placeholder)].map(([, name]) => name ?? "").find((name) => !known.includes(name));
}

/** @param written how a value is put in; default: as it is. */
export function fillTemplate(
  template: string,
  values: Readonly<Record<string, string>>,
  written: (value: string) => string = (value) => value,
): string {
  return template.replace(placeholder, (_, name: string) => written(values[name] ?? ""));
}

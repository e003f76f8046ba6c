/**
 * Statuspage's API (Atlassian), as far as an incident needs it: which are unresolved, opening one, moving one on with its
 * components. Source: its published OpenAPI description 1.0.0. It takes one request a second of each key.
 */
import { z } from "zod";
import { registerSecret } from "../contract/redaction";
import type { PageStatus } from "../notices";
import { type Pace, type PlatformCall, apiAddress, callPlatform, parseAnswer } from "./http";
import { demandSuccess } from "./platformRefusal";

export interface StatuspageAccess {
  /** With the version: `https://api.statuspage.io/v1`. */
  readonly url: string;
  readonly key: string;
}

/** With all its repetitions less than a notice may take: whoever recovers does not wait for a page. */
const statuspagePace: Pace = { attempt: 5_000, total: 9_000, firstPause: 500 };

/** Undefined: `STATUSPAGE_API_KEY` is not set. @throws UsageError for an address that is none. */
export function statuspageFromEnvironment(env: NodeJS.ProcessEnv): StatuspageAccess | undefined {
  const key = env["STATUSPAGE_API_KEY"];
  if (key === undefined || key === "") return undefined;
  registerSecret(key);
  return { url: apiAddress(env, "STATUSPAGE_API_URL", "https://api.statuspage.io/v1"), key };
}

/** What an incident shows a component as; a maintenance has one more. */
export type ComponentStatus = "operational" | "degraded_performance" | "partial_outage" | "major_outage";

/** What is read of an incident on the page. */
const pageIncidentSchema = z.object({
  id: z.string(),
  status: z.string(),
  /** Only objects lie at its top. */
  metadata: z.record(z.string(), z.unknown()).nullish(),
  /** Newest first. */
  incident_updates: z.array(z.object({ status: z.string(), body: z.string().nullable() })).default([]),
});

export type PageIncident = z.infer<typeof pageIncidentSchema>;

/** A step of an incident, as the public sees it. */
export interface PageStep {
  readonly status: PageStatus;
  readonly body: string;
  /** By component id. */
  readonly components: Readonly<Record<string, ComponentStatus>>;
  readonly notifySubscribers: boolean;
}

export class Statuspage {
  constructor(
    private readonly access: StatuspageAccess,
    private readonly pageId: string,
    private readonly options: { readonly pace?: Pace | undefined; readonly signal?: AbortSignal | undefined } = {},
  ) {}

  /** The newest 100 at most. @throws what `#ask` throws. */
  unresolved(): Promise<PageIncident[]> {
    return this.#ask("GET", "incidents/unresolved", undefined, z.array(pageIncidentSchema));
  }

  /** @param metadata kept with it, not shown. @throws what `#ask` throws. */
  create(
    name: string,
    step: PageStep,
    metadata: Readonly<Record<string, Readonly<Record<string, string>>>>,
  ): Promise<PageIncident> {
    return this.#ask("POST", "incidents", { incident: { name, ...bodyOf(step), metadata } }, pageIncidentSchema);
  }

  /** @throws what `#ask` throws. */
  update(id: string, step: PageStep): Promise<PageIncident> {
    return this.#ask("PATCH", `incidents/${encodeURIComponent(id)}`, { incident: bodyOf(step) }, pageIncidentSchema);
  }

  /**
   * @throws Unavailable without an answer or after a 5xx; UsageError for a key that is not known; PlatformRefusal for any
   *   other 4xx. Nothing but reading is repeated, unless it was rejected for its rate.
   */
  async #ask<T extends z.ZodType>(
    method: "GET" | "POST" | "PATCH",
    path: string,
    body: object | undefined,
    schema: T,
  ): Promise<z.output<T>> {
    const call: PlatformCall = {
      ...{ platform: "Statuspage", method, body },
      url: new URL(`${this.access.url}/pages/${encodeURIComponent(this.pageId)}/${path}`),
      headers: { authorization: `OAuth ${this.access.key}` },
      pace: this.options.pace ?? statuspagePace,
      signal: this.options.signal,
    };
    const answer = await callPlatform(call);
    demandSuccess(answer, call, "STATUSPAGE_API_KEY");
    return parseAnswer(schema, answer, call);
  }
}

function bodyOf({ status, body, components, notifySubscribers }: PageStep) {
  const ids = Object.keys(components);
  return {
    ...{ status, body, deliver_notifications: notifySubscribers },
    ...(ids.length === 0 ? {} : { components, component_ids: ids }),
  };
}

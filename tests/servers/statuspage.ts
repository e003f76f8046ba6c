/**
 * A stand-in for Statuspage's API that refuses what the published OpenAPI description 1.0.0 does not know, and keeps the incidents
 * of one page as the service does: newest update first, resolved ones no longer among the unresolved.
 */
import { z } from "zod";
import { type LoopbackServer, serveLoopback } from "../../scripts/rehearsal/loopbackServer";

const timestamp = z.iso.datetime();
// prettier-ignore
const componentStatus = z.enum(["operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage", ""]);

const incidentShape = {
  name: z.string().min(1).max(255),
  // prettier-ignore
  status: z.enum(["investigating", "identified", "monitoring", "resolved", "scheduled", "in_progress", "verifying", "completed"]),
  impact_override: z.enum(["none", "maintenance", "minor", "major", "critical"]),
  scheduled_for: timestamp,
  scheduled_until: timestamp,
  scheduled_remind_prior: z.boolean(),
  auto_transition_to_maintenance_state: z.boolean(),
  auto_transition_to_operational_state: z.boolean(),
  scheduled_auto_in_progress: z.boolean(),
  scheduled_auto_completed: z.boolean(),
  auto_transition_deliver_notifications_at_start: z.boolean(),
  auto_transition_deliver_notifications_at_end: z.boolean(),
  reminder_intervals: z.string(),
  // "All top-level values in the object must also be objects."
  metadata: z.record(z.string(), z.record(z.string(), z.unknown())),
  deliver_notifications: z.boolean(),
  auto_tweet_at_beginning: z.boolean(),
  auto_tweet_on_completion: z.boolean(),
  auto_tweet_on_creation: z.boolean(),
  auto_tweet_one_hour_before: z.boolean(),
  backfill_date: z.string(),
  backfilled: z.boolean(),
  body: z.string().max(25_000),
  components: z.record(z.string(), componentStatus),
  component_ids: z.array(z.string()),
  scheduled_auto_transition: z.boolean(),
};

const changeSchema = z.strictObject({ incident: z.strictObject(incidentShape).partial() });
const newSchema = z.strictObject({ incident: z.strictObject(incidentShape).partial().required({ name: true }) });

type Incident = z.infer<typeof newSchema>["incident"];

export interface FakePageIncident {
  readonly id: string;
  name: string;
  status: string;
  metadata: Record<string, unknown>;
  /** Newest first. */
  readonly incident_updates: { readonly id: string; readonly status: string; readonly body: string }[];
}

export interface StatuspageFake extends LoopbackServer {
  readonly pageId: string;
  readonly incidents: FakePageIncident[];
  /** Status of each component. */
  readonly components: Map<string, string>;
  /** Whether subscribers were told, of each change. */
  readonly notified: boolean[];
  /** What it refused, for its form. */
  readonly refused: string[];
  /** What becomes of the next calls: a status that they are answered with instead; `lose`: carried out, and the answer lost. */
  readonly answers: (number | "lose" | "pass")[];
  /** For commands, and for `statuspageFromEnvironment`. */
  readonly env: { readonly STATUSPAGE_API_KEY: string; readonly STATUSPAGE_API_URL: string };
}

export const statuspageKey = "89a229ce-statuspage-api-key";

export async function startStatuspage(components: readonly string[]): Promise<StatuspageFake> {
  const pageId = "gytm4qzbx9t6";
  const state = {
    incidents: [] as FakePageIncident[],
    components: new Map(components.map((id) => [id, "operational"])),
    notified: [] as boolean[],
    refused: [] as string[],
    answers: [] as (number | "lose" | "pass")[],
  };
  let made = 0;
  const newId = (): string => (++made).toString(36).padStart(12, "p31zjtct2jer");

  function change(incident: FakePageIncident, what: Partial<Incident>): void {
    const { name = incident.name, status = incident.status, metadata = incident.metadata, body } = what;
    Object.assign(incident, { name, status, metadata });
    if (body !== undefined) incident.incident_updates.unshift({ id: newId(), status, body });
    for (const [id, to] of Object.entries(what.components ?? {})) state.components.set(id, to);
    state.notified.push(what.deliver_notifications ?? true);
  }

  const failure = (status: number, error: string) => ({ status, body: { error } });
  const refusal = (why: string) => {
    state.refused.push(why);
    return failure(422, why);
  };

  function carryOut(method: string, path: string, text: string) {
    const [, page, rest = ""] = /^\/v1\/pages\/([^/]+)\/(.+)$/.exec(path) ?? [];
    if (page !== pageId) return failure(404, "page not found");
    if (method === "GET" && rest === "incidents/unresolved")
      return { status: 200, body: state.incidents.filter(({ status }) => status !== "resolved") };
    const isNew = method === "POST" && rest === "incidents";
    const [, id] = /^incidents\/([a-z0-9]+)$/.exec(rest) ?? [];
    if (!isNew && !(method === "PATCH" && id !== undefined)) return failure(404, `no such route: ${method} ${path}`);
    const parsed = (isNew ? newSchema : changeSchema).safeParse(JSON.parse(text));
    if (!parsed.success) return refusal(z.prettifyError(parsed.error));
    const what = parsed.data.incident;
    const named = [...(what.component_ids ?? []), ...Object.keys(what.components ?? {})];
    const strange = named.find((component) => !state.components.has(component));
    if (strange !== undefined) return refusal(`component ${strange} is not of this page`);
    if (isNew) {
      const { name = "" } = what;
      const incident = { id: newId(), name, status: "investigating", metadata: {}, incident_updates: [] };
      change(incident, what);
      state.incidents.push(incident);
      return { status: 201, body: incident };
    }
    const incident = state.incidents.find((each) => each.id === id);
    if (incident === undefined) return failure(404, "incident not found");
    change(incident, what);
    return { status: 200, body: incident };
  }

  const server = await serveLoopback(async ({ method, url, headers, body }) => {
    const instead = state.answers.shift();
    if (typeof instead === "number") return failure(instead, "Rate limit exceeded");
    if (headers.authorization !== `OAuth ${statuspageKey}`) return failure(401, "Could not authenticate");
    if (method !== "GET" && !/^application\/json/.test(headers["content-type"] ?? "")) return refusal("not JSON");
    const answer = carryOut(method, url.pathname, body);
    return instead === "lose" ? failure(502, "the answer was lost") : answer;
  });
  return {
    ...server,
    ...{ pageId, ...state },
    env: { STATUSPAGE_API_KEY: statuspageKey, STATUSPAGE_API_URL: `${server.url}/v1` },
  };
}

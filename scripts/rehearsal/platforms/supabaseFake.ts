/**
 * A stand-in for the part of Supabase's Management API that Level 1 reads: checks token, project and every parameter as
 * the published description has them, takes restore points through their states, and can be told to fail.
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { serveLoopback, type Answer, type Call } from "../loopbackServer";
import { Faults } from "./faults";

/** What the project is like; a test changes it between two calls. */
export interface SupabaseState {
  plan: "free" | "pro" | "team" | "enterprise";
  status: string;
  region: string;
  pitr: boolean;
  backups: { status: string; insertedAt: Date }[];
  /** Of PITR. */
  window: { earliest: Date; latest: Date } | undefined;
  /** `HH:MM:SS`, UTC. */
  schedule: string;
  /** Days that the plan keeps backups; 0: none. */
  retentionDays: number;
  replicas: { region: string; status: string }[];
  /** Services that are not well. */
  ill: Map<string, string>;
  disk: { size: number; used: number };
  /** Requests to the API in the last 15 minutes. */
  apiRequests: { auth: number; realtime: number; rest: number; storage: number };
  lints: { security: SupabaseFakeLint[]; performance: SupabaseFakeLint[] };
  /** How many looks a new restore point is PENDING for, and what it becomes. */
  restorePoint: { looks: number; becomes: "AVAILABLE" | "FAILED" | "REMOVED" };
}

export interface SupabaseFakeLint {
  readonly name: string;
  readonly level: "ERROR" | "WARN" | "INFO";
  readonly detail: string;
}

export interface SupabaseFake {
  readonly url: string;
  readonly projectRef: string;
  readonly token: string;
  /** The three variables that lead a client here. */
  readonly environment: Readonly<Record<string, string>>;
  readonly state: SupabaseState;
  readonly faults: Faults;
  /** `GET /v1/projects/…`, in order. */
  readonly calls: readonly string[];
  close(): Promise<void>;
}

/** Facts of the published description, by path below `/v1`; a test holds them against it. */
export const serviceNames = [
  "auth",
  "db",
  "db_postgres_user",
  "pooler",
  "realtime",
  "rest",
  "storage",
  "pg_bouncer",
] as const;

const apiIntervals = ["15min", "30min", "1hr", "3hr", "1day", "3day", "7day"];

const servicesSchema = z.array(z.enum(serviceNames)).min(1);
const restorePointBodySchema = z.object({ name: z.string().max(20) });

const organization = "rehearsal-organization";

/** A paid project that is well: a backup of last night, seven days kept. */
function wellProject(): SupabaseState {
  const day = 86_400_000;
  const lastNight = new Date(Date.now() - 6 * 3_600_000);
  return {
    plan: "pro",
    status: "ACTIVE_HEALTHY",
    region: "eu-central-1",
    pitr: false,
    backups: [0, 1, 2].map((days) => ({
      status: "COMPLETED",
      insertedAt: new Date(lastNight.getTime() - days * day),
    })),
    window: undefined,
    schedule: "02:00:00",
    retentionDays: 7,
    replicas: [],
    ill: new Map(),
    disk: { size: 8e9, used: 2e9 },
    apiRequests: { auth: 15, realtime: 0, rest: 150, storage: 15 },
    lints: { security: [], performance: [] },
    restorePoint: { looks: 1, becomes: "AVAILABLE" },
  };
}

interface Point {
  readonly name: string;
  status: string;
  completed_on: string | null;
  looks: number;
}

export async function startSupabaseFake(): Promise<SupabaseFake> {
  const projectRef = Array.from(randomBytes(20), (byte) => String.fromCharCode(97 + (byte % 26))).join("");
  const token = `sbp_${randomBytes(20).toString("hex")}`;
  const state = wellProject();
  const faults = new Faults((status) => ({ message: `failed with ${status}` }));
  const calls: string[] = [];
  const points: Point[] = [];

  const project = (): object => ({
    id: projectRef,
    ref: projectRef,
    organization_id: organization,
    organization_slug: organization,
    name: "crm",
    region: state.region,
    created_at: "2025-01-01T00:00:00Z",
    status: state.status,
    database: {
      host: `db.${projectRef}.supabase.co`,
      version: "17.4.1.045",
      postgres_engine: "17",
      release_channel: "ga",
    },
  });

  const unix = (date: Date): number => Math.floor(date.getTime() / 1000);

  const backups = (): object => ({
    region: state.region,
    walg_enabled: true,
    pitr_enabled: state.pitr,
    // Turning PITR on stops the daily backups.
    backups: (state.pitr ? [] : state.backups).map(({ status, insertedAt }, id) => ({
      id,
      is_physical_backup: false,
      status,
      inserted_at: insertedAt.toISOString(),
    })),
    physical_backup_data:
      state.window === undefined
        ? {}
        : {
            earliest_physical_backup_date_unix: unix(state.window.earliest),
            latest_physical_backup_date_unix: unix(state.window.latest),
          },
  });

  const health = (url: URL): Answer => {
    const services = servicesSchema.safeParse(url.searchParams.getAll("services"));
    if (!services.success) return failure(400, "services: expected names of services");
    return ok(
      services.data.map((name) => {
        const status = state.ill.get(name) ?? "ACTIVE_HEALTHY";
        const healthy = status === "ACTIVE_HEALTHY";
        return { name, healthy, status, ...(healthy ? {} : { error: "connection refused" }) };
      }),
    );
  };

  const lints = (kind: "security" | "performance"): object => ({
    lints: state.lints[kind].map(({ name, level, detail }) => ({
      name,
      title: name,
      level,
      facing: "EXTERNAL",
      categories: [kind.toUpperCase()],
      description: detail,
      detail,
      remediation: "https://supabase.com/docs/guides/database/database-linter",
      cache_key: `${name}_${detail}`,
    })),
  });

  const shown = ({ name, status, completed_on }: Point): object => ({ name, status, completed_on });

  const createPoint = (body: string): Answer => {
    const parsed = restorePointBodySchema.safeParse(parseJson(body));
    if (!parsed.success) return failure(400, "name: must be shorter than or equal to 20 characters");
    if (!state.pitr) return failure(400, "PITR is not enabled for this project.");
    const point = { name: parsed.data.name, status: "PENDING", completed_on: null, looks: 0 };
    points.push(point);
    return ok(shown(point), 201);
  };

  const readPoint = (name: string | null): Answer => {
    const point = points.findLast((candidate) => name === null || candidate.name === name);
    if (point === undefined) return failure(404, "Restore point not found");
    if (point.status === "PENDING" && point.looks++ >= state.restorePoint.looks) {
      point.status = state.restorePoint.becomes;
      point.completed_on = new Date().toISOString();
    }
    return ok(shown(point));
  };

  const apiCounts = (url: URL): Answer => {
    if (!apiIntervals.includes(url.searchParams.get("interval") ?? "1day")) return failure(400, "Invalid interval");
    const { auth, realtime, rest, storage } = state.apiRequests;
    const rows = [
      { auth, realtime, rest: rest - 1, storage },
      { auth: 0, realtime: 0, rest: 1, storage: 0 },
    ];
    return ok({
      result: rows.map((row, place) => ({
        timestamp: new Date(Date.now() - place * 60_000).toISOString(),
        total_auth_requests: row.auth,
        total_realtime_requests: row.realtime,
        total_rest_requests: row.rest,
        total_storage_requests: row.storage,
      })),
    });
  };

  const ofProject = (path: string, { method, url, body }: Call): Answer | undefined => {
    switch (`${method} ${path}`) {
      case "GET ":
        return ok(project());
      case "GET /database/backups":
        return ok(backups());
      case "GET /database/backups/schedule":
        if (state.plan === "free") return failure(402, "Feature requires a higher plan");
        return ok({ schedule_for: state.schedule, updated_at: "2026-05-04T14:40:44+00:00" });
      case "POST /database/backups/restore-point":
        return createPoint(body);
      case "GET /database/backups/restore-point":
        return readPoint(url.searchParams.get("name"));
      case "GET /health":
        return health(url);
      case "GET /config/disk/util":
        return ok({
          timestamp: new Date().toISOString(),
          metrics: {
            fs_size_bytes: state.disk.size,
            fs_used_bytes: state.disk.used,
            fs_avail_bytes: state.disk.size - state.disk.used,
          },
        });
      case "GET /analytics/endpoints/usage.api-counts":
        return apiCounts(url);
      case "GET /advisors/security":
        return ok(lints("security"));
      case "GET /advisors/performance":
        return ok(lints("performance"));
      default:
        return undefined;
    }
  };

  const ofOrganization = (path: string): Answer | undefined => {
    switch (path) {
      case "":
        return ok({
          id: organization,
          name: "Rehearsal",
          plan: state.plan,
          opt_in_tags: [],
          allowed_release_channels: ["ga"],
        });
      case "/entitlements":
        return ok({
          entitlements: [
            {
              feature: { key: "backup.retention_days", type: "numeric" },
              hasAccess: state.retentionDays > 0,
              type: "numeric",
              config: { enabled: state.retentionDays > 0, value: state.retentionDays, unlimited: false, unit: "days" },
            },
          ],
        });
      case "/projects":
        return ok({
          projects: [
            {
              ...{ ref: projectRef, name: "crm", cloud_provider: "AWS", region: state.region, is_branch: false },
              ...{ status: state.status, inserted_at: "2025-01-01T00:00:00Z" },
              databases: [
                { region: state.region, status: state.status, type: "PRIMARY" },
                ...state.replicas.map((replica) => ({ ...replica, type: "READ_REPLICA" })),
              ].map((database, place) => ({
                ...database,
                cloud_provider: "AWS",
                identifier: `${projectRef}-${place}`,
              })),
            },
          ],
          pagination: { count: 1, limit: 100, offset: 0 },
        });
      default:
        return undefined;
    }
  };

  const respond = async (call: Call): Promise<Answer> => {
    if (call.headers.authorization !== `Bearer ${token}`) return failure(401, "Unauthorized");
    const found = /^\/v1\/(projects|organizations)\/([\w-]+)(\/.*)?$/.exec(call.url.pathname);
    const [, kind, id, path = ""] = found ?? [];
    if (kind === "projects" && id === projectRef) return ofProject(path, call) ?? failure(404, "Not Found");
    if (kind === "organizations" && id === organization && call.method === "GET") {
      return ofOrganization(path) ?? failure(404, "Not Found");
    }
    return failure(kind === "projects" ? 404 : 403, kind === "projects" ? "Project not found" : "Forbidden action");
  };

  const server = await serveLoopback((call) => {
    calls.push(`${call.method} ${call.url.pathname}`);
    return faults.answer(call, () => respond(call));
  });
  return {
    ...{ url: server.url, projectRef, token, state, faults, calls },
    environment: { SUPABASE_API_URL: server.url, SUPABASE_ACCESS_TOKEN: token, SUPABASE_PROJECT_REF: projectRef },
    close: () => server.close(),
  };
}

function ok(body: unknown, status = 200): Answer {
  return { status, body };
}

function failure(status: number, message: string): Answer {
  return { status, body: { message } };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

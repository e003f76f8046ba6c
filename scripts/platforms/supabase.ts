/**
 * Supabase's Management API, as far as Level 1 needs it: what the platform backs up, keeps, reports of itself, and
 * restore points. Only what is read is demanded of an answer. Source: the published OpenAPI description (2026).
 */
import { z } from "zod";
import { UsageError } from "../contract/failure";
import { registerSecret } from "../contract/redaction";
import { type Pace, type PlatformCall, apiAddress, callPlatform, parseAnswer } from "./http";
import { PlatformRefusal, demandSuccess } from "./platformRefusal";

export interface SupabaseAccess {
  /** Scheme and host. */
  readonly url: string;
  readonly token: string;
  /** 20 lower-case letters. */
  readonly projectRef: string;
}

/** `SUPABASE_PROJECT_REF`, the first label of the project's address: `https://<ref>.supabase.co`. */
export const projectRefPattern = /^[a-z]{20}$/;

/** The services whose health belongs to protection: without one of them the application does not answer. */
const watchedServices = ["auth", "db", "pooler", "realtime", "rest", "storage"];

const projectSchema = z.object({
  ref: z.string(),
  name: z.string(),
  region: z.string(),
  status: z.string(),
  organization_slug: z.string(),
  database: z.object({ host: z.string(), version: z.string() }),
});

const backupsSchema = z.object({
  region: z.string(),
  walg_enabled: z.boolean(),
  pitr_enabled: z.boolean(),
  backups: z.array(z.object({ is_physical_backup: z.boolean(), status: z.string(), inserted_at: z.string() })),
  /** Unix times, in seconds; the fields are absent where no physical backup was taken yet. */
  physical_backup_data: z.object({
    earliest_physical_backup_date_unix: z.int().nullish(),
    latest_physical_backup_date_unix: z.int().nullish(),
  }),
});

const entitlementsSchema = z.object({
  entitlements: z.array(
    z.object({
      feature: z.object({ key: z.string() }),
      hasAccess: z.boolean(),
      config: z.looseObject({ value: z.number().optional(), unlimited: z.boolean().optional() }),
    }),
  ),
});

const organizationSchema = z.object({ plan: z.string().optional() });

const projectsSchema = z.object({
  projects: z.array(
    z.object({
      ref: z.string(),
      databases: z.array(
        z.object({ type: z.string(), status: z.string(), region: z.string(), identifier: z.string() }),
      ),
    }),
  ),
  pagination: z.object({ count: z.number() }),
});

const healthSchema = z.array(z.object({ name: z.string(), status: z.string(), error: z.string().optional() }));

const diskSchema = z.object({ metrics: z.object({ fs_size_bytes: z.number(), fs_used_bytes: z.number() }) });

const advisorsSchema = z.object({
  lints: z.array(z.object({ name: z.string(), level: z.string(), detail: z.string(), cache_key: z.string() })),
});

const apiCountsSchema = z.object({
  result: z
    .array(
      z.object({
        total_auth_requests: z.number(),
        total_realtime_requests: z.number(),
        total_rest_requests: z.number(),
        total_storage_requests: z.number(),
      }),
    )
    .default([]),
});

const restorePointSchema = z.object({
  name: z.string(),
  /** AVAILABLE, PENDING, REMOVED or FAILED. */
  status: z.string(),
  completed_on: z.string().nullable(),
});

export type SupabaseProject = z.infer<typeof projectSchema>;
export type SupabaseBackups = z.infer<typeof backupsSchema>;
export type SupabaseDatabase = z.infer<typeof projectsSchema>["projects"][number]["databases"][number];
export type SupabaseService = z.infer<typeof healthSchema>[number];
export type SupabaseLint = z.infer<typeof advisorsSchema>["lints"][number];
export type RestorePoint = z.infer<typeof restorePointSchema>;

/**
 * @returns undefined where neither the token nor the project is set.
 * @throws UsageError when one of them is missing, or the project's reference is none.
 */
export function supabaseFromEnvironment(env: NodeJS.ProcessEnv = process.env): SupabaseAccess | undefined {
  const token = env["SUPABASE_ACCESS_TOKEN"] || undefined;
  const projectRef = env["SUPABASE_PROJECT_REF"] || undefined;
  if (token === undefined && projectRef === undefined) return undefined;
  registerSecret(token);
  if (token === undefined) {
    throw new UsageError(
      "SUPABASE_ACCESS_TOKEN: found nothing, although SUPABASE_PROJECT_REF is set: expected a token",
      {
        hint: "create one at https://supabase.com/dashboard/account/tokens",
      },
    );
  }
  if (projectRef === undefined || !projectRefPattern.test(projectRef)) {
    const found = projectRef === undefined ? "nothing" : JSON.stringify(projectRef);
    throw new UsageError(`SUPABASE_PROJECT_REF: found ${found}: expected the project's 20 lower-case letters`, {
      hint: "it is the first part of SUPABASE_URL",
    });
  }
  return { url: apiAddress(env, "SUPABASE_API_URL", "https://api.supabase.com"), token, projectRef };
}

/** A list repeats its name, as OpenAPI has it by default (style form, exploded). */
type Query = Readonly<Record<string, string | readonly string[]>>;

export class Supabase {
  constructor(
    private readonly access: SupabaseAccess,
    private readonly options: { readonly pace?: Pace; readonly signal?: AbortSignal } = {},
  ) {}

  get projectRef(): string {
    return this.access.projectRef;
  }

  async project(): Promise<SupabaseProject> {
    try {
      return await this.#get("", projectSchema);
    } catch (error) {
      if (!(error instanceof PlatformRefusal) || error.status !== 404) throw error;
      throw new UsageError(`SUPABASE_PROJECT_REF: ${error.message}`, {
        hint: "expected a project that this token can see",
      });
    }
  }

  backups(): Promise<SupabaseBackups> {
    return this.#get("/database/backups", backupsSchema);
  }

  /** `HH:MM:SS` in UTC; undefined: this plan does not tell, for it cannot be chosen (402). */
  async scheduledFor(): Promise<string | undefined> {
    try {
      return (await this.#get("/database/backups/schedule", z.object({ schedule_for: z.string() }))).schedule_for;
    } catch (error) {
      if (error instanceof PlatformRefusal && error.status === 402) return undefined;
      throw error;
    }
  }

  /** `free`, `pro`, …; undefined where Supabase does not say. */
  async plan(organization: string): Promise<string | undefined> {
    const { plan } = await this.#read(`/v1/organizations/${encodeURIComponent(organization)}`, {}, organizationSchema);
    return plan;
  }

  /** Days that the plan keeps daily backups: 0 where it keeps none, Infinity without a limit. */
  async retentionDays(organization: string): Promise<number> {
    const path = `/v1/organizations/${encodeURIComponent(organization)}/entitlements`;
    const { entitlements } = await this.#read(path, {}, entitlementsSchema);
    const found = entitlements.find(({ feature }) => feature.key === "backup.retention_days");
    if (found?.hasAccess !== true) return 0;
    return found.config.unlimited === true ? Number.POSITIVE_INFINITY : (found.config.value ?? 0);
  }

  /** The project's databases: the primary, and its read replicas. */
  async databases(organization: string): Promise<SupabaseDatabase[]> {
    const path = `/v1/organizations/${encodeURIComponent(organization)}/projects`;
    for (let offset = 0; ; offset += 100) {
      const query = { limit: "100", offset: String(offset) };
      const { projects, pagination } = await this.#read(path, query, projectsSchema);
      const own = projects.find(({ ref }) => ref === this.access.projectRef);
      if (own !== undefined) return own.databases;
      if (projects.length === 0 || offset + projects.length >= pagination.count) return [];
    }
  }

  services(): Promise<SupabaseService[]> {
    return this.#get("/health", healthSchema, { services: watchedServices });
  }

  async disk(): Promise<{ readonly size: number; readonly used: number }> {
    const { metrics } = await this.#get("/config/disk/util", diskSchema);
    return { size: metrics.fs_size_bytes, used: metrics.fs_used_bytes };
  }

  /** Requests of the last 15 minutes, the shortest interval that it takes, by service. */
  async apiRequests(): Promise<Readonly<Record<"auth" | "realtime" | "rest" | "storage", number>>> {
    const query = { interval: "15min" };
    const { result } = await this.#get("/analytics/endpoints/usage.api-counts", apiCountsSchema, query);
    const sum = (field: keyof (typeof result)[number]): number => result.reduce((total, row) => total + row[field], 0);
    return {
      auth: sum("total_auth_requests"),
      realtime: sum("total_realtime_requests"),
      rest: sum("total_rest_requests"),
      storage: sum("total_storage_requests"),
    };
  }

  async advisors(kind: "security" | "performance"): Promise<SupabaseLint[]> {
    return (await this.#get(`/advisors/${kind}`, advisorsSchema)).lints;
  }

  /**
   * Asks for a restore point; it is usable only once it is AVAILABLE. Not repeated: whether a call without an answer was
   * carried out is seen by `restorePoint`.
   *
   * @param name at most 20 characters.
   */
  async createRestorePoint(name: string): Promise<RestorePoint> {
    const call = this.#call("POST", `/v1/projects/${this.access.projectRef}/database/backups/restore-point`, {});
    const answer = await callPlatform({ ...call, body: { name } });
    demandSuccess(answer, call, "SUPABASE_ACCESS_TOKEN");
    return parseAnswer(restorePointSchema, answer, call);
  }

  /** Undefined: there is none of that name. */
  async restorePoint(name: string): Promise<RestorePoint | undefined> {
    try {
      return await this.#get("/database/backups/restore-point", restorePointSchema, { name });
    } catch (error) {
      if (error instanceof PlatformRefusal && error.status === 404) return undefined;
      throw error;
    }
  }

  #get<T extends z.ZodType>(path: string, schema: T, query: Query = {}): Promise<z.output<T>> {
    return this.#read(`/v1/projects/${this.access.projectRef}${path}`, query, schema);
  }

  async #read<T extends z.ZodType>(path: string, query: Query, schema: T): Promise<z.output<T>> {
    const call = this.#call("GET", path, query);
    const answer = await callPlatform(call);
    demandSuccess(answer, call, "SUPABASE_ACCESS_TOKEN");
    return parseAnswer(schema, answer, call);
  }

  #call(method: "GET" | "POST", path: string, query: Query): PlatformCall {
    const url = new URL(path, this.access.url);
    for (const [name, value] of Object.entries(query)) {
      for (const each of [value].flat()) url.searchParams.append(name, each);
    }
    const headers = { authorization: `Bearer ${this.access.token}` };
    return { platform: "Supabase", method, url, headers, ...this.options };
  }
}

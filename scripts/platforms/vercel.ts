/**
 * Vercel's REST API, as far as releases need it: what production is, what it can be rolled back to, rolling back.
 * The version in each path is the one that was read about when this was written; Vercel serves several.
 */
import { z } from "zod";
import { UsageError } from "../contract/failure";
import type { DeploymentPhase } from "./deploymentPhase";
import { type Pace, apiAddress, callPlatform, parseAnswer } from "./http";
import { demandSuccess } from "./platformRefusal";

export interface VercelAccess {
  /** Scheme and host. */
  readonly url: URL;
  readonly token: string;
  /** Undefined: the token's own account. */
  readonly teamId: string | undefined;
  readonly projectId: string;
}

/** QUEUED, INITIALIZING, BUILDING, READY, ERROR, CANCELED, DELETED, BLOCKED, or one that Vercel did not have then. */
const readyState = z.string();

const listedSchema = z.object({
  uid: z.string(),
  url: z.string().nullish(),
  readyState: readyState.optional(),
  state: readyState.optional(),
  target: z.string().nullish(),
  createdAt: z.number().optional(),
  created: z.number().optional(),
  isRollbackCandidate: z.boolean().nullish(),
});

const deploymentSchema = z.object({
  id: z.string(),
  url: z.string(),
  readyState,
  target: z.string().nullish(),
  createdAt: z.number(),
});

export interface VercelDeployment {
  readonly id: string;
  /** Without scheme. */
  readonly url: string;
  readonly readyState: string;
  readonly target: string | null;
  /** UTC, ISO 8601. */
  readonly createdAt: string;
}

/** Vercel has described both places for the text. */
const buildEventSchema = z.object({
  /** stdout, stderr, command, fatal, deployment-state, … */
  type: z.string(),
  created: z.number(),
  text: z.string().optional(),
  payload: z.object({ text: z.string().optional() }).nullish(),
});

export interface VercelLogLine {
  /** Milliseconds since 1970, by Vercel's clock. */
  readonly created: number;
  readonly message: string;
  readonly isError: boolean;
}

const aliasRequestSchema = z.object({
  fromDeploymentId: z.string().nullish(),
  toDeploymentId: z.string(),
  /** pending, in-progress, succeeded, failed, skipped. */
  jobStatus: z.string(),
  /** Milliseconds since 1970, by Vercel's clock. */
  requestedAt: z.number(),
  type: z.string(),
});

const projectSchema = z.object({
  id: z.string(),
  name: z.string(),
  targets: z.object({ production: z.object({ id: z.string() }).nullish() }).nullish(),
  lastAliasRequest: aliasRequestSchema.nullish(),
});

export interface VercelProject {
  readonly id: string;
  readonly name: string;
  /** The deployment that the production domains point to; null: none yet. */
  readonly productionId: string | null;
  /** The last rollback or promotion; null: there was none. */
  readonly lastAliasRequest: z.infer<typeof aliasRequestSchema> | null;
}

/**
 * `VERCEL_TOKEN`, `VERCEL_PROJECT_ID` and, where that is a team's, `VERCEL_ORG_ID`.
 *
 * @returns undefined where no token is set.
 * @throws UsageError when it is set alone.
 */
export function vercelFromEnvironment(env: NodeJS.ProcessEnv = process.env): VercelAccess | undefined {
  const token = env["VERCEL_TOKEN"] || undefined;
  if (token === undefined) return undefined;
  const projectId = env["VERCEL_PROJECT_ID"] || undefined;
  if (projectId === undefined) {
    throw new UsageError("VERCEL_PROJECT_ID is not set: expected the project's id or name, beside VERCEL_TOKEN", {
      hint: "vercel link writes it to .vercel/project.json",
    });
  }
  // Vercel's own CLI writes the user's id there where no team owns the project; the API has no parameter for that.
  const owner = env["VERCEL_ORG_ID"] || undefined;
  const teamId = owner?.startsWith("team_") === true ? owner : undefined;
  return { url: new URL(apiAddress(env, "VERCEL_API_URL", "https://api.vercel.com")), token, teamId, projectId };
}

export function vercelPhase(state: string): DeploymentPhase {
  switch (state) {
    case "READY":
      return "live";
    case "QUEUED":
    case "INITIALIZING":
    case "BUILDING":
      return "passing";
    case "BLOCKED":
      return "waiting";
    case "ERROR":
    case "CANCELED":
    case "DELETED":
      return "ended";
    default:
      return "unknown";
  }
}

export class Vercel {
  constructor(
    private readonly access: VercelAccess,
    private readonly options: { readonly pace?: Pace; readonly signal?: AbortSignal } = {},
  ) {}

  /** `/v9/projects/<id>`: below it lies what belongs to the project. */
  projectPath(version: string): string {
    return `/${version}/projects/${encodeURIComponent(this.access.projectId)}`;
  }

  get projectId(): string {
    return this.access.projectId;
  }

  /** The project, and how its last rollback or promotion goes. */
  async project(): Promise<VercelProject> {
    const path = `/v9/projects/${encodeURIComponent(this.access.projectId)}`;
    const found = await this.request("GET", path, projectSchema, { query: { rollbackInfo: "true" } });
    const { id, name, targets, lastAliasRequest } = found;
    return { id, name, productionId: targets?.production?.id ?? null, lastAliasRequest: lastAliasRequest ?? null };
  }

  /** @param idOrUrl an id, or the host of its address. */
  async deployment(idOrUrl: string): Promise<VercelDeployment> {
    const found = await this.request("GET", `/v13/deployments/${encodeURIComponent(idOrUrl)}`, deploymentSchema);
    return { ...found, target: found.target ?? null, createdAt: new Date(found.createdAt).toISOString() };
  }

  /** Production deployments that traffic can be pointed to again, newest first. */
  async rollbackCandidates(): Promise<VercelDeployment[]> {
    return this.#productionDeployments({ rollbackCandidate: "true", limit: "20" });
  }

  /** The newest production deployment, whatever became of it; null: there is none. */
  async latest(): Promise<VercelDeployment | null> {
    return (await this.#productionDeployments({ limit: "1" }))[0] ?? null;
  }

  /**
   * What building the deployment wrote, oldest first.
   *
   * @param since milliseconds since 1970, by Vercel's clock; lines of that very millisecond may come again.
   */
  async buildLog(deploymentId: string, since?: number): Promise<VercelLogLine[]> {
    const path = `/v3/deployments/${encodeURIComponent(deploymentId)}/events`;
    const query = { builds: "1", limit: "-1", ...(since === undefined ? {} : { since: String(since) }) };
    const events = await this.request("GET", path, z.array(buildEventSchema), { query });
    return events.flatMap(({ type, created, text, payload }) => {
      const line = text ?? payload?.text;
      return line === undefined ? [] : [{ created, message: line, isError: type === "stderr" || type === "fatal" }];
    });
  }

  async #productionDeployments(filter: Readonly<Record<string, string>>): Promise<VercelDeployment[]> {
    const query = { projectId: this.access.projectId, target: "production", ...filter };
    const schema = z.object({ deployments: z.array(listedSchema) });
    const { deployments } = await this.request("GET", "/v7/deployments", schema, { query });
    return deployments.map((found) => ({
      id: found.uid,
      url: found.url ?? "",
      readyState: found.readyState ?? found.state ?? "",
      target: found.target ?? null,
      createdAt: new Date(found.createdAt ?? found.created ?? 0).toISOString(),
    }));
  }

  /**
   * Asks to point the production domains to that deployment; 201 means accepted: follow it in `project`.
   *
   * @throws PlatformRefusal with status 402 (the plan goes back one deployment only), 409 (another request is under way),
   *   410 (it is gone) or 422 (it cannot be rolled back to); Unavailable also when it may have been accepted.
   */
  async rollback(deploymentId: string): Promise<void> {
    const project = encodeURIComponent(this.access.projectId);
    const path = `/v9/projects/${project}/rollback/${encodeURIComponent(deploymentId)}`;
    await this.request("POST", path, z.unknown(), { body: {} });
  }

  /** One request, repeated where it failed for a passing reason and asking twice does no more than asking once. */
  async request<T extends z.ZodType>(
    method: "GET" | "POST" | "PATCH" | "PUT",
    path: string,
    schema: T,
    {
      query = {},
      body,
      // To set a value twice is to set it once.
      repeatable = method !== "POST",
    }: {
      readonly query?: Readonly<Record<string, string>>;
      readonly body?: object;
      readonly repeatable?: boolean;
    } = {},
  ): Promise<z.output<T>> {
    const { token, teamId } = this.access;
    const url = new URL(path, this.access.url);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    if (teamId !== undefined) url.searchParams.set("teamId", teamId);
    const call = { platform: "Vercel", method, url } as const;
    const { pace, signal } = this.options;
    const headers = { authorization: `Bearer ${token}` };
    const answer = await callPlatform({ ...call, headers, body, pace, signal, repeatable });
    demandSuccess(answer, call, "VERCEL_TOKEN");
    return parseAnswer(schema, answer, call);
  }
}

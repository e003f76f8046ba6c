/**
 * A stand-in for Vercel's REST API on loopback, for deployments, rollbacks and the firewall: checks every request by schema and the token
 * as Vercel does, keeps deployments and moves them through Vercel's states, and can be told to fail. Vercel's path versions
 * drift, so any version is served.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { messageOf } from "../../contract/failure";
import { serveLoopback, type Answer, type Call } from "../loopbackServer";
import { Faults } from "./faults";
import type { RequestLog } from "./requestLog";
import { type FirewallFake, startFirewallFake } from "./vercelFirewallFake";

export interface VercelFakeOptions {
  readonly token: string;
  readonly log: RequestLog;
  readonly liveCommit: string;
  /** Milliseconds that a deployment spends in QUEUED, and again in BUILDING. */
  readonly phaseMilliseconds: number;
  /** Puts a built commit behind the production address; a rejection makes the deployment ERROR. */
  readonly goLive: (commit: string) => Promise<void>;
  /** The project's variables. Default: none. */
  readonly variables?: readonly VercelFakeVariable[];
  /** The Hobby plan goes back one deployment only. Default `pro`. */
  readonly plan?: "hobby" | "pro";
}

export interface VercelFakeVariable {
  readonly key: string;
  value: string;
  readonly type: "plain" | "encrypted" | "sensitive";
  readonly target: readonly ("production" | "preview" | "development")[];
}

export interface VercelFake {
  /** For `VERCEL_API_URL`. */
  readonly url: string;
  readonly teamId: string;
  readonly projectId: string;
  /** What goes wrong with the API itself. */
  readonly faults: Faults;
  /** What stands before the production domains. */
  readonly firewall: FirewallFake;
  /** The value that production runs with; a test changes it as somebody at the dashboard would. */
  edit(key: string, value: string): void;
  /** What production is given, whatever may be read. */
  valueOf(key: string): string | undefined;
  failNextBuild(): void;
  /** The job of the next rollback fails. */
  failNextRollback(): void;
  /** What is live in production is in this state from now on. */
  endLive(readyState: "ERROR" | "CANCELED" | "DELETED"): void;
  /** The id of the deployment that the production domains point to. */
  productionId(): string;
  close(): Promise<void>;
}

type ReadyState = "QUEUED" | "BUILDING" | "READY" | "ERROR" | "CANCELED" | "DELETED";

interface Deployment {
  readonly id: string;
  readonly url: string;
  readonly commit: string;
  readonly target: "production" | null;
  readonly createdAt: number;
  readonly events: { readonly type: string; readonly created: number; readonly text: string }[];
  readyState: ReadyState;
  readyAt: number | undefined;
}

/** A rollback as the project tells of it. */
interface AliasRequest {
  readonly fromDeploymentId: string;
  readonly toDeploymentId: string;
  readonly requestedAt: number;
  readonly type: "rollback";
  jobStatus: "pending" | "in-progress" | "succeeded" | "failed" | "skipped";
}

const projectName = "crm-frontend";

/** POST /v13/deployments, of the documented body what a deployment of inlined files needs. */
const createDeploymentSchema = z.strictObject({
  name: z.string().min(1),
  project: z.string().optional(),
  target: z.enum(["production", "staging"]).optional(),
  files: z
    .array(
      z.strictObject({ file: z.string().min(1), data: z.string(), encoding: z.enum(["base64", "utf-8"]).optional() }),
    )
    .min(1),
  gitMetadata: z.strictObject({
    commitSha: z.string(),
    commitMessage: z.string().optional(),
    commitRef: z.string().optional(),
    dirty: z.boolean().optional(),
  }),
  projectSettings: z.strictObject({ framework: z.string().nullable().optional() }).optional(),
});

const listQuerySchema = z.object({
  projectId: z.string().optional(),
  target: z.string().optional(),
  state: z.string().optional(),
  rollbackCandidate: z.enum(["true", "false"]).optional(),
  limit: z.coerce.number().int().min(1).max(100).default(20),
});

/** GET /v3/deployments/{idOrUrl}/events, as Vercel documents its parameters. */
const eventsQuerySchema = z.strictObject({
  teamId: z.string().optional(),
  slug: z.string().optional(),
  direction: z.enum(["backward", "forward"]).optional(),
  follow: z.enum(["0", "1"]).optional(),
  limit: z.coerce.number().int().min(-1).default(100),
  name: z.string().optional(),
  since: z.coerce.number().int().optional(),
  until: z.coerce.number().int().optional(),
  statusCode: z.string().optional(),
  delimiter: z.enum(["0", "1"]).optional(),
  builds: z.enum(["0", "1"]).optional(),
});

const projectQuerySchema = z.strictObject({
  teamId: z.string().optional(),
  slug: z.string().optional(),
  rollbackInfo: z.enum(["true", "false"]).optional(),
});

const rollbackQuerySchema = z.strictObject({
  teamId: z.string().optional(),
  slug: z.string().optional(),
  description: z.string().optional(),
});

/** /v1/security/firewall/config, which knows a project by its id only. */
const firewallQuerySchema = z.strictObject({
  projectId: z.string(),
  teamId: z.string().optional(),
  slug: z.string().optional(),
});

export async function startVercelFake(options: VercelFakeOptions): Promise<VercelFake> {
  const teamId = `team_${identifier()}`;
  const projectId = `prj_${identifier()}`;
  const deployments: Deployment[] = [];
  let failNext = false;

  const begin = (commit: string, target: Deployment["target"], readyState: ReadyState): Deployment => {
    const id = `dpl_${identifier()}`;
    const url = `${projectName}-${id.slice(4, 13).toLowerCase()}.vercel.app`;
    const createdAt = Date.now();
    const readyAt = readyState === "READY" ? createdAt : undefined;
    const deployment: Deployment = { id, url, commit, target, createdAt, events: [], readyState, readyAt };
    deployments.unshift(deployment);
    return deployment;
  };
  let production = begin(options.liveCommit, "production", "READY").id;
  /** Deployments that the production domains once pointed to, the newest last. */
  const wereProduction = [production];
  let aliasRequest: AliasRequest | undefined;
  let failNextAlias = false;
  /** After a rollback new deployments do not get the production domains until one is promoted. */
  let assignsDomains = true;

  const pointTo = (id: string): void => {
    production = id;
    if (!wereProduction.includes(id)) wereProduction.push(id);
  };

  const run = async (deployment: Deployment): Promise<void> => {
    const fails = failNext;
    failNext = false;
    await sleep(options.phaseMilliseconds);
    deployment.readyState = "BUILDING";
    write(deployment, "stdout", "Running build");
    await sleep(options.phaseMilliseconds);
    try {
      if (fails) throw new Error("the build failed");
      if (deployment.target === "production" && assignsDomains) {
        await options.goLive(deployment.commit);
        pointTo(deployment.id);
      }
      write(deployment, "stdout", "Deployment completed");
      deployment.readyState = "READY";
      deployment.readyAt = Date.now();
    } catch (error) {
      write(deployment, "stderr", messageOf(error));
      deployment.readyState = "ERROR";
    }
  };

  const write = (deployment: Deployment, type: string, text: string): void =>
    void deployment.events.push({ type, created: Date.now(), text });

  const events = (deployment: Deployment, url: URL): Answer => {
    const parsed = eventsQuerySchema.safeParse(Object.fromEntries(url.searchParams));
    if (!parsed.success) return failure(400, "bad_request", `Invalid request: ${z.prettifyError(parsed.error)}`);
    const { since = 0, limit } = parsed.data;
    const found = deployment.events.filter(({ created }) => created >= since);
    const page = limit === -1 ? found : found.slice(0, limit);
    const deploymentId = deployment.id;
    return {
      status: 200,
      body: page.map(({ type, created, text }) => ({
        ...{ type, created },
        payload: { deploymentId, id: `${created}`, date: created, serial: `${created}`, text },
      })),
    };
  };

  const shown = (deployment: Deployment) => ({
    id: deployment.id,
    url: deployment.url,
    name: projectName,
    projectId,
    target: deployment.target,
    readyState: deployment.readyState,
    status: deployment.readyState,
    createdAt: deployment.createdAt,
    ...(deployment.readyAt === undefined ? {} : { ready: deployment.readyAt }),
    meta: { gitCommitSha: deployment.commit },
  });

  const create = (body: string): Answer => {
    let document: unknown;
    try {
      document = JSON.parse(body);
    } catch {
      return failure(400, "bad_request", "Invalid JSON");
    }
    const parsed = createDeploymentSchema.safeParse(document);
    if (!parsed.success) return failure(400, "bad_request", `Invalid request: ${z.prettifyError(parsed.error)}`);
    const { target, project, gitMetadata } = parsed.data;
    if (project !== undefined && project !== projectId) return failure(404, "not_found", "Project not found.");
    const deployment = begin(gitMetadata.commitSha, target === "production" ? "production" : null, "QUEUED");
    void run(deployment);
    return { status: 200, body: shown(deployment) };
  };

  const isCandidate = ({ id, readyState }: Deployment): boolean =>
    readyState === "READY" && id !== production && wereProduction.includes(id);

  const project = (url: URL): Answer => {
    const parsed = projectQuerySchema.safeParse(Object.fromEntries(url.searchParams));
    if (!parsed.success) return failure(400, "bad_request", `Invalid request: ${z.prettifyError(parsed.error)}`);
    const live = deployments.find(({ id }) => id === production);
    return {
      status: 200,
      body: {
        id: projectId,
        accountId: teamId,
        name: projectName,
        targets: { production: live === undefined ? null : shown(live) },
        ...(parsed.data.rollbackInfo === "true" ? { lastAliasRequest: aliasRequest ?? null } : {}),
      },
    };
  };

  const rollback = (id: string, url: URL, body: string): Answer => {
    const query = rollbackQuerySchema.safeParse(Object.fromEntries(url.searchParams));
    if (!query.success) return failure(400, "bad_request", `Invalid request: ${z.prettifyError(query.error)}`);
    if (body !== "{}") return failure(400, "bad_request", "Invalid request: expected an empty object");
    const target = deployments.find((candidate) => candidate.id === id);
    if (target === undefined) return failure(404, "not_found", "Deployment not found");
    if (aliasRequest?.jobStatus === "pending" || aliasRequest?.jobStatus === "in-progress") {
      return failure(409, "conflict", "Another rollback or promotion is in progress");
    }
    if (!isCandidate(target)) return failure(422, "unprocessable_entity", "The deployment is not a rollback candidate");
    const before = wereProduction[wereProduction.indexOf(production) - 1];
    if (options.plan === "hobby" && id !== before) {
      return failure(
        402,
        "payment_required",
        "To roll back further than the previous production deployment, upgrade to pro",
      );
    }
    aliasRequest = {
      ...{ fromDeploymentId: production, toDeploymentId: id, type: "rollback" },
      ...{ requestedAt: Date.now(), jobStatus: "pending" },
    };
    void alias(aliasRequest, target);
    return { status: 201, headers: { "content-type": "application/json" }, body: "" };
  };

  const alias = async (request: AliasRequest, target: Deployment): Promise<void> => {
    const fails = failNextAlias;
    failNextAlias = false;
    await sleep(options.phaseMilliseconds);
    request.jobStatus = "in-progress";
    await sleep(options.phaseMilliseconds);
    if (fails) {
      request.jobStatus = "failed";
      return;
    }
    await options.goLive(target.commit);
    pointTo(target.id);
    assignsDomains = false;
    request.jobStatus = "succeeded";
  };

  const list = (url: URL): Answer => {
    const parsed = listQuerySchema.safeParse(Object.fromEntries(url.searchParams));
    if (!parsed.success) return failure(400, "bad_request", `Invalid request: ${z.prettifyError(parsed.error)}`);
    const query = parsed.data;
    if (query.projectId !== undefined && query.projectId !== projectId) {
      return failure(404, "not_found", "Project not found.");
    }
    const page = deployments
      .map((deployment) => ({ ...deployment, isRollbackCandidate: isCandidate(deployment) }))
      .filter(
        (deployment) =>
          (query.target === undefined || deployment.target === query.target) &&
          (query.state === undefined || query.state.split(",").includes(deployment.readyState)) &&
          (query.rollbackCandidate === undefined ||
            deployment.isRollbackCandidate === (query.rollbackCandidate === "true")),
      )
      .slice(0, query.limit)
      .map(({ id, url: address, target, readyState, createdAt, isRollbackCandidate, commit }) => ({
        uid: id,
        name: projectName,
        projectId,
        url: address,
        target,
        state: readyState,
        readyState,
        created: createdAt,
        createdAt,
        isRollbackCandidate,
        meta: { gitCommitSha: commit },
      }));
    return { status: 200, body: { deployments: page, pagination: { count: page.length, next: null, prev: null } } };
  };

  const variables: StoredVariable[] = (options.variables ?? []).map((each) => store(each));

  const edit = (variable: StoredVariable, value: string): void => {
    Object.assign(variable, { value, updatedAt: Date.now(), lastEditedByDisplayName: "Ada Example" });
  };

  const shownVariable = (variable: StoredVariable, decrypted: boolean) => ({
    ...variable,
    decrypted,
    // As Vercel stores it: the list does not decrypt, and a sensitive value is never given.
    value: variable.type === "plain" || (decrypted && variable.type === "encrypted") ? variable.value : "",
  });

  const variable = (id: string | undefined, method: string, body: string): Answer => {
    if (id === undefined && method === "GET") {
      return { status: 200, body: { envs: variables.map((each) => shownVariable(each, false)) } };
    }
    if (id === undefined && method === "POST") {
      const parsed = createVariableSchema.safeParse(parseJson(body));
      if (!parsed.success) return failure(400, "bad_request", `Invalid request: ${z.prettifyError(parsed.error)}`);
      const taken = variables.some(
        ({ key, target }) => key === parsed.data.key && target.some((each) => parsed.data.target.includes(each)),
      );
      if (taken) return failure(403, "ENV_CONFLICT", "Another Environment Variable with the same Name exists");
      variables.push(store(parsed.data));
      return { status: 201, body: { created: shownVariable(variables.at(-1)!, false), failed: [] } };
    }
    const found = variables.find((each) => each.id === id);
    if (found === undefined) return failure(404, "not_found", "Environment Variable not found");
    if (method === "GET") return { status: 200, body: shownVariable(found, true) };
    const parsed = editVariableSchema.safeParse(parseJson(body));
    if (method !== "PATCH") return failure(405, "method_not_allowed", "Method Not Allowed");
    if (!parsed.success) return failure(400, "bad_request", `Invalid request: ${z.prettifyError(parsed.error)}`);
    edit(found, parsed.data.value);
    return { status: 200, body: shownVariable(found, false) };
  };

  const firewall = startFirewallFake();

  const firewallConfiguration = (method: string, url: URL, body: string): Answer => {
    const query = firewallQuerySchema.safeParse(Object.fromEntries(url.searchParams));
    if (!query.success) return failure(400, "bad_request", `Invalid request: ${z.prettifyError(query.error)}`);
    if (query.data.projectId !== projectId) return failure(404, "not_found", "Project not found.");
    if (method === "GET") return { status: 200, body: firewall.list() };
    if (method === "PUT") {
      const invalid = firewall.put(parseJson(body));
      if (invalid !== undefined) return failure(400, "bad_request", `Invalid request: ${invalid}`);
      return { status: 200, body: { active: firewall.list().active } };
    }
    if (method !== "PATCH") return failure(405, "method_not_allowed", "Method Not Allowed");
    const problem = firewall.patch(parseJson(body));
    if (problem === "not found") return failure(404, "not_found", "Config not found");
    if (problem !== undefined) return failure(400, "bad_request", `Invalid request: ${problem.invalid}`);
    return { status: 200, body: {} };
  };

  const respond = ({ method, url, headers, body }: Call): Answer => {
    const isFirewall = /^\/v\d+\/security\/firewall\/config$/.test(url.pathname);
    const path = /^\/v\d+\/deployments(?:\/([^/]+?)(\/events)?)?$/.exec(url.pathname);
    const variablePath = /^\/v\d+\/projects\/([^/]+)\/env(?:\/([^/]+))?$/.exec(url.pathname);
    const projectPath = /^\/v\d+\/projects\/([^/]+)(?:\/rollback\/([^/]+))?$/.exec(url.pathname);
    if (path === null && projectPath === null && variablePath === null && !isFirewall)
      return failure(404, "not_found", "Not Found");
    if (headers.authorization === undefined) {
      return failure(401, "unauthorized", "The request is missing an authentication token");
    }
    if (headers.authorization !== `Bearer ${options.token}`) {
      return failure(403, "forbidden", "Not authorized", { invalidToken: true });
    }
    const team = url.searchParams.get("teamId");
    if (team !== null && team !== teamId) return failure(403, "forbidden", "Not authorized");
    if (isFirewall) return firewallConfiguration(method, url, body);
    if (variablePath !== null) {
      const [, asked = "", id] = variablePath;
      if (asked !== projectId && asked !== projectName) return failure(404, "not_found", "Project not found.");
      return variable(id, method, body);
    }
    if (projectPath !== null) {
      const [, asked = "", target] = projectPath;
      if (asked !== projectId && asked !== projectName) return failure(404, "not_found", "Project not found.");
      if (target === undefined && method === "GET") return project(url);
      if (target !== undefined && method === "POST") return rollback(target, url, body);
      return failure(405, "method_not_allowed", "Method Not Allowed");
    }
    const id = path?.[1];
    if (id === undefined && method === "POST") return create(body);
    if (id === undefined && method === "GET") return list(url);
    if (id === undefined || method !== "GET") return failure(405, "method_not_allowed", "Method Not Allowed");
    const deployment = deployments.find((candidate) => candidate.id === id || candidate.url === id);
    if (deployment === undefined) return failure(404, "not_found", "Deployment not found");
    return path?.[2] === undefined ? { status: 200, body: shown(deployment) } : events(deployment, url);
  };

  const faults = new Faults((status) => ({ error: { code: `error_${status}`, message: `Vercel's error ${status}` } }));
  const server = await serveLoopback((call) =>
    faults.answer(call, async () => {
      const answer = respond(call);
      const deploys = call.method === "POST" && /^\/v\d+\/deployments$/.test(call.url.pathname);
      const { method, url } = call;
      options.log.add({ platform: "vercel", call: `${method} ${url.pathname}`, deploys, answer: answer.status });
      return answer;
    }),
  );
  return {
    url: server.url,
    teamId,
    projectId,
    edit: (key, value) => {
      const found = variables.find((each) => each.key === key);
      if (found === undefined) throw new Error(`no variable ${key}`);
      edit(found, value);
    },
    valueOf: (key) => variables.find((each) => each.key === key && each.target.includes("production"))?.value,
    faults,
    firewall,
    failNextBuild: () => {
      failNext = true;
    },
    failNextRollback: () => {
      failNextAlias = true;
    },
    endLive: (readyState) => {
      const live = deployments.find(({ id }) => id === production);
      if (live !== undefined) live.readyState = readyState;
    },
    productionId: () => production,
    close: () => server.close(),
  };
}

interface StoredVariable extends VercelFakeVariable {
  readonly id: string;
  updatedAt: number;
  lastEditedByDisplayName: string;
}

function store(variable: VercelFakeVariable): StoredVariable {
  return {
    ...variable,
    id: identifier().slice(0, 16),
    updatedAt: Date.now(),
    lastEditedByDisplayName: "Grace Example",
  };
}

/** POST /v10/projects/{idOrName}/env, for one variable. */
const createVariableSchema = z.strictObject({
  key: z.string().min(1),
  value: z.string(),
  type: z.enum(["plain", "encrypted", "sensitive"]),
  target: z.array(z.enum(["production", "preview", "development"])).min(1),
});

/** PATCH /v9/projects/{idOrName}/env/{id}, of which only the value is changed. */
const editVariableSchema = z.strictObject({ value: z.string() });

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function failure(status: number, code: string, message: string, more: Record<string, unknown> = {}): Answer {
  return { status, body: { error: { code, message, ...more } } };
}

/** 28 characters, as Vercel's identifiers have after their prefix. */
function identifier(): string {
  return randomBytes(40)
    .toString("base64")
    .replace(/[^A-Za-z0-9]/g, "")
    .slice(0, 28);
}

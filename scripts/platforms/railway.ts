/**
 * Railway's GraphQL API, as far as releases need it: what is live, what can be rolled back to, rolling back, deploying again,
 * logs and variables. Errors come inside a 200 there: whatever holds `errors` failed.
 */
import { z } from "zod";
import { Refusal, UsageError } from "../contract/failure";
import { redact } from "../contract/redaction";
import type { DeploymentPhase } from "./deploymentPhase";
import { type Pace, apiAddress, callPlatform, parseAnswer, platformHint } from "./http";
import { demandSuccess } from "./platformRefusal";

/** Every document that is sent; a test holds them against the published schema. */
export const railwayDocuments = {
  token: "query { projectToken { projectId environmentId } }",
  variables: `query ($projectId: String!, $environmentId: String!, $serviceId: String) {
    variables(projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId)
  }`,
  // With references such as ${{Postgres.DATABASE_URL}} as they were written.
  unrenderedVariables: `query ($projectId: String!, $environmentId: String!, $serviceId: String) {
    variables(projectId: $projectId, environmentId: $environmentId, serviceId: $serviceId, unrendered: true)
  }`,
  service: `query ($environmentId: String!, $serviceId: String!) {
    serviceInstance(environmentId: $environmentId, serviceId: $serviceId) {
      serviceName
      latestDeployment { id status createdAt canRollback canRedeploy meta }
    }
  }`,
  deployments: `query ($input: DeploymentListInput!, $first: Int) {
    deployments(input: $input, first: $first) {
      edges { node { id status createdAt canRollback canRedeploy meta } }
    }
  }`,
  deployment: "query ($id: String!) { deployment(id: $id) { id status createdAt canRollback canRedeploy meta } }",
  deploy: `mutation ($commitSha: String, $environmentId: String!, $serviceId: String!) {
    serviceInstanceDeployV2(commitSha: $commitSha, environmentId: $environmentId, serviceId: $serviceId)
  }`,
  setVariables: "mutation ($input: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $input) }",
  deleteVariable: "mutation ($input: VariableDeleteInput!) { variableDelete(input: $input) }",
  redeploy: "mutation ($id: String!) { deploymentRedeploy(id: $id) { id } }",
  // A Boolean, whatever Railway's guides show below it: the schema refuses a selection.
  rollback: "mutation ($id: String!) { deploymentRollback(id: $id) }",
  cancel: "mutation ($id: String!) { deploymentCancel(id: $id) }",
  logs: `query ($deploymentId: String!, $startDate: DateTime, $limit: Int) {
    deploymentLogs(deploymentId: $deploymentId, startDate: $startDate, limit: $limit) { timestamp message severity }
  }`,
} as const;

export interface RailwayAccess {
  /** With its path. */
  readonly url: URL;
  /** A project's token is bound to one project and environment; an account's to none. Never both are sent. */
  readonly token: { readonly kind: "project" | "account"; readonly value: string; readonly variable: string };
  readonly projectId: string | undefined;
  readonly environmentId: string | undefined;
  readonly serviceId: string;
}

const deploymentSchema = z.object({
  id: z.string(),
  /** One of Railway's states, or one that it did not have when this was written. */
  status: z.string(),
  createdAt: z.string(),
  canRollback: z.boolean(),
  canRedeploy: z.boolean(),
  /** Undocumented JSON: only what tells one build from another is looked at. */
  meta: z.looseObject({ commitHash: z.string().nullish(), imageDigest: z.string().nullish() }).nullish(),
});

export type RailwayDeployment = z.infer<typeof deploymentSchema>;

export interface RailwayLogLine {
  /** ISO 8601, with nanoseconds. */
  readonly timestamp: string;
  readonly message: string;
  readonly severity: string | null;
}

const defaultUrl = "https://backboard.railway.com/graphql/v2";

/**
 * `RAILWAY_TOKEN` (a project's) before `RAILWAY_API_TOKEN` (an account's), as Railway's own CLI has it.
 *
 * @returns undefined where neither is set.
 * @throws UsageError when what belongs to the token is missing.
 */
export function railwayFromEnvironment(env: NodeJS.ProcessEnv = process.env): RailwayAccess | undefined {
  const ofProject = env["RAILWAY_TOKEN"] || undefined;
  const ofAccount = env["RAILWAY_API_TOKEN"] || undefined;
  const value = ofProject ?? ofAccount;
  if (value === undefined) return undefined;
  const kind = ofProject === undefined ? "account" : "project";
  const variable = kind === "project" ? "RAILWAY_TOKEN" : "RAILWAY_API_TOKEN";
  const given = (name: string): string | undefined => env[name] || undefined;
  const demanded =
    kind === "project"
      ? ["RAILWAY_SERVICE_ID"]
      : ["RAILWAY_SERVICE_ID", "RAILWAY_PROJECT_ID", "RAILWAY_ENVIRONMENT_ID"];
  const missing = demanded.find((name) => given(name) === undefined);
  if (missing !== undefined) {
    throw new UsageError(`${missing} is not set: expected an id of Railway's, beside ${variable}`, {
      hint: "Railway's dashboard copies it: press Ctrl-K there and look for the id",
    });
  }
  return {
    url: new URL(apiAddress(env, "RAILWAY_API_URL", defaultUrl)),
    token: { kind, value, variable },
    projectId: given("RAILWAY_PROJECT_ID"),
    environmentId: given("RAILWAY_ENVIRONMENT_ID"),
    serviceId: given("RAILWAY_SERVICE_ID") ?? "",
  };
}

/** A service that sleeps until the next request is live. */
export function railwayPhase(status: string): DeploymentPhase {
  switch (status) {
    case "SUCCESS":
    case "SLEEPING":
      return "live";
    case "QUEUED":
    case "WAITING":
    case "INITIALIZING":
    case "BUILDING":
    case "DEPLOYING":
      return "passing";
    case "NEEDS_APPROVAL":
      return "waiting";
    case "FAILED":
    case "CRASHED":
    case "REMOVED":
    case "REMOVING":
    case "SKIPPED":
      return "ended";
    default:
      return "unknown";
  }
}

export class Railway {
  #place: Promise<{ readonly projectId: string; readonly environmentId: string }> | undefined;

  constructor(
    private readonly access: RailwayAccess,
    private readonly options: { readonly pace?: Pace; readonly signal?: AbortSignal } = {},
  ) {}

  /** The project and environment: as configured, else those that the project's token is bound to. */
  place(): Promise<{ readonly projectId: string; readonly environmentId: string }> {
    return (this.#place ??= this.#findPlace());
  }

  async #findPlace(): Promise<{ readonly projectId: string; readonly environmentId: string }> {
    const { projectId, environmentId } = this.access;
    if (projectId !== undefined && environmentId !== undefined) return { projectId, environmentId };
    const schema = z.object({ projectToken: z.object({ projectId: z.string(), environmentId: z.string() }) });
    const { projectToken } = await this.#query("token", {}, schema);
    return {
      projectId: projectId ?? projectToken.projectId,
      environmentId: environmentId ?? projectToken.environmentId,
    };
  }

  /** All variables of the service, by name. */
  variables(): Promise<Readonly<Record<string, string>>> {
    return this.#variables("variables");
  }

  /** With references to other variables as they were written, so that a value can be put back. */
  unrenderedVariables(): Promise<Readonly<Record<string, string>>> {
    return this.#variables("unrenderedVariables");
  }

  async #variables(document: "variables" | "unrenderedVariables"): Promise<Readonly<Record<string, string>>> {
    const schema = z.object({ variables: z.record(z.string(), z.string().nullable()) });
    const { serviceId } = this.access;
    const { variables } = await this.#query(document, { ...(await this.place()), serviceId }, schema);
    return Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, value ?? ""]));
  }

  get serviceId(): string {
    return this.access.serviceId;
  }

  /** Sets these variables of the service and leaves the others; nothing is deployed by it. */
  async setVariables(variables: Readonly<Record<string, string>>): Promise<void> {
    const input = { ...(await this.place()), serviceId: this.access.serviceId, variables, skipDeploys: true };
    const schema = z.object({ variableCollectionUpsert: z.boolean() });
    const { variableCollectionUpsert: done } = await this.#query("setVariables", { input }, schema);
    if (!done) throw new Refusal("Railway: refused to set variables");
  }

  /** Railway may deploy the service anew by itself: this mutation, alone of its kind, has no word against it. */
  async deleteVariable(name: string): Promise<void> {
    const input = { ...(await this.place()), serviceId: this.access.serviceId, name };
    const schema = z.object({ variableDelete: z.boolean() });
    const { variableDelete: done } = await this.#mutate("deleteVariable", { input }, schema);
    if (!done) throw new Refusal(`Railway: refused to delete variable ${name}`);
  }

  /** The newest deployment, whatever became of it; null: the service never had one. */
  async latest(): Promise<RailwayDeployment | null> {
    const { environmentId } = await this.place();
    const schema = z.object({ serviceInstance: z.object({ latestDeployment: deploymentSchema.nullable() }) });
    const { serviceId } = this.access;
    return (await this.#query("service", { environmentId, serviceId }, schema)).serviceInstance.latestDeployment;
  }

  /** Newest first. */
  async deployments(first = 20): Promise<RailwayDeployment[]> {
    const edges = z.object({ edges: z.array(z.object({ node: deploymentSchema })) });
    const input = { ...(await this.place()), serviceId: this.access.serviceId };
    const answer = await this.#query("deployments", { input, first }, z.object({ deployments: edges }));
    return answer.deployments.edges.map(({ node }) => node);
  }

  async deployment(id: string): Promise<RailwayDeployment> {
    return (await this.#query("deployment", { id }, z.object({ deployment: deploymentSchema }))).deployment;
  }

  /** @returns the id of the new deployment. */
  async deploy(commitSha: string): Promise<string> {
    const { environmentId } = await this.place();
    const variables = { commitSha, environmentId, serviceId: this.access.serviceId };
    const schema = z.object({ serviceInstanceDeployV2: z.string() });
    return (await this.#mutate("deploy", variables, schema)).serviceInstanceDeployV2;
  }

  /**
   * Deploys that one's code again, with the variables of now.
   *
   * @returns the id of the new deployment.
   * @throws Unavailable also when it may have been accepted: the answer was lost.
   */
  async redeploy(id: string): Promise<string> {
    const schema = z.object({ deploymentRedeploy: z.object({ id: z.string() }) });
    return (await this.#mutate("redeploy", { id }, schema)).deploymentRedeploy.id;
  }

  /**
   * Asks for a new deployment of that one's image and variables. It returns no record of it: look at `latest`.
   *
   * @throws Unavailable also when it may have been accepted: the answer was lost.
   */
  async rollback(id: string): Promise<void> {
    const { deploymentRollback } = await this.#mutate(
      "rollback",
      { id },
      z.object({ deploymentRollback: z.boolean() }),
    );
    if (!deploymentRollback) throw new Refusal(`Railway: refused to roll back to deployment ${id}`);
  }

  /** Ends a deployment that is not live yet. @throws Refusal when Railway does not: it may be live by now. */
  async cancel(id: string): Promise<void> {
    const { deploymentCancel } = await this.#mutate("cancel", { id }, z.object({ deploymentCancel: z.boolean() }));
    if (!deploymentCancel) throw new Refusal(`Railway: refused to cancel deployment ${id}`);
  }

  /** What the deployment wrote since then, oldest first. */
  async logs(deploymentId: string, startDate?: string): Promise<RailwayLogLine[]> {
    const line = z.object({ timestamp: z.string(), message: z.string(), severity: z.string().nullable() });
    const variables = { deploymentId, limit: 500, ...(startDate === undefined ? {} : { startDate }) };
    return (await this.#query("logs", variables, z.object({ deploymentLogs: z.array(line) }))).deploymentLogs;
  }

  #query<T extends z.ZodType>(name: keyof typeof railwayDocuments, variables: object, schema: T): Promise<z.output<T>> {
    return this.#ask(name, variables, schema, true);
  }

  #mutate<T extends z.ZodType>(
    name: keyof typeof railwayDocuments,
    variables: object,
    schema: T,
  ): Promise<z.output<T>> {
    return this.#ask(name, variables, schema, false);
  }

  async #ask<T extends z.ZodType>(
    name: keyof typeof railwayDocuments,
    variables: object,
    schema: T,
    repeatable: boolean,
  ): Promise<z.output<T>> {
    const { url, token } = this.access;
    const authorization: Record<string, string> =
      token.kind === "project" ? { "project-access-token": token.value } : { authorization: `Bearer ${token.value}` };
    const call = { platform: "Railway", method: "POST", url } as const;
    const { pace, signal } = this.options;
    const body = { query: railwayDocuments[name], variables };
    const answer = await callPlatform({ ...call, headers: authorization, body, repeatable, pace, signal });
    demandSuccess(answer, call, token.variable);
    const { errors = [], data } = parseAnswer(envelopeSchema, answer, call);
    if (errors.length > 0) throw this.#refusal(name, errors.map(({ message }) => message).join("; "));
    return parseAnswer(schema, { ...answer, body: data }, call);
  }

  /** Railway says "Not Authorized" to a wrong token, to one that lacks the right, and to what it does not show. */
  #refusal(name: string, told: string): Refusal {
    const { token, serviceId } = this.access;
    const said = `Railway refused ${name}: ${redact(told)}`;
    if (/not authorized|unauthori[sz]ed|token not found|forbidden/i.test(told)) {
      const other =
        token.kind === "project"
          ? "an account's token belongs into RAILWAY_API_TOKEN"
          : "a project's token belongs into RAILWAY_TOKEN";
      return new Refusal(`${token.variable}: ${said}`, {
        hint: platformHint("Railway", `the token is wrong, or is not one of this project and environment; ${other}`),
      });
    }
    if (/serviceinstance not found|service not found/i.test(told)) {
      return new Refusal(`RAILWAY_SERVICE_ID: ${said}`, {
        hint: platformHint(
          "Railway",
          `expected the id of a service of this project and environment, found ${serviceId}`,
        ),
      });
    }
    return new Refusal(said, { hint: platformHint("Railway") });
  }
}

const envelopeSchema = z.object({
  data: z.unknown(),
  errors: z.array(z.object({ message: z.string() })).optional(),
});

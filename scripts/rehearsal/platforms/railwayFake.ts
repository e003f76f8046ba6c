/**
 * A stand-in for Railway's GraphQL API on loopback: validates every request against the published types, checks the
 * token as Railway does, keeps deployments and moves them through Railway's states, and can be told to fail one.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { GraphQLError, Kind, execute, parse, validate, type DocumentNode } from "graphql";
import { z } from "zod";
import { serveLoopback, type Answer, type Call } from "../loopbackServer";
import { Faults } from "./faults";
import { railwaySchema, type RailwayStatus } from "./railwaySchema";
import type { RequestLog } from "./requestLog";

export interface RailwayFakeOptions {
  /** A project token: sent in `Project-Access-Token`, valid for one project and environment. */
  readonly projectToken: string;
  /** An account's token: sent as `Authorization: Bearer`. */
  readonly accountToken: string;
  readonly log: RequestLog;
  /** The commit that is live at the start. */
  readonly liveCommit: string;
  readonly variables: Readonly<Record<string, string>>;
  /** Milliseconds that a deployment spends in INITIALIZING, and again in BUILDING. */
  readonly phaseMilliseconds: number;
  /** Puts a built commit behind the service's address; a rejection makes the deployment CRASHED. */
  readonly goLive: (commit: string) => Promise<void>;
}

export interface RailwayFake {
  /** For `RAILWAY_API_URL`: with the path `/graphql/v2`. */
  readonly url: string;
  readonly projectId: string;
  readonly environmentId: string;
  readonly serviceId: string;
  /** What goes wrong with the API itself. */
  readonly faults: Faults;
  /** The next deployment's build fails; a rollback, which builds nothing, crashes. */
  failNextBuild(): void;
  /** What is live crashes, is removed, …; with these last lines in its log. */
  endLive(status: "CRASHED" | "FAILED" | "REMOVED", ...lastWords: string[]): void;
  /** What is live writes this into its log. */
  say(message: string, severity?: "info" | "error"): void;
  /** From now on every deployment is in this state, known to the published description or not; undefined: as before. */
  reportStatus(status: string | undefined): void;
  /** Of the service, as the next deployment will find them. */
  readonly variables: Record<string, string>;
  /** What the deployment that is live was given. */
  liveVariables(): Readonly<Record<string, string>>;
  /** Whether the service is deployed anew, unasked, when a variable of it is deleted. Default false. */
  deploysOnDeletion(does: boolean): void;
  /** The images of all deployments until now are gone: none of them can be rolled back to. */
  expireImages(): void;
  close(): Promise<void>;
}

interface Deployment {
  readonly id: string;
  readonly commit: string;
  readonly imageDigest: string;
  /** What it was deployed with. */
  readonly variables: Readonly<Record<string, string>>;
  readonly createdAt: string;
  readonly logs: { readonly timestamp: string; readonly message: string; readonly severity: string }[];
  imageKept: boolean;
  status: RailwayStatus;
  updatedAt: string;
}

const requestSchema = z.object({
  query: z.string(),
  variables: z.record(z.string(), z.unknown()).nullish(),
  operationName: z.string().nullish(),
});

/** Who asks: the two kinds of token see different things. */
type Caller = "project" | "account";

export async function startRailwayFake(options: RailwayFakeOptions): Promise<RailwayFake> {
  const projectId = randomUUID();
  const environmentId = randomUUID();
  const serviceId = randomUUID();
  const deployments: Deployment[] = [];
  const variables: Record<string, string> = { ...options.variables };
  let failNext = false;
  let reported: string | undefined;
  let deletionDeploys = false;

  const begin = (commit: string, status: RailwayStatus, image = `sha256:${randomUUID()}`): Deployment => {
    const now = new Date().toISOString();
    const deployment: Deployment = {
      ...{ id: randomUUID(), commit, imageDigest: image, variables: { ...variables } },
      ...{ createdAt: now, updatedAt: now, status, logs: [], imageKept: true },
    };
    deployments.unshift(deployment);
    return deployment;
  };
  begin(options.liveCommit, "SUCCESS");

  const move = (deployment: Deployment, status: RailwayStatus): void => {
    deployment.status = status;
    deployment.updatedAt = new Date().toISOString();
    deployment.logs.push({ timestamp: deployment.updatedAt, message: `deployment is ${status}`, severity: "info" });
  };

  const say = (message: string, severity = "info"): void => {
    const live = deployments.find((deployment) => deployment.status === "SUCCESS");
    live?.logs.push({ timestamp: new Date().toISOString(), message, severity });
  };

  const run = async (deployment: Deployment, builds: boolean): Promise<void> => {
    const fails = failNext;
    failNext = false;
    await sleep(options.phaseMilliseconds);
    if (isCancelled(deployment)) return;
    if (builds) {
      move(deployment, "BUILDING");
      await sleep(options.phaseMilliseconds);
      if (isCancelled(deployment)) return;
      if (fails) return move(deployment, "FAILED");
    }
    move(deployment, "DEPLOYING");
    if (fails) return move(deployment, "CRASHED");
    try {
      await options.goLive(deployment.commit);
    } catch {
      return move(deployment, "CRASHED");
    }
    for (const older of deployments) if (older.status === "SUCCESS") move(older, "REMOVED");
    move(deployment, "SUCCESS");
  };

  /** The same code again, with the variables of now. */
  const redeploy = (of: Deployment): Deployment => {
    const deployment = begin(of.commit, "INITIALIZING");
    void run(deployment, true);
    return deployment;
  };

  const redeployLive = (): void => {
    const live = deployments.find(({ status }) => status === "SUCCESS");
    if (live !== undefined) redeploy(live);
  };

  const shown = (deployment: Deployment) => ({
    id: deployment.id,
    status: deployment.status,
    createdAt: deployment.createdAt,
    updatedAt: deployment.updatedAt,
    statusUpdatedAt: deployment.updatedAt,
    canRollback: deployment.status === "REMOVED" && deployment.imageKept,
    canRedeploy: deployment.status !== "BUILDING" && deployment.status !== "INITIALIZING",
    meta: { commitHash: deployment.commit, imageDigest: deployment.imageDigest },
    projectId,
    environmentId,
    serviceId,
  });

  const demand = (found: boolean, thing: string): void => {
    if (!found) throw new GraphQLError(`${thing} not found`);
  };

  const find = (id: string): Deployment => {
    const deployment = deployments.find((candidate) => candidate.id === id);
    if (deployment === undefined) throw new GraphQLError("Deployment not found");
    return deployment;
  };

  const resolversFor = (caller: Caller) => ({
    projectToken: () => {
      if (caller !== "project") throw new GraphQLError("Project Token not found");
      const displayToken = `${options.projectToken.slice(0, 4)}****`;
      return {
        id: randomUUID(),
        name: "release",
        createdAt: new Date().toISOString(),
        displayToken,
        projectId,
        environmentId,
      };
    },
    variables: (args: { projectId: string; environmentId: string; serviceId?: string }) => {
      demand(args.projectId === projectId, "Project");
      demand(args.environmentId === environmentId, "Environment");
      return variables;
    },
    deployment: ({ id }: { id: string }) => shown(find(id)),
    deploymentLogs: (args: { deploymentId: string; startDate?: string; limit?: number }) =>
      find(args.deploymentId)
        .logs.filter(({ timestamp }) => args.startDate === undefined || timestamp >= args.startDate)
        .slice(-(args.limit ?? 500))
        .map((line) => ({ ...line, attributes: [], tags: { deploymentId: args.deploymentId, serviceId } })),
    deployments: (args: {
      first?: number;
      after?: string;
      input: { status?: { in?: RailwayStatus[]; notIn?: RailwayStatus[] }; serviceId?: string };
    }) => {
      const { status, serviceId: service } = args.input;
      const matching = deployments.filter(
        (deployment) =>
          (service === undefined || service === serviceId) &&
          (status?.in?.includes(deployment.status) ?? true) &&
          !(status?.notIn?.includes(deployment.status) ?? false),
      );
      const start = args.after === undefined ? 0 : matching.findIndex(({ id }) => id === args.after) + 1;
      const page = matching.slice(start, start + (args.first ?? 100));
      return {
        edges: page.map((deployment) => ({ cursor: deployment.id, node: shown(deployment) })),
        pageInfo: {
          startCursor: page[0]?.id ?? null,
          endCursor: page.at(-1)?.id ?? null,
          hasPreviousPage: start > 0,
          hasNextPage: start + page.length < matching.length,
        },
      };
    },
    serviceInstance: (args: { environmentId: string; serviceId: string }) => {
      demand(args.serviceId === serviceId && args.environmentId === environmentId, "ServiceInstance");
      const latest = deployments[0];
      const latestDeployment = latest === undefined ? null : shown(latest);
      const activeDeployments = deployments.filter(({ status }) => status === "SUCCESS").map(shown);
      return { id: serviceId, environmentId, serviceId, serviceName: "crm-api", activeDeployments, latestDeployment };
    },
    serviceInstanceDeployV2: (args: { commitSha?: string; environmentId: string; serviceId: string }) => {
      demand(args.serviceId === serviceId && args.environmentId === environmentId, "ServiceInstance");
      const deployment = begin(args.commitSha ?? options.liveCommit, "INITIALIZING");
      void run(deployment, true);
      return deployment.id;
    },
    variableCollectionUpsert: (args: {
      input: {
        projectId: string;
        environmentId: string;
        replace: boolean;
        skipDeploys: boolean;
        variables: Record<string, string>;
      };
    }) => {
      demand(args.input.projectId === projectId && args.input.environmentId === environmentId, "Environment");
      if (args.input.replace) for (const name of Object.keys(variables)) delete variables[name];
      Object.assign(variables, args.input.variables);
      if (!args.input.skipDeploys) redeployLive();
      return true;
    },
    variableDelete: (args: { input: { projectId: string; environmentId: string; name: string } }) => {
      demand(args.input.projectId === projectId && args.input.environmentId === environmentId, "Environment");
      demand(args.input.name in variables, "Variable");
      delete variables[args.input.name];
      if (deletionDeploys) redeployLive();
      return true;
    },
    deploymentRedeploy: ({ id }: { id: string }) => {
      const target = find(id);
      if (!shown(target).canRedeploy) throw new GraphQLError("Deployment cannot be redeployed");
      return shown(redeploy(target));
    },
    deploymentCancel: ({ id }: { id: string }) => {
      const target = find(id);
      if (!["INITIALIZING", "BUILDING"].includes(target.status))
        throw new GraphQLError("Deployment cannot be cancelled");
      move(target, "REMOVED");
      return true;
    },
    deploymentRollback: ({ id }: { id: string }) => {
      const target = find(id);
      if (!shown(target).canRollback) throw new GraphQLError("Deployment cannot be rolled back to");
      // The image and the custom variables of then come back.
      for (const name of Object.keys(variables)) delete variables[name];
      Object.assign(variables, target.variables);
      void run(begin(target.commit, "INITIALIZING", target.imageDigest), false);
      return true;
    },
  });

  const callerOf = ({ headers }: Call): Caller | undefined => {
    const projectToken = headers["project-access-token"];
    const bearer = headers.authorization;
    if (projectToken !== undefined && bearer !== undefined) return undefined;
    if (projectToken === options.projectToken) return "project";
    return bearer === `Bearer ${options.accountToken}` ? "account" : undefined;
  };

  const respond = async (call: Call): Promise<Answer & { fields: string[] }> => {
    if (call.method !== "POST" || call.url.pathname !== "/graphql/v2") {
      return { status: 404, body: { message: "Not Found" }, fields: [] };
    }
    let document: DocumentNode;
    let request: z.output<typeof requestSchema>;
    try {
      request = requestSchema.parse(JSON.parse(call.body));
      document = parse(request.query);
    } catch (error) {
      return { status: 400, body: { errors: [{ message: String(error) }] }, fields: [] };
    }
    const fields = rootFields(document);
    const invalid = validate(railwaySchema, document);
    if (invalid.length > 0) return { status: 400, body: { errors: invalid.map((error) => error.toJSON()) }, fields };
    const caller = callerOf(call);
    // Railway answers 200 here: the status of a GraphQL answer says nothing.
    if (caller === undefined) {
      return { status: 200, body: { errors: [{ message: "Not Authorized" }], data: null }, fields };
    }
    const result = await execute({
      schema: railwaySchema,
      document,
      rootValue: resolversFor(caller),
      variableValues: request.variables ?? {},
      operationName: request.operationName ?? null,
    });
    const { data, errors } = result;
    const body = errors === undefined ? { data } : { errors, data: data ?? null };
    return { status: 200, body: reported === undefined ? body : withStatus(body, reported), fields };
  };

  const faults = new Faults((status) => ({ errors: [{ message: `Railway's error ${status}` }] }));
  const server = await serveLoopback((call) =>
    faults.answer(call, async () => {
      const { fields, ...answer } = await respond(call);
      const refused = answer.status === 200 && (answer.body as { errors?: unknown }).errors !== undefined;
      options.log.add({
        platform: "railway",
        call: fields.join(" ") || `${call.method} ${call.url.pathname}`,
        deploys: fields.includes("serviceInstanceDeployV2"),
        answer: refused ? "refused" : answer.status,
      });
      return answer;
    }),
  );
  return {
    url: `${server.url}/graphql/v2`,
    projectId,
    environmentId,
    serviceId,
    faults,
    variables,
    liveVariables: () => deployments.find(({ status }) => status === "SUCCESS")?.variables ?? {},
    deploysOnDeletion: (does) => {
      deletionDeploys = does;
    },
    failNextBuild: () => {
      failNext = true;
    },
    endLive: (status, ...lastWords) => {
      for (const line of lastWords) say(line, "error");
      const live = deployments.find((deployment) => deployment.status === "SUCCESS");
      if (live !== undefined) move(live, status);
    },
    say,
    reportStatus: (status) => {
      reported = status;
    },
    expireImages: () => {
      for (const deployment of deployments) deployment.imageKept = false;
    },
    close: () => server.close(),
  };
}

/** Whatever was to become of it does not. */
function isCancelled({ status }: Deployment): boolean {
  return status === "REMOVED";
}

/** Past the schema, which knows today's states only. */
function withStatus(body: object, status: string): unknown {
  return JSON.parse(JSON.stringify(body), (key, value: unknown) => (key === "status" ? status : value));
}

/** The fields that the document's operations ask for at the top. */
function rootFields(document: DocumentNode): string[] {
  return document.definitions.flatMap((definition) =>
    definition.kind === Kind.OPERATION_DEFINITION
      ? definition.selectionSet.selections.flatMap((selection) =>
          selection.kind === Kind.FIELD ? [selection.name.value] : [],
        )
      : [],
  );
}

/**
 * After a failover the application's connection strings, where they are variables of Railway and Vercel: set to the URL of the new
 * database, which is proven to lead there, as the role that the application connects as.
 */
import { Refusal, UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, isSameDatabase, readIdentity } from "../database/identity";
import { targetFromEnvironment } from "../database/target";
import type { SealedVariable } from "../environment/openSnapshot";
import { openRailway, openVercel } from "../environment/platformSources";
import { type VariablesPlan, planVariables, writeVariables } from "../environment/platformVariables";
import type { ReplicaSettings } from "../settings";

const applicationUrl = "REPLICA_APPLICATION_URL";

export interface ConnectionsInput {
  readonly variables: ReplicaSettings["connectionVariables"];
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal | undefined;
}

/**
 * Reads only.
 *
 * @returns undefined: there is nothing to set, and the new address is printed only.
 * @throws UsageError when the URL leads to another database, or a platform's access is missing. @throws Unavailable or
 *   Refusal when the role cannot connect by it.
 */
export async function planConnections(
  { variables, env, signal }: ConnectionsInput,
  replica: DatabaseIdentity,
): Promise<VariablesPlan | undefined> {
  if (variables.length === 0 || (env[applicationUrl] ?? "") === "") return undefined;
  const target = targetFromEnvironment(applicationUrl, env);
  const found = await withConnection(target, (client) => readIdentity(client, target));
  if (!isSameDatabase(found, replica))
    throw new UsageError(`${applicationUrl}: found another database than REPLICA_DATABASE_URL: expected the same one`);
  const value = env[applicationUrl] ?? "";
  const wanted = variables.map(({ platform, name, environment }): SealedVariable => {
    const place =
      platform === "railway"
        ? openRailway(env, signal).serviceId
        : `${openVercel(env, signal).projectId} ${environment}`;
    return { name, value, source: platform, target: place, kind: "secret" };
  });
  return planVariables(
    wanted,
    { env, signal },
    { set: "is set to the new database", made: "is made, for the new database" },
  );
}

/** Running it again goes on. @throws Refusal naming what does not hold the new URL afterwards. */
export async function setConnections(
  input: ConnectionsInput,
  replica: DatabaseIdentity,
): Promise<readonly string[] | undefined> {
  // Planned anew: a former run may have set some of them.
  const plan = await planConnections(input, replica);
  if (plan === undefined) return undefined;
  const wrong = await writeVariables(plan.changes, input);
  if (wrong.length > 0)
    throw new Refusal(`the replica is the database now, and ${wrong.length} variable(s) do not hold its address`, {
      details: wrong,
      hint: "run this again; then look at the platform's dashboard",
    });
  return [...plan.changes.map(({ line }) => line), ...plan.same];
}

/** A source, its live replica, and what both call the things that connect them. */
import type { Client } from "pg";
import { UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, isSameDatabase, readIdentity } from "../database/identity";
import { quoteIdentifier } from "../database/sqlText";
import { type DatabaseTarget, targetFromEnvironment } from "../database/target";
import { type OperationSettings, type ReplicaSettings, replicaSettingsSchema } from "../settings";

export interface ReplicaPair {
  readonly source: DatabaseTarget;
  readonly replica: DatabaseTarget;
  /** How the replica's server reaches the source, and as whom: often another address than ours. */
  readonly route: DatabaseTarget;
  readonly settings: ReplicaSettings;
}

/** What every piece of work on a pair is given besides. */
export interface Run {
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

/**
 * `DATABASE_URL`, `REPLICA_DATABASE_URL`, and `REPLICATION_SOURCE_URL` where the replica's server takes another way.
 *
 * @throws UsageError when one is missing or malformed.
 */
export function pairFromEnvironment(
  settings: Pick<OperationSettings, "replica">,
  env: NodeJS.ProcessEnv = process.env,
): ReplicaPair {
  const source = targetFromEnvironment("DATABASE_URL", env);
  const hasRoute = (env["REPLICATION_SOURCE_URL"] ?? "") !== "";
  return {
    source,
    replica: targetFromEnvironment("REPLICA_DATABASE_URL", env),
    route: hasRoute ? targetFromEnvironment("REPLICATION_SOURCE_URL", env) : source,
    settings: settings.replica ?? replicaSettingsSchema.parse({}),
  };
}

/** Sessions with both, in the order source, replica. */
export async function withPair<T>(
  { source, replica }: ReplicaPair,
  work: (source: Client, replica: Client) => Promise<T>,
): Promise<T> {
  return withConnection(source, (first) => withConnection(replica, (second) => work(first, second)));
}

export interface PairIdentity {
  readonly source: DatabaseIdentity;
  readonly replica: DatabaseIdentity;
}

/** @throws UsageError when both addresses lead to one database. */
export async function identifyPair(pair: ReplicaPair, source: Client, replica: Client): Promise<PairIdentity> {
  const identity = {
    source: await readIdentity(source, pair.source),
    replica: await readIdentity(replica, pair.replica),
  };
  if (isSameDatabase(identity.source, identity.replica))
    throw new UsageError(
      `${pair.replica.source}: found the database of ${pair.source.source}: expected another one, on another server`,
    );
  return identity;
}

/** Publication, subscription or slot in SQL. */
export function quotedName({ settings }: Pick<ReplicaPair, "settings">): string {
  return quoteIdentifier(settings.name);
}

/** The schema on both sides that holds the heartbeat and what is known of our slots. */
export const ownSchema = "dbprotect_replica";

/**
 * The source's definitions, copied into the replica's database in one transaction: either all of them are there, or none.
 * Owners and rights come along, for after a failover the application works with them.
 */
import { pipeline } from "node:stream/promises";
import { text } from "node:stream/consumers";
import type { Client } from "pg";
import { dumpFilters, oldestPgDump } from "../backup/dumpFilters";
import { readSourceFacts } from "../backup/source";
import { majorOf } from "../database/identity";
import { allOrNone } from "../database/lanes";
import { findPostgres } from "../database/postgresPrograms";
import { startProgram } from "../database/program";
import { readScope } from "../database/supabasePreset";
import { createMissingRoles } from "../restore/restoreBackup";
import type { PairIdentity, ReplicaPair, Run } from "./pair";
import { ownersOf, takeRoles } from "./replicaRole";

/** @throws Refusal with the server's words when the replica does not take a definition: it is as empty as before. */
export async function copySchema(
  pair: ReplicaPair,
  source: Client,
  replica: Client,
  identity: PairIdentity,
  { signal, onProgress }: Run,
): Promise<void> {
  const scope = await readScope(source);
  await prepareRoles(pair, source, replica, { ...(onProgress === undefined ? {} : { onProgress }) });
  const newest = Math.max(majorOf(identity.source.serverVersion), majorOf(identity.replica.serverVersion));
  const { binDir } = findPostgres({ atLeast: oldestPgDump(newest, scope), use: "client" });
  const dumpArgs = ["--schema-only", "--no-publications", "--no-password", ...dumpFilters(scope)];
  const loadArgs = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--output=/dev/null"];
  await allOrNone<[void]>(
    [
      async (stop) => {
        const dump = startProgram({ binDir, program: "pg_dump", args: dumpArgs, target: pair.source, signal: stop });
        const load = startProgram({ binDir, program: "psql", args: loadArgs, target: pair.replica, signal: stop });
        // A dump that ended half-way must not be committed: psql's input is closed only after it ended well.
        const fed = pipeline(dump.stdout, load.stdin, { end: false }).then(() => dump.succeeded);
        const drained = text(load.stdout);
        await fed.then(
          () => load.stdin.end(),
          () => load.stdin.destroy(),
        );
        // psql's own complaint says more than a pipe that broke for it.
        await Promise.all([load.succeeded, drained]);
        await fed;
      },
    ],
    signal,
  );
}

/** The roles that definitions name, on the replica's server: those that are missing are made, without a password. */
export async function prepareRoles(
  pair: ReplicaPair,
  source: Client,
  replica: Client,
  { onProgress }: Run,
): Promise<void> {
  const { roles } = await readSourceFacts(source);
  await createMissingRoles({
    ...{ target: pair.replica, roles, superusers: [] },
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  await takeRoles(replica, await ownersOf(source));
}

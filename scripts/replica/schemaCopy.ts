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
        // psql commits at the end of its input, also where that came too early: after a dump that failed it is ended.
        const failed = new AbortController();
        const loading = AbortSignal.any([stop, failed.signal]);
        const dump = startProgram({ binDir, program: "pg_dump", args: dumpArgs, target: pair.source, signal: stop });
        const load = startProgram({ binDir, program: "psql", args: loadArgs, target: pair.replica, signal: loading });
        const drained = text(load.stdout);
        const piped = pipeline(dump.stdout, load.stdin, { end: false });
        const dumped = piped.then(() => dump.succeeded);
        await dumped.then(
          () => load.stdin.end(),
          async () => {
            // A pipe that broke is psql's end, and its own complaint says more.
            await piped.then(() => failed.abort()).catch(() => load.stdin.destroy());
          },
        );
        const [loaded] = await Promise.allSettled([load.succeeded, drained]);
        if (failed.signal.aborted) await dumped;
        if (loaded.status === "rejected") throw loaded.reason;
        await dumped;
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

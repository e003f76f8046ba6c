/**
 * The dump of a backup without its fingerprint: what `pg_dump` does too. Not a command, for such a backup would prove
 * nothing; bench/contenders.ts compiles and runs it to tell what the fingerprint costs.
 *
 * Usage: DATABASE_URL=… node dumpPhase.js <store's URL>
 */
import { writeArchives } from "../scripts/backup/writeArchives";
import { readSourceFacts } from "../scripts/backup/source";
import { majorOf, readIdentity } from "../scripts/database/identity";
import { chooseJobs, readCapacity } from "../scripts/database/jobs";
import { findPostgres } from "../scripts/database/postgresPrograms";
import { openSnapshot } from "../scripts/database/snapshot";
import { readScope } from "../scripts/database/supabasePreset";
import { parseTarget } from "../scripts/database/target";
import { openStore } from "../scripts/store/openStore";

async function main(): Promise<void> {
  const target = parseTarget(process.env["DATABASE_URL"] ?? "", "DATABASE_URL");
  const snapshot = await openSnapshot(target);
  try {
    const { leader } = snapshot;
    const { serverVersion } = await readIdentity(leader, target);
    const { freeConnections } = await readCapacity(leader);
    await writeArchives({
      target,
      store: openStore(process.argv[2] ?? ""),
      reference: { tier: "manual", name: "backup_20260101_000000" },
      snapshot,
      scope: await readScope(leader),
      binDir: findPostgres({ atLeast: majorOf(serverVersion), use: "client" }).binDir,
      encoding: (await readSourceFacts(leader)).encoding,
      jobs: chooseJobs(undefined, freeConnections, { each: 1, once: 1 }),
      recipients: [],
    });
  } finally {
    await snapshot.close();
  }
}

void main();

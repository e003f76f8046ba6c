/** Both judges on a fixture, on a real PostgreSQL: its schema is made, the static one asks the catalog, the trial runs it. */
import { createHash } from "node:crypto";
import { withConnection } from "../../scripts/database/connect";
import { readIdentity } from "../../scripts/database/identity";
import { openSnapshot } from "../../scripts/database/snapshot";
import { quoteIdentifier } from "../../scripts/database/sqlText";
import { parseTarget, withDatabase } from "../../scripts/database/target";
import { computeFingerprint } from "../../scripts/fingerprint/compute";
import { liveCatalog } from "../../scripts/migrations/catalog";
import { judgeTwice } from "../../scripts/migrations/secondOpinion";
import { tryMigrations } from "../../scripts/migrations/trial";
import { makeNeeded } from "./neededSchema";

export interface Tried {
  /** Why it could not be run; undefined: it was. */
  readonly cannotRun?: string;
  readonly refusedStatically: boolean;
  /** What the trial found; empty: it lets it pass. */
  readonly trial: readonly string[];
}

/** @param url of a superuser on a throwaway server; `SCRATCH_DATABASE_URL` names it as well. */
export async function tryFixture(url: string, sql: string): Promise<Tried> {
  const server = parseTarget(url, "the benchmark's server");
  const live = withDatabase(server, "fixture");
  const onServer = (text: string): Promise<unknown> => withConnection(server, (client) => client.query(text), "plain");
  const migration = {
    version: "1",
    name: "fixture",
    file: "1.sql",
    sql,
    sha256: createHash("sha256").update(sql).digest("hex"),
  };
  await onServer(`CREATE DATABASE ${quoteIdentifier(live.database)}`);
  try {
    const cannotRun = await makeNeeded(live, migration);
    const { findings, verdict } = await withConnection(live, async (client) =>
      judgeTwice([migration], await liveCatalog(client)),
    );
    const refusedStatically = verdict === "refused";
    if (cannotRun !== undefined) return { cannotRun, refusedStatically, trial: [] };
    const snapshot = await openSnapshot(live);
    const fingerprint = await computeFingerprint(snapshot, { jobs: 1 });
    const { id, visibility, lsn, takenAt } = snapshot;
    await snapshot.close();
    const database = await withConnection(live, (client) => readIdentity(client, live));
    const trial = await tryMigrations({
      scratch: { kind: "external", database: live.database },
      fingerprint,
      manifest: { database, snapshot: { id, visibility, lsn, takenAt: takenAt.toISOString() }, tables: [] },
      ...{ live, pending: [migration], judged: findings, lockTimeoutSeconds: 5 },
    });
    const unrun = trial.findings.find(({ id: of }) => of.startsWith("1.sql:"));
    if (unrun !== undefined) return { cannotRun: unrun.message, refusedStatically, trial: [] };
    return { refusedStatically, trial: trial.findings.map(({ message }) => message) };
  } finally {
    await onServer(`DROP DATABASE ${quoteIdentifier(live.database)} WITH (FORCE)`);
  }
}

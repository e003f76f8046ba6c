/**
 * Level 1 of a server of one's own: what PostgreSQL says of its archiving and its replicas. It knows of no base backups,
 * for they are taken from outside; what it archived is the part that every one of them needs.
 */
import type { Client } from "pg";
import { z } from "zod";
import type { Demand, PlatformRequirement, PlatformSettings } from "../settings";
import { type Finding, describeAge } from "./requirements";

const archiverSchema = z.object({
  archive_mode: z.string(),
  wal_level: z.string(),
  archived_age: z.coerce.number().nullable(),
  failed_age: z.coerce.number().nullable(),
  failed_count: z.coerce.number(),
  in_recovery: z.boolean(),
  may_see: z.boolean(),
});

/** Ages in seconds by the server's own clock. */
const archiverQuery = `
  SELECT current_setting('archive_mode') AS archive_mode, current_setting('wal_level') AS wal_level,
         extract(epoch FROM now() - last_archived_time) AS archived_age,
         extract(epoch FROM now() - last_failed_time) AS failed_age, failed_count,
         pg_is_in_recovery() AS in_recovery, pg_has_role('pg_monitor', 'USAGE') AS may_see
  FROM pg_stat_archiver`;

/** Those that take a base backup are connected in the same way, but are no replicas. */
const replicasQuery = `
  SELECT coalesce(application_name, '') AS name, state, coalesce(extract(epoch FROM replay_lag), 0) AS lag
  FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup'`;

const replicaSchema = z.object({ name: z.string(), state: z.string().nullable(), lag: z.coerce.number() });

/** One finding for each requirement that is not ignored and that a server can answer. Reads only. */
export async function serverPosture(
  client: Client,
  settings: PlatformSettings,
  demands: Readonly<Record<PlatformRequirement, Demand>>,
): Promise<Finding[]> {
  const server = archiverSchema.parse((await client.query(archiverQuery)).rows[0]);
  const replicas = z.array(replicaSchema).parse((await client.query(replicasQuery)).rows);
  const findings = [
    judgeArchive(server, settings.backupHours),
    judgePitr(server),
    judgeReplicas(replicas, settings.replicas, server.may_see),
    finding(
      "services",
      !server.in_recovery,
      server.in_recovery ? "the server is a standby" : "the server takes writes",
      "a server that takes writes",
    ),
  ];
  return findings.filter(({ requirement }) => demands[requirement] !== "ignore");
}

type Server = z.infer<typeof archiverSchema>;

function judgeArchive({ archive_mode, archived_age, failed_age, failed_count }: Server, hours: number): Finding {
  const expected = `logs archived within the last ${hours} h`;
  if (archive_mode === "off") return finding("backup", false, "archive_mode is off: nothing is archived", expected);
  if (archived_age === null) return finding("backup", false, "no log was archived yet", expected);
  const found = `newest log archived ${describeAge(archived_age)} ago`;
  if (failed_age !== null && failed_age < archived_age) {
    return finding("backup", false, `${found}; archiving fails since (${failed_count} failures)`, expected);
  }
  return finding("backup", archived_age < hours * 3600, found, expected);
}

function judgePitr({ archive_mode, wal_level, archived_age, failed_age }: Server): Finding {
  const found = `archive_mode ${archive_mode}, wal_level ${wal_level}`;
  const fails = archived_age === null || (failed_age !== null && failed_age < archived_age);
  const met = archive_mode !== "off" && wal_level !== "minimal" && !fails;
  return finding("pitr", met, fails ? `${found}, but archiving does not succeed` : found, "continuous archiving");
}

function judgeReplicas(replicas: readonly z.infer<typeof replicaSchema>[], demanded: number, maySee: boolean): Finding {
  // Without pg_monitor the rows are there, but empty.
  if (!maySee && replicas.some(({ state }) => state === null)) {
    const found = `${replicas.length} connected, but their state is hidden from this role; grant it pg_monitor`;
    return { requirement: "replicas", outcome: "unknown", found };
  }
  const streaming = replicas.filter(({ state }) => state === "streaming");
  const listed = replicas.map(
    ({ name, state, lag }) => `${name || "unnamed"} ${state ?? "unknown"}, ${lag.toFixed(1)} s behind`,
  );
  const found = replicas.length === 0 ? "no replica is connected" : listed.join("; ");
  return finding("replicas", streaming.length >= demanded, found, `${demanded} streaming`);
}

function finding(requirement: PlatformRequirement, met: boolean, found: string, expected: string): Finding {
  return { requirement, outcome: met ? "met" : "unmet", found: met ? found : `${found}; expected ${expected}` };
}

/**
 * What follows a release and a loss: the comparison, the repair of 10,000 rows, a restore; beside the backup and
 * pg_restore. 2 million rows are `--megabytes 727`.
 */
import { join } from "node:path";
import type { Contender, Place } from "./contenders";
import { bin } from "./program";

/** Nothing but the data is looked at. */
const settings = JSON.stringify({
  checks: "none",
  environment: { required: [], critical: [] },
  platform: { kind: "postgres", level: 1, requirements: { backup: "ignore" } },
});

const backupName = "dbprotect db:backup, to a folder";
const pgRestoreName = "pg_restore -j2 of a local directory";

export function recoveryContenders({ folder, bucket, binDir }: Place): Contender[] {
  const file = (name: string): string => join(folder, name);
  const psql = (sql: string): string => `${join(binDir, "psql")} "$DATABASE_URL" -Xqc ${quoted(sql)}`;
  const store = `BACKUP_STORE=file://${file("guarded")} DBPROTECT_REPORTS=${file("reports")}`;
  const guarded = `${store} BACKUP_PASSPHRASE=bench DBPROTECT_SETTINGS=${quoted(settings)} ${bin}`;
  const runId = `$(ls ${file("guarded")}/receipts | tail -1 | sed 's/[.]json$//')`;
  const directory = file("local");
  return [
    {
      name: backupName,
      ours: true,
      command: `BACKUP_STORE=file://${file("plain")} ${bin} db:backup --depth 1`,
    },
    {
      name: "dbprotect db:verify:post-deploy, nothing changed",
      ours: true,
      prepare: `${guarded} gate run > /dev/null`,
      command: `${guarded} db:verify:post-deploy --receipt ${runId}`,
      against: backupName,
    },
    {
      name: "dbprotect db:verify:post-deploy, 1 % of the rows written",
      ours: true,
      // The verification before has spent its copy; what is written is written in every bucket.
      prepare: [
        `${guarded} gate run --take-over > /dev/null`,
        psql("UPDATE events SET kind = 'seen' WHERE id % 100 = 0"),
        psql(
          "INSERT INTO orders (customer_id, state, total, lines, placed_at) SELECT 1, 'open', 1, '[]', now() FROM generate_series(1, 1000)",
        ),
      ].join("\n"),
      command: `${guarded} db:verify:post-deploy --receipt ${runId}`,
      against: backupName,
    },
    {
      name: "dbprotect db:repair of 10,000 lost rows, verified",
      ours: true,
      prepare: [
        `${guarded} gate run --take-over > /dev/null`,
        psql("DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id % 7 = 0 ORDER BY id LIMIT 10000)"),
      ].join("\n"),
      command: `${guarded} db:repair --receipt ${runId} --yes`,
      // It closes the copy, whose server would live on.
      after: `${guarded} db:verify:post-deploy --receipt ${runId} > /dev/null`,
      against: backupName,
    },
    {
      name: pgRestoreName,
      ours: false,
      prepare: [
        `${join(binDir, "pg_dump")} "$DATABASE_URL" -Fd -j2 -f ${directory}`,
        psql("CREATE DATABASE bench_local"),
      ].join("\n"),
      command: `${join(binDir, "pg_restore")} -j2 -d "\${DATABASE_URL%/*}/bench_local" ${directory}`,
      after: psql("DROP DATABASE bench_local"),
    },
    {
      name: "dbprotect db:restore from S3, compared",
      ours: true,
      prepare: `BACKUP_STORE=${bucket}/restored ${bin} db:backup --depth 1`,
      command: `BACKUP_STORE=${bucket}/restored ${bin} db:restore latest --database bench_restored --yes`,
      after: psql("DROP DATABASE bench_restored"),
      against: pgRestoreName,
    },
  ];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Every command of `dbprotect`: its name, what it is for, and the module below commands/ that configures it. */

export interface CommandEntry {
  readonly name: string;
  readonly description: string;
  /** The file below commands/. */
  readonly module: string;
  /** Written into the timeline of every open incident: what changes or proves something. Default false. */
  readonly inTimeline?: boolean;
}

/** Groups of commands of two words. */
export const commandGroups: Readonly<Record<string, string>> = {
  gate: "checks before a release",
  incident: "what happened, who did what, and how it ended",
};

export const commandEntries: readonly CommandEntry[] = [
  {
    name: "status",
    description: "where everything stands: Levels, locations, drills, freeze, lease, fence, incidents, alarms",
    module: "status",
  },
  {
    name: "gate run",
    description: "all checks before a release; takes a verified backup, writes the receipt",
    module: "gateRun",
  },
  {
    name: "gate preview",
    description: "the read-only checks; always exits 0 with a JSON verdict",
    module: "gatePreview",
  },
  {
    name: "release",
    description: "one release step (migrations, railway, vercel), admitted by the receipt",
    module: "release",
  },
  {
    name: "db:test-connection",
    description: "reach the database and show which one it is",
    module: "testConnection",
  },
  {
    name: "db:health",
    description: "every signal of database, backups and platform, against its threshold",
    module: "health",
  },
  {
    name: "db:count-records",
    description: "exact row counts of all tables, in one snapshot",
    module: "countRecords",
  },
  {
    name: "db:validate",
    description: "run the data checks",
    module: "validate",
    inTimeline: true,
  },
  {
    name: "db:backup",
    description: "take a backup and verify it",
    module: "backup",
    inTimeline: true,
  },
  {
    name: "db:verify",
    description: "verify a backup that was taken earlier",
    module: "verify",
  },
  {
    name: "db:list",
    description: "every backup of the store, and what is known of it",
    module: "list",
  },
  {
    name: "db:prune",
    description: "remove what retention no longer promises; looks only, unless told to go on",
    module: "prune",
  },
  {
    name: "store:compare",
    description: "whether several stores hold the same backups, by manifests and checksums",
    module: "storeCompare",
  },
  {
    name: "store:sync",
    description: "give every store the backups that another one has",
    module: "storeSync",
  },
  {
    name: "store:replicate-existing",
    description: "have S3 copy what was there before it replicated the bucket; Level 3 runs it",
    module: "storeReplicateExisting",
  },
  {
    name: "db:drill",
    description: "restore the newest backup of each location, compared, checked, timed",
    module: "drill",
  },
  {
    name: "replication:setup",
    description: "set the live replica up: definitions, publication, subscription, first copy",
    module: "replicationSetup",
  },
  {
    name: "replication:status",
    description: "how far the live replica is behind, and what is wrong with it",
    module: "replicationStatus",
  },
  {
    name: "replication:sync",
    description: "carry what the source defines besides over to the live replica: columns, tables, indexes, sequences",
    module: "replicationSync",
  },
  {
    name: "replication:verify",
    description: "whether the replica holds what the source holds, while both go on",
    module: "replicationVerify",
  },
  {
    name: "replication:failover",
    description: "the live replica becomes the database: fenced, caught up, compared first",
    module: "replicationFailover",
    inTimeline: true,
  },
  {
    name: "replication:failback",
    description: "after a failover the former source follows the new database, without a copy",
    module: "replicationFailback",
    inTimeline: true,
  },
  {
    name: "replication:drop",
    description: "take the live replica down, slot included; its rows stay",
    module: "replicationDrop",
  },
  {
    name: "replication:janitor",
    description: "drop slots of ours that nobody has read from for too long",
    module: "replicationJanitor",
  },
  {
    name: "db:restore",
    description: "restore a backup beside the live database, verified",
    module: "restore",
    inTimeline: true,
  },
  {
    name: "db:assess",
    description: "what is damaged and since when, and which way back to take; reads only",
    module: "assess",
    inTimeline: true,
  },
  {
    name: "emergency",
    description: "data was lost: freeze, assess, a way back, verify, test, unfreeze; goes on where it was",
    module: "emergency",
  },
  {
    name: "test:emergency",
    description: "whether what was recovered works: data checks, health checks, the configured command",
    module: "testEmergency",
    inTimeline: true,
  },
  {
    name: "db:emergency-restore",
    description: "the last known good backup takes the live database's place",
    module: "emergencyRestore",
    inTimeline: true,
  },
  {
    name: "db:emergency-verify",
    description: "after a restore: nothing of the backup is missing, the application answers",
    module: "emergencyVerify",
    inTimeline: true,
  },
  {
    name: "db:verify:rollback",
    description: "after a rollback: nothing of before the release is missing",
    module: "verifyRollback",
    inTimeline: true,
  },
  {
    name: "db:compare-counts",
    description: "row counts now against those of a backup",
    module: "compareCounts",
  },
  {
    name: "db:verify:post-deploy",
    description: "after a release: no row is gone, the application answers",
    module: "verifyPostDeploy",
    inTimeline: true,
  },
  {
    name: "db:repair",
    description: "put back what a release lost, row by row, from the copy of before",
    module: "repair",
    inTimeline: true,
  },
  {
    name: "migrations:lint",
    description: "migration files, judged without a database",
    module: "migrationsLint",
  },
  {
    name: "migrations:trial",
    description: "the pending migrations, judged and then run on a restored copy",
    module: "migrationsTrial",
  },
  {
    name: "migrations:apply",
    description: "apply what the gate judged, as the release does: the step migrations by hand",
    module: "migrationsApply",
    inTimeline: true,
  },
  {
    name: "platform:check",
    description: "the platform's own backups, PITR, replicas, health: Level 1",
    module: "platformCheck",
  },
  {
    name: "env:check",
    description: "required variables present, critical ones unchanged",
    module: "envCheck",
  },
  {
    name: "env:snapshot",
    description: "digests of the variables; --accept makes them the baseline",
    module: "envSnapshot",
  },
  {
    name: "env:diff",
    description: "what differs between two snapshots of the variables, or a snapshot and now",
    module: "envDiff",
  },
  {
    name: "env:restore",
    description: "chosen variables of Railway and Vercel as a snapshot holds them",
    module: "envRestore",
    inTimeline: true,
  },
  {
    name: "deploy:freeze",
    description: "halt every gate and release until it is lifted",
    module: "freeze",
    inTimeline: true,
  },
  {
    name: "deploy:unfreeze",
    description: "lift a freeze, with person and reason",
    module: "unfreeze",
    inTimeline: true,
  },
  {
    name: "deploy:watch",
    description: "status, logs and health of what is released, against how it was before",
    module: "watch",
  },
  {
    name: "deploy:report",
    description: "all that is recorded of a release as one HTML file",
    module: "report",
  },
  {
    name: "deploy:rollback",
    description: "Railway and Vercel back to what was live before a release, each proven",
    module: "rollback",
    inTimeline: true,
  },
  {
    name: "rollback:planned",
    description: "data and application back to before a release, in order; goes on where it was",
    module: "rollbackPlanned",
    inTimeline: true,
  },
  {
    name: "checklist",
    description: "one of the strategy's checklists, ticked by what is recorded of a release",
    module: "checklist",
  },
  {
    name: "deploy:maintenance",
    description: "nobody writes, and users are told, until it is lifted",
    module: "maintenance",
    inTimeline: true,
  },
  {
    name: "incident open",
    description: "open an incident: its timeline holds what is run from now on",
    module: "incidentOpen",
  },
  {
    name: "incident note",
    description: "write into an incident's timeline",
    module: "incidentNote",
  },
  {
    name: "incident close",
    description: "close an incident, with a reason and what keeps it from happening again",
    module: "incidentClose",
  },
  {
    name: "incident list",
    description: "all incidents, or the open ones",
    module: "incidentList",
  },
  {
    name: "incident show",
    description: "one incident; its blameless report as Markdown or HTML",
    module: "incidentShow",
  },
  {
    name: "test:integration",
    description: "the configured integration tests and the health checks",
    module: "testIntegration",
    inTimeline: true,
  },
  {
    name: "rehearse",
    description: "a protected deployment on throwaway local servers",
    module: "rehearse",
  },
];

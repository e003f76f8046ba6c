/**
 * The one place that knows the operational program's command lines and the environment each is given: the
 * seam between `components/` and `scripts/`.
 */
import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { exitCode } from "../scripts/contract/failure";
import type { OperationSettings, ReplicaSettings } from "../scripts/settings";

/** How the commands find the program, the store and the database. */
export interface CommandAccess {
  /**
   * The shell words that start the operational program, relative to the Pulumi project's folder: the same
   * text on every machine, because a Command runs again when its text changes. Defaults to `node`, its memory setting and the
   * path of this package's `bin/dbprotect.js` as seen from the project's folder.
   */
  readonly program?: string;
  /** `file:///folder` or `s3://bucket/prefix`. */
  readonly backupStore: pulumi.Input<string>;
  /** Region of the store's bucket. Defaults to what the environment of `pulumi up` says. */
  readonly awsRegion?: pulumi.Input<string>;
  /** Connection URL of the protected database. Defaults to `DATABASE_URL` in the environment of `pulumi up`. */
  readonly databaseUrl?: pulumi.Input<string>;
  /** Keys the digests and seals the values of the environment's snapshots. Defaults to `BACKUP_PASSPHRASE` in the environment of `pulumi up`. */
  readonly backupPassphrase?: pulumi.Input<string>;
  /** ARN of a KMS key that takes the passphrase's place. Defaults to `BACKUP_KMS_KEY` in the environment of `pulumi up`. */
  readonly environmentKeyArn?: pulumi.Input<string>;
  /** URL of the live replica, once it follows: `databaseUrl` of a `LogicalReplica`. Defaults to `REPLICA_DATABASE_URL` in the environment of `pulumi up`. */
  readonly replicaUrl?: pulumi.Input<string>;
}

/** What only the gate and the environment's snapshot are told; a release takes it from the receipt. */
export interface OperationContext {
  readonly operation: OperationSettings;
  readonly releaseVersion?: string | undefined;
  readonly appUrl?: string | undefined;
  readonly frontendUrl?: string | undefined;
}

const commandWords = {
  platformCheck: "platform:check --preview",
  gateRun: "gate run --print receipt",
  gatePreview: "gate preview",
  releaseMigrations: "release migrations",
  releaseRailway: "release railway",
  releaseVercel: "release vercel",
  watch: "deploy:watch --release",
  verifyPostDeploy: "db:verify:post-deploy",
  environmentSnapshot: "env:snapshot --json",
  scheduledBackup: "db:backup --tier scheduled",
  prune: "db:prune --yes",
  health: "db:health --open-incident",
  drill: "db:drill --json",
  lastDrills: "db:drill --last --json",
  replicateExisting: "store:replicate-existing",
  replicaSetup: "replication:setup --yes",
  replicaSync: "replication:sync --yes",
  replicaDrop: "replication:drop --yes",
} as const;

export type CommandName = keyof typeof commandWords;

/** `node … bin/dbprotect.js gate preview`. */
export function commandLine(name: CommandName, program: string | undefined): string {
  return `${program ?? defaultProgram()} ${commandWords[name]}`;
}

/** The program's name on the PATH of its container. */
export const containerProgram = "dbprotect";

/**
 * What a schedule runs, as one line for a shell: a verified backup, then what retention lets go. Pruning yields to a
 * release that is under way; the night after makes good for it.
 */
export function scheduledDump(program: string): string {
  const backup = commandLine("scheduledBackup", program);
  const prune = commandLine("prune", program);
  return `${backup} && { ${prune} || [ $? -eq ${exitCode.unreachable} ]; }`;
}

/**
 * What a schedule runs to have metrics of the database. What is critical, or does not answer, its metrics say, and alarms
 * watch those; that nothing was measured at all is told by metrics that are missing.
 */
export function scheduledCheck(program: string): string {
  return `${commandLine("health", program)} || [ $? -eq ${exitCode.refused} ] || [ $? -eq ${exitCode.unreachable} ]`;
}

/**
 * Commands run in the Pulumi project's folder, which is also the program's working folder. A young generation that may
 * not grow is looked through more often: what a backup streams is gone sooner, and costs it a third less memory.
 */
function defaultProgram(): string {
  const bin = path.relative(process.cwd(), path.resolve(__dirname, "../bin/dbprotect.js"));
  return `node --max-semi-space-size=2 ${bin.split(path.sep).join("/")}`;
}

/** What a schedule runs to drill the locations of its store. */
export function scheduledDrill(program: string): string {
  return commandLine("drill", program);
}

/** Text of the `stack` a receipt is bound to: `project/stack`. */
export function stackName(): string {
  return `${pulumi.getProject()}/${pulumi.getStack()}`;
}

/** `releaseVersion` is meant to be the only one of these that changes from one release to the next. */
export function releaseEnvironment(
  access: CommandAccess,
  releaseVersion: string,
): Record<string, pulumi.Input<string>> {
  return { ...accessEnvironment(access), DBPROTECT_RELEASE_VERSION: releaseVersion };
}

export function gateEnvironment(
  access: CommandAccess,
  context: OperationContext,
): Record<string, pulumi.Input<string>> {
  return {
    ...accessEnvironment(access),
    DBPROTECT_SETTINGS: JSON.stringify(context.operation),
    ...(context.releaseVersion === undefined ? {} : { DBPROTECT_RELEASE_VERSION: context.releaseVersion }),
    ...(context.appUrl === undefined ? {} : { APP_URL: context.appUrl }),
    ...(context.frontendUrl === undefined ? {} : { FRONTEND_URL: context.frontendUrl }),
  };
}

/** What reads the last drills: the store, and nothing of the database. */
export function drillsEnvironment(access: CommandAccess): Record<string, pulumi.Input<string>> {
  const { BACKUP_STORE, AWS_REGION, DBPROTECT_STACK } = accessEnvironment(access);
  return {
    ...endsWithParent,
    BACKUP_STORE: BACKUP_STORE!,
    DBPROTECT_STACK: DBPROTECT_STACK!,
    ...(AWS_REGION === undefined ? {} : { AWS_REGION }),
  };
}

/** What the job that copies existing objects is told; nothing of it is secret. */
export function replicateExistingEnvironment(job: {
  readonly backupStore: pulumi.Input<string>;
  readonly account: pulumi.Input<string>;
  readonly region: pulumi.Input<string>;
  readonly sourceBucketArn: pulumi.Input<string>;
  readonly roleArn: pulumi.Input<string>;
  readonly destinationBucketArn: pulumi.Input<string>;
}): Record<string, pulumi.Input<string>> {
  return {
    ...endsWithParent,
    AWS_REGION: job.region,
    BACKUP_STORE: job.backupStore,
    DBPROTECT_REPLICATION: pulumi.jsonStringify({
      account: job.account,
      source: job.sourceBucketArn,
      destination: job.destinationBucketArn,
      role: job.roleArn,
    }),
  };
}

/** What sets a live replica up and takes it down: both databases, and what concerns the replica alone. */
export function replicaEnvironment(
  access: Pick<CommandAccess, "databaseUrl">,
  link: {
    readonly replicaUrl: pulumi.Input<string>;
    readonly sourceUrl?: pulumi.Input<string> | undefined;
    readonly replica: ReplicaSettings;
  },
): Record<string, pulumi.Input<string>> {
  return {
    REPLICA_DATABASE_URL: pulumi.secret(link.replicaUrl),
    DBPROTECT_SETTINGS: JSON.stringify({ replica: link.replica }),
    ...(access.databaseUrl === undefined ? {} : { DATABASE_URL: pulumi.secret(access.databaseUrl) }),
    ...(link.sourceUrl === undefined ? {} : { REPLICATION_SOURCE_URL: pulumi.secret(link.sourceUrl) }),
  };
}

/** For a server of one's own the check asks the database; Supabase's credentials are inherited, never configured. */
export function platformEnvironment(
  databaseUrl: pulumi.Input<string> | undefined,
  operation: OperationSettings,
): Record<string, pulumi.Input<string>> {
  return {
    ...endsWithParent,
    DBPROTECT_SETTINGS: JSON.stringify(operation),
    ...(databaseUrl === undefined ? {} : { DATABASE_URL: pulumi.secret(databaseUrl) }),
  };
}

/** An interrupted `up` kills the shell that starts a Command; what it started ends with it, and cleans up first. */
const endsWithParent = { DBPROTECT_ENDS_WITH_PARENT: "yes" };

/** Only what was configured: the rest is inherited, so that it never reaches the state. */
function accessEnvironment(access: CommandAccess): Record<string, pulumi.Input<string>> {
  return {
    ...endsWithParent,
    BACKUP_STORE: access.backupStore,
    DBPROTECT_STACK: stackName(),
    ...(access.awsRegion === undefined ? {} : { AWS_REGION: access.awsRegion }),
    ...(access.environmentKeyArn === undefined ? {} : { BACKUP_KMS_KEY: access.environmentKeyArn }),
    ...(access.databaseUrl === undefined ? {} : { DATABASE_URL: pulumi.secret(access.databaseUrl) }),
    ...(access.backupPassphrase === undefined ? {} : { BACKUP_PASSPHRASE: pulumi.secret(access.backupPassphrase) }),
    ...(access.replicaUrl === undefined ? {} : { REPLICA_DATABASE_URL: pulumi.secret(access.replicaUrl) }),
  };
}

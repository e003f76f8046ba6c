/** The program that `pulumi up` runs: settings, the platform's protection, ours, a second location, guarded release. */
import {
  AutomaticProtection,
  ContinuousProtection,
  DeploymentProtection,
  GuardedRelease,
  LogicalReplica,
  readSettings,
} from "./components";

const settings = readSettings();

const platform = new AutomaticProtection("platform", settings);

const replica =
  settings.logicalReplica === undefined
    ? undefined
    : new LogicalReplica("replica", settings.logicalReplica, { dependsOn: platform.checked });

const protection = new DeploymentProtection(
  "database",
  { ...settings, replicaUrl: replica?.databaseUrl },
  { dependsOn: platform.checked },
);

const continuous =
  settings.continuous === undefined || protection.bucket === undefined
    ? undefined
    : new ContinuousProtection("continuous", {
        source: protection.bucket,
        access: protection.access,
        schedule: protection.schedule,
        alerts: settings.alerts,
        alarmTopic: protection.alertTopic,
        ...settings.continuous,
      });

if (settings.releaseVersion !== undefined) {
  new GuardedRelease("release", {
    access: protection.access,
    releaseVersion: settings.releaseVersion,
    operation: settings.operation,
    after: protection.guards,
  });
}

/** Where the backups lie. */
export const backupStore = protection.backupStore;
/** SHA-256 of the receipt that the gate wrote, or `unchanged`. */
export const receipt = protection.gate.receipt;
/** What this stack released last, or `none`. */
export const releaseVersion = settings.releaseVersion ?? "none";
/** The accepted snapshot of the environment that the next deployment is compared with. */
export const environmentBaseline = protection.environment.baseline;
/** The second location of the backups, at Level 3. */
export const secondStore = continuous?.secondStore ?? "none";
/** Where the live replica is: `host:port/database`, at Level 3. */
export const replicaAddress = replica?.address ?? "none";
/** Seconds of writes that a restore would have lost at the last drill, and when that was; at Level 3. */
export const rpo = continuous?.rpo ?? "not measured";
/** Seconds that a restore took at the last drill, and when that was; at Level 3. */
export const rto = continuous?.rto ?? "not measured";

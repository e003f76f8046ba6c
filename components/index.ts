/** The library: what another Pulumi program imports. */
export { AlertTopic, type AlertTopicArgs, Alerting, type AlertingArgs, type HealthAlarms } from "./alerting";
export { AutomaticProtection, type AutomaticProtectionArgs } from "./automaticProtection";
export { BackupBucket, type BackupBucketArgs } from "./backupBucket";
export { BucketReplication, type BucketReplicationArgs, type SecondBucketArgs } from "./bucketReplication";
export type { CommandAccess, OperationContext } from "./commands";
export {
  ContinuousProtection,
  type ContinuousProtectionArgs,
  type DrillScheduleArgs,
  type SecondLocationArgs,
} from "./continuousProtection";
export { DeployGate, type DeployGateArgs } from "./deployGate";
export {
  DeploymentProtection,
  type DeploymentProtectionArgs,
  type ProtectionAlertsArgs,
  type ProtectionScheduleArgs,
} from "./deploymentProtection";
export { DumpImage, type DumpImageArgs } from "./dumpImage";
export { DumpSchedule, type DumpScheduleArgs, type DumpedDatabase } from "./dumpSchedule";
export { EnvironmentSnapshot, type EnvironmentSnapshotArgs, type WatchedVariable } from "./environmentSnapshot";
export { GuardedRelease, type GuardedReleaseArgs } from "./guardedRelease";
export { HealthSchedule, type HealthScheduleArgs, type SupabaseHealthArgs } from "./healthSchedule";
export { type CreatedReplicaArgs, LogicalReplica, type LogicalReplicaArgs } from "./logicalReplica";
export { ReplicaServer, type ReplicaServerArgs } from "./replicaServer";
export { RestoreDrill, type RestoreDrillArgs } from "./restoreDrill";
export type { MeasuredFigure } from "./measuredFigures";
export type { ScheduledTasksArgs } from "./scheduledTasks";
export { type ProgramSettings, readSettings } from "./settings";

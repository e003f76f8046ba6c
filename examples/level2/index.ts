/**
 * Level 2 for a fleet: a locked bucket of its own for each database, one schedule that dumps and verifies them all every
 * night, and one topic that tells people. Gates and releases belong to each application's own stack.
 */
import * as pulumi from "@pulumi/pulumi";
import { AlertTopic, Alerting, BackupBucket, DumpSchedule } from "../../components";

interface FleetDatabase {
  readonly name: string;
  readonly databaseUrlSecretArn: string;
  readonly gibibytes?: number;
}

const config = new pulumi.Config();
const databases = config.requireObject<FleetDatabase[]>("databases");

const topic = new AlertTopic("alerts", { emails: config.getObject<string[]>("alertEmails") ?? [] });

const buckets = databases.map(
  ({ name }) => new BackupBucket(name, { prefix: name, coldStorage: "GLACIER_IR", lockMode: "governance" }),
);

const dumps = new DumpSchedule("dumps", {
  databases: databases.map((database, place) => {
    const bucket = buckets[place]!;
    return {
      ...database,
      backupStore: bucket.url,
      awsRegion: bucket.region,
      kmsKeyArns: bucket.kmsKeyArn === undefined ? [] : [bucket.kmsKeyArn],
    };
  }),
  alarmTopic: topic,
});

new Alerting("alarms", { topicArn: topic.arn, stateMachineArn: dumps.stateMachine.arn });

/** What `BACKUP_STORE` is for each database, by its name: for `db:list`, `db:verify`, `db:restore`. */
export const stores = pulumi
  .all(buckets.map(({ url }) => url))
  .apply((urls) => Object.fromEntries(databases.map(({ name }, place) => [name, urls[place]])));

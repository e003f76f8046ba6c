/** The components as somebody's own program uses them: inputs, options, dependencies, what a failure stops. */
import assert from "node:assert/strict";
import { containsSecret, unwrapSecrets } from "../../scripts/rehearsal/engine/wire";
import { type RegisteredResource, record } from "./record";

describe("components", function () {
  this.timeout(60_000);

  describe("automaticProtection", () => {
    it("creates nothing, and asks at preview and at update", async () => {
      for (const preview of [true, false]) {
        const { registered, invoked, errors } = await record("levelOne", { preview });
        assert.deepEqual(errors, []);
        assert.equal(invoked.length, 1);
        assert.match(invoked[0] ?? "", /platform:check --preview/);
        assert.ok(!JSON.stringify(invoked).includes("spoken-friend"));
        assert.ok(registered.some(({ name }) => name === "backups-bucket"));
      }
    });

    it("halts in one line, before what depends on it", async () => {
      const { registered, errors } = await record("levelOne", { halting: true });
      assert.deepEqual([...new Set(errors)], ["Level 1 halts: backup: no completed backup: look there"]);
      assert.ok(!registered.some(({ name }) => name === "backups-bucket"));
    });
  });

  describe("backupBucket", () => {
    it("is versioned, encrypted, private, TLS-only, and nothing of it can be deleted with the stack", async () => {
      const { registered, get, outputs, errors } = await record("bucket");
      assert.deepEqual(errors, []);
      assert.deepEqual(outputs, { url: `s3://backups-bucket-1a2b3c4/prod${promisedLock}`, region: "eu-central-1" });
      assert.deepEqual(get("backups-versioning").inputs["versioningConfiguration"], { status: "Enabled" });
      assert.deepEqual(get("backups-encryption").inputs["rules"], [
        {
          applyServerSideEncryptionByDefault: { sseAlgorithm: "aws:kms", kmsMasterKeyId: ownKey },
          bucketKeyEnabled: true,
        },
      ]);
      assert.deepEqual(get("backups-ownership").inputs["rule"], { objectOwnership: "BucketOwnerEnforced" });
      const { bucket, ...blocks } = get("backups-access-block").inputs;
      assert.deepEqual(blocks, {
        blockPublicAcls: true,
        blockPublicPolicy: true,
        ignorePublicAcls: true,
        restrictPublicBuckets: true,
      });
      assert.equal(bucket, "backups-bucket-1a2b3c4");
      assert.deepEqual(get("backups-events").inputs["eventbridge"], true);
      const children = registered.filter(({ parent }) => parent === "backups");
      assert.equal(children.length, 10);
      for (const child of children) {
        // Without it nothing is lost but news.
        if (child.name === "backups-events") continue;
        assert.equal(child.protect, true, `${child.name} must be protected`);
        assert.equal(child.retainOnDelete, true, `${child.name} must be retained`);
        assert.ok(!("forceDestroy" in child.inputs), child.name);
      }
      // Written at once, S3 refuses one of the two.
      assert.ok(get("backups-policy").dependsOn.includes("backups-access-block"));
      assert.ok(get("backups-lifecycle").dependsOn.includes("backups-versioning"));
    });

    it("refuses plain HTTP, other encryption, and removing for good, whoever asks", async () => {
      const policy = documentOf((await record("bucket")).get("backups-policy"));
      const bucket = "arn:aws:s3:::backups-bucket-1a2b3c4";
      const all = { Effect: "Deny", Principal: "*" };
      assert.deepEqual(policy, [
        {
          Sid: "TlsOnly",
          ...all,
          Action: "s3:*",
          Resource: [bucket, `${bucket}/*`],
          Condition: { Bool: { "aws:SecureTransport": "false" } },
        },
        {
          Sid: "RecentTlsOnly",
          ...all,
          Action: "s3:*",
          Resource: [bucket, `${bucket}/*`],
          Condition: { NumericLessThan: { "s3:TlsVersion": "1.2" } },
        },
        {
          Sid: "EncryptedOnly",
          ...all,
          Action: "s3:PutObject",
          Resource: `${bucket}/*`,
          Condition: { StringNotEqualsIfExists: { "s3:x-amz-server-side-encryption": "aws:kms" } },
        },
        {
          Sid: "OwnKeyOnly",
          ...all,
          Action: "s3:PutObject",
          Resource: `${bucket}/*`,
          Condition: { StringNotEqualsIfExists: { "s3:x-amz-server-side-encryption-aws-kms-key-id": ownKey } },
        },
        {
          Sid: "NothingForGood",
          ...all,
          Action: ["s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"],
          Resource: `${bucket}/*`,
        },
        {
          Sid: "NotLockedForLonger",
          ...all,
          Action: ["s3:PutObject", "s3:PutObjectRetention"],
          Resource: `${bucket}/*`,
          // What the monthly tier promises.
          Condition: { NumericGreaterThan: { "s3:object-lock-remaining-retention-days": "366" } },
        },
        { Sid: "BucketStays", ...all, Action: "s3:DeleteBucket", Resource: bucket },
      ]);
    });

    it("has a key that is rotated, serves S3 alone, and that nobody may disable or delete", async () => {
      const key = (await record("bucket")).get("backups-key");
      assert.equal(key.inputs["enableKeyRotation"], true);
      assert.equal(key.inputs["deletionWindowInDays"], 30);
      const [administration, use, ...others] = documentOf(key);
      assert.deepEqual(others, []);
      assert.deepEqual(administration?.["Principal"], { AWS: "arn:aws:iam::111122223333:root" });
      for (const action of administration?.["Action"] as string[])
        assert.doesNotMatch(action, /\*|crypt|GenerateDataKey|Disable|ScheduleKeyDeletion|ReEncrypt/);
      assert.deepEqual(use, {
        Sid: "ThroughS3",
        Effect: "Allow",
        Principal: { AWS: "arn:aws:iam::111122223333:root" },
        Action: ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey", "kms:Encrypt"],
        Resource: "*",
        Condition: {
          StringLike: { "kms:ViaService": "s3.*.amazonaws.com" },
          StringEquals: { "kms:CallerAccount": "111122223333" },
        },
      });
    });

    it("gives data keys for snapshots of the environment where that is asked for, to nothing else, and to no task", async () => {
      const { get, registered, errors } = await record("protectionWithBucketKey");
      assert.deepEqual(errors, []);
      const [, , environment, ...others] = documentOf(get("database-bucket-key"));
      assert.deepEqual(others, []);
      assert.deepEqual(environment, {
        Sid: "EnvironmentSnapshots",
        Effect: "Allow",
        Principal: { AWS: "arn:aws:iam::111122223333:root" },
        Action: ["kms:Decrypt", "kms:GenerateDataKey"],
        Resource: "*",
        Condition: {
          StringEquals: {
            "kms:CallerAccount": "111122223333",
            "kms:EncryptionContext:dbprotect-purpose": "environment-snapshots",
          },
        },
      });
      const arn = "arn:aws:kms:eu-central-1:111122223333:database-bucket-key";
      for (const command of ["database-gate-run"])
        assert.equal((get(command).inputs["environment"] as Record<string, unknown>)["BACKUP_KMS_KEY"], arn);
      assert.equal(get("database-environment").inputs["environmentKeyArn"], arn);
      // What a scheduled task may do with the key, it may do through S3 only.
      for (const role of ["database-dumps-database-task", "database-dumps-health-database-task"]) {
        const rights = registered.find((each) => each.name === role && each.type === "aws:iam/rolePolicy:RolePolicy");
        const use = documentOf(rights!).find(({ Sid }) => Sid === "UseKey");
        assert.deepEqual(use?.["Condition"], { StringLike: { "kms:ViaService": "s3.*.amazonaws.com" } }, role);
      }
    });

    it("takes a key of one's own for the environment, wherever the store is", async () => {
      const { get, registered } = await record("protectionWithKey");
      const arn = "arn:aws:kms:eu-central-1:111122223333:key/1";
      assert.equal((get("database-gate-run").inputs["environment"] as Record<string, unknown>)["BACKUP_KMS_KEY"], arn);
      assert.equal(get("database-environment").inputs["environmentKeyArn"], arn);
      assert.ok(!registered.some(({ type }) => type === "aws:kms/key:Key"));
    });

    it("adopts a bucket that exists without creating one, and does not touch its notifications", async () => {
      const { registered, get, outputs, errors } = await record("bucketThatExists");
      assert.deepEqual(errors, []);
      assert.equal(outputs["url"], "s3://backups-bucket-1a2b3c4/prod");
      assert.deepEqual(
        registered.filter(({ type }) => /Bucket$|Key$|Notification$/.test(type)).map(({ name }) => name),
        ["backups"],
      );
      assert.deepEqual(get("backups-encryption").inputs["rules"], [
        { applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } },
      ]);
      assert.equal(get("backups-versioning").inputs["bucket"], "backups-bucket-1a2b3c4");
      const encrypted = documentOf(get("backups-policy")).find(({ Sid }) => Sid === "EncryptedOnly");
      assert.deepEqual(encrypted?.["Condition"], {
        StringNotEqualsIfExists: { "s3:x-amz-server-side-encryption": "AES256" },
      });
    });

    it("says in one line what contradicts what", async () => {
      const messages = async (declaration: "bucketOfTwoMinds" | "bucketLockedInNoMode") =>
        [...new Set((await record(declaration)).errors)].join();
      assert.match(
        await messages("bucketOfTwoMinds"),
        /^backups: found both kmsKeyArn and encryption: s3: expected one/,
      );
      assert.match(
        await messages("bucketLockedInNoMode"),
        /^backups: found lockDays: 8 with lockMode: none: expected governance or compliance: /,
      );
    });

    it("lets nothing current expire but what is tagged expire=yes", async () => {
      const rules = (await record("bucket")).get("backups-lifecycle").inputs["rules"] as Record<string, unknown>[];
      assert.deepEqual(rules, [
        {
          id: "expire-tagged",
          status: "Enabled",
          filter: { and: { prefix: "prod/backups/", tags: { expire: "yes" } } },
          expiration: { days: 1 },
        },
        {
          id: "remove-noncurrent-versions",
          status: "Enabled",
          filter: { prefix: "prod/" },
          noncurrentVersionExpiration: { noncurrentDays: 30 },
        },
        {
          id: "remove-leftovers",
          status: "Enabled",
          filter: { prefix: "prod/" },
          expiration: { expiredObjectDeleteMarker: true },
          abortIncompleteMultipartUpload: { daysAfterInitiation: 7 },
        },
      ]);
    });

    it("takes prefix, key, days, classes, lock, log and tags", async () => {
      const { registered, get, outputs } = await record("bucketWithEverything");
      const lockDays = "daily:7,weekly:35,monthly:40,predeploy:30,manual:40,records:30";
      assert.equal(
        outputs["url"],
        `s3://backups-bucket-1a2b3c4/crm/prod?lockMode=governance&lockDays=${lockDays}`,
        "each tier as long as it promises, none longer than lockDays",
      );
      assert.deepEqual(get("backups-encryption").inputs["rules"], [
        {
          applyServerSideEncryptionByDefault: {
            sseAlgorithm: "aws:kms",
            kmsMasterKeyId: "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000",
          },
          bucketKeyEnabled: true,
        },
      ]);
      const rules = get("backups-lifecycle").inputs["rules"] as Record<string, never>[];
      const rule = (id: string): Record<string, unknown> => rules.find((each) => each["id"] === id) ?? {};
      assert.deepEqual(rule("expire-tagged")["expiration"], { days: 3 });
      assert.deepEqual(rule("expire-monthly"), {
        id: "expire-monthly",
        status: "Enabled",
        filter: { prefix: "crm/prod/backups/monthly/" },
        expiration: { days: 373 },
      });
      assert.deepEqual(rule("cold-monthly")["transitions"], [{ days: 30, storageClass: "GLACIER_IR" }]);
      assert.deepEqual(rule("cold-weekly"), {}, "it would be paid for 90 days and kept for 35");
      assert.deepEqual(rule("remove-noncurrent-versions")["noncurrentVersionExpiration"], { noncurrentDays: 90 });
      assert.deepEqual(rule("remove-leftovers")["abortIncompleteMultipartUpload"], { daysAfterInitiation: 2 });
      const lock = get("backups-lock");
      assert.equal(lock.inputs["objectLockEnabled"], "Enabled");
      assert.equal(lock.inputs["rule"], undefined, "a rule for all would lock what is replaced");
      assert.deepEqual(
        documentOf(get("backups-policy")).find(({ Sid }) => Sid === "NotLockedForLonger"),
        {
          ...{ Sid: "NotLockedForLonger", Effect: "Deny", Principal: "*" },
          Action: ["s3:PutObject", "s3:PutObjectRetention"],
          Resource: "arn:aws:s3:::backups-bucket-1a2b3c4/*",
          Condition: { NumericGreaterThan: { "s3:object-lock-remaining-retention-days": "40" } },
        },
      );
      const list = get("backups-inventory").inputs;
      assert.deepEqual([list["includedObjectVersions"], list["schedule"]], ["All", { frequency: "Weekly" }]);
      assert.deepEqual(list["destination"], {
        bucket: { bucketArn: "arn:aws:s3:::lists", format: "CSV", prefix: "backups-bucket-1a2b3c4" },
      });
      assert.ok(lock.protect && lock.retainOnDelete && lock.dependsOn.includes("backups-versioning"));
      assert.equal(get("backups-access-log").inputs["targetBucket"], "logs");
      assert.ok(!registered.some(({ name }) => name === "backups-key"));
      assert.deepEqual(get("backups-bucket").inputs["tags"], { team: "platform" });
    });
  });

  describe("deploymentProtection", () => {
    it("declares no AWS resource for a store of one's own", async () => {
      const { registered, outputs } = await record("protectionWithStore");
      assert.deepEqual(
        registered.filter(({ type }) => type.startsWith("aws:")),
        [],
      );
      assert.deepEqual(outputs, { backupStore: "file:///srv/backups" });
    });

    it("lets the gate wait for the bucket with all that makes it safe, and hands on its region", async () => {
      const { get, errors } = await record("protectionWithBucket");
      assert.deepEqual(errors, []);
      const gate = get("database-gate-run");
      for (const part of ["bucket", "versioning", "encryption", "ownership", "access-block", "policy", "lifecycle"]) {
        assert.ok(gate.dependsOn.includes(`database-bucket-${part}`), `the gate must wait for ${part}`);
      }
      const environment = gate.inputs["environment"] as Record<string, string>;
      assert.equal(environment["BACKUP_STORE"], `s3://database-bucket-bucket-1a2b3c4/prod${promisedLock}`);
      assert.equal(environment["AWS_REGION"], "eu-central-1");
      assert.equal(environment["DBPROTECT_STACK"], "someones-project/prod");
    });

    it("runs no gate when the bucket's policy fails", async () => {
      const { registered } = await record("protectionWithBucket", { failing: ["database-bucket-policy"] });
      const names = registered.map(({ name }) => name);
      assert.ok(!names.includes("database-gate-run"));
      assert.ok(!names.includes("database-environment"));
      assert.ok(names.includes("database-bucket-lifecycle"), "what does not depend on it goes on");
    });

    it("judges what it can at the very first preview, and says what it cannot", async () => {
      const { invoked, log, errors } = await record("protectionWithBucket", { preview: true });
      assert.deepEqual(errors, []);
      assert.equal(invoked.length, 1);
      assert.match(invoked[0] ?? "", /gate preview BACKUP_STORE=$/);
      assert.match(log, /not judged before the store exists: lease, environment/);
      assert.match(log, /environment not compared: the store does not exist before the first pulumi up/);
    });

    it("says nothing of the kind once the store is known", async () => {
      const { invoked, log } = await record("protectionWithStore", { preview: true });
      assert.match(invoked[0] ?? "", /gate preview BACKUP_STORE=file:\/\/\/srv\/backups$/);
      assert.doesNotMatch(log, /not judged|not compared/);
    });

    it("says that it could not look at a database that does not exist yet", async () => {
      const { invoked, log, errors } = await record("databaseOfTheSameStack", { preview: true });
      assert.deepEqual(errors, []);
      assert.deepEqual(invoked, []);
      assert.match(log, /gate not previewed: the database's address is not known before pulumi up/);
    });

    it("refuses a store together with a bucket", async () => {
      const { errors, registered } = await record("storeAndBucket");
      assert.deepEqual(
        [...new Set(errors)],
        ["database: found both backupStore and bucket: expected one of the two: remove one"],
      );
      assert.deepEqual(
        registered.filter(({ type }) => type !== "pulumi:pulumi:Stack"),
        [],
      );
    });
  });

  describe("guardedRelease", () => {
    it("has every step depend on the gate itself and on its predecessor", async () => {
      const { registered, get, errors } = await record("release");
      assert.deepEqual(errors, []);
      const steps = registered.filter(({ parent }) => parent === "release").map(({ name }) => name);
      assert.deepEqual(steps.sort(), ["release-railway", "release-verification", "release-watch"]);
      for (const name of steps) {
        assert.ok(get(name).dependsOn.includes("database-gate-run"), `${name} must depend on the gate`);
        assert.ok(get(name).dependsOn.includes("database-environment"), `${name} must depend on the snapshot`);
      }
      assert.ok(get("release-verification").dependsOn.includes("release-railway"));
      assert.ok(get("release-watch").dependsOn.includes("release-railway"));
      assert.ok(get("release-verification").dependsOn.includes("release-watch"));
      assert.ok(get("service").dependsOn.includes("database-gate-run"));
    });

    for (const failing of ["database-gate-run", "database-environment"]) {
      it(`registers no step when ${failing} fails`, async () => {
        const { registered, errors } = await record("release", { failing: [failing] });
        assert.deepEqual(
          registered.filter(({ parent }) => parent === "release"),
          [],
        );
        assert.ok(
          !registered.some(({ name }) => name === "service"),
          "one's own resources behind the gate are not registered either",
        );
        assert.ok(errors.some((message) => message.includes(`${failing} fails`)));
      });
    }

    it("marks what came as a credential secret, and passes the rest in plain", async () => {
      const { registered, get } = await record("release");
      const commands = registered.filter(({ type }) => type === "command:local:Command");
      assert.equal(commands.length, 4);
      for (const { name, inputs } of commands) {
        const environment = inputs["environment"] as Record<string, unknown>;
        assert.equal(containsSecret(environment["DATABASE_URL"]), true, name);
        assert.equal(containsSecret(environment["BACKUP_PASSPHRASE"]), true, name);
        assert.equal(unwrapSecrets(environment["DATABASE_URL"]), "postgres://u:spoken-friend@h/d");
        assert.ok(!JSON.stringify(withoutSecrets(environment)).includes("spoken-friend"));
      }
      const { __provider: provider, ...snapshot } = get("database-environment").inputs;
      assert.ok(
        !/spoken-friend|open sesame/.test(JSON.stringify(snapshot)),
        "a provider gets no credential as an input",
      );
      assert.ok(!/spoken-friend|open sesame/.test(String(provider)));
    });

    it("uses the given program, and gives a step its own deadline and time to compare", async () => {
      const { get } = await record("release");
      assert.equal(get("release-railway").inputs["create"], "npx dbprotect release railway");
      assert.equal(get("database-gate-run").inputs["create"], "npx dbprotect gate run --print receipt");
      assert.equal(get("release-railway").timeout, "7800s");
      assert.equal(get("database-gate-run").timeout, "14400s");
    });
  });
});

/** What a bucket of our own locks by default: each tier as long as it promises. */
const promisedLock = "?lockMode=governance&lockDays=daily:7,weekly:35,monthly:366,predeploy:30,manual:90,records:30";

const ownKey = "arn:aws:kms:eu-central-1:111122223333:backups-key";

function documentOf({ inputs }: RegisteredResource): Record<string, unknown>[] {
  const document = JSON.parse(inputs["policy"] as string) as { Version: string; Statement: Record<string, unknown>[] };
  assert.equal(document.Version, "2012-10-17");
  return document.Statement;
}

function withoutSecrets(environment: Record<string, unknown>): RegisteredResource["inputs"] {
  return Object.fromEntries(Object.entries(environment).filter(([, value]) => !containsSecret(value)));
}

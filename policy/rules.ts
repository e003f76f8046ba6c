/**
 * What no stack may lose by accident, whoever changes the program: protection of what holds data, the safety of the buckets
 * of backups, and the gate before every release. Each rule reads resources as the engine hands them over, and names what
 * it found and what to do.
 */
import type { PolicyResource, ResourceValidationPolicy, StackValidationPolicy } from "@pulumi/policy";

/** Types whose deletion loses data, or the key to it. */
const statefulTypes: readonly string[] = [
  "aws:docdb/cluster:Cluster",
  "aws:dynamodb/table:Table",
  "aws:efs/fileSystem:FileSystem",
  "aws:kms/key:Key",
  "aws:rds/cluster:Cluster",
  "aws:rds/instance:Instance",
  "aws:s3/bucket:Bucket",
  "aws:s3/bucketPolicy:BucketPolicy",
  "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
  "aws:s3/bucketVersioning:BucketVersioning",
];

const statefulProtected: ResourceValidationPolicy = {
  name: "stateful-protected",
  description: "What holds data, or the key to it, cannot be deleted with the stack.",
  validateResource: ({ type, name, opts }, report) => {
    if (statefulTypes.includes(type) && !opts.protect)
      report(
        `${name}: found without protect: expected protect: true: pulumi would delete what it holds with the stack`,
      );
  },
};

const noForcedDestruction: ResourceValidationPolicy = {
  name: "no-forced-destruction",
  description: "No resource is told to delete what it holds before it goes.",
  validateResource: ({ name, props }, report) => {
    for (const option of ["forceDestroy", "skipFinalSnapshot"])
      if (props[option] === true)
        report(`${name}: found ${option}: true: expected false: it would empty itself before it is deleted`);
  },
};

/** The component whose buckets hold backups. */
const bucketComponent = "database-protection:index:BackupBucket";

interface BackupBucketParts {
  /** Of the component. */
  readonly name: string;
  /** The component's resources of this type. */
  readonly of: (type: string) => readonly PolicyResource[];
}

function backupBuckets(resources: readonly PolicyResource[]): BackupBucketParts[] {
  return resources
    .filter(({ type }) => type === bucketComponent)
    .map(({ name, urn }) => ({
      name,
      of: (type) => resources.filter((child) => child.type === type && child.parent?.urn === urn),
    }));
}

/** A rule on each bucket of backups. @param missing says what it lacks; undefined: nothing. */
function bucketRule(
  name: string,
  description: string,
  missing: (bucket: BackupBucketParts) => string | undefined,
): StackValidationPolicy {
  return {
    name,
    description,
    validateStack: ({ resources }, report) => {
      for (const bucket of backupBuckets(resources)) {
        const found = missing(bucket);
        if (found !== undefined) report(`${bucket.name}: ${found}`);
      }
    },
  };
}

const bucketsVersioned = bucketRule(
  "buckets-versioned",
  "Buckets of backups keep what is overwritten or deleted.",
  ({ of }) => {
    const [versioning] = of("aws:s3/bucketVersioning:BucketVersioning");
    const status = (versioning?.props["versioningConfiguration"] as { status?: string } | undefined)?.status;
    return status === "Enabled" ? undefined : `found versioning ${status ?? "absent"}: expected Enabled`;
  },
);

const bucketsEncrypted = bucketRule(
  "buckets-encrypted",
  "Buckets of backups encrypt what they take, and take nothing by plain HTTP.",
  ({ of }) => {
    const [encryption] = of("aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration");
    const rules = (encryption?.props["rules"] ?? []) as {
      applyServerSideEncryptionByDefault?: { sseAlgorithm?: string };
    }[];
    const algorithm = rules[0]?.applyServerSideEncryptionByDefault?.sseAlgorithm;
    if (!["aws:kms", "aws:kms:dsse", "AES256"].includes(algorithm ?? ""))
      return `found encryption ${algorithm ?? "absent"}: expected aws:kms or AES256`;
    const [policy] = of("aws:s3/bucketPolicy:BucketPolicy");
    const text = String(policy?.props["policy"] ?? "");
    return text.includes("aws:SecureTransport") ? undefined : "found no policy that refuses plain HTTP: expected one";
  },
);

const bucketsClosed = bucketRule("buckets-closed", "Buckets of backups are closed to the public.", ({ of }) => {
  const [block] = of("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock");
  const open = ["blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"].filter(
    (setting) => block?.props[setting] !== true,
  );
  return open.length === 0 ? undefined : `found ${open.join(", ")} not set: expected all four blocks of public access`;
});

const bucketsLocked = bucketRule(
  "buckets-locked",
  "Buckets of backups have object lock, so that nobody removes a version before its time.",
  ({ of }) => {
    const [lock] = of("aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration");
    return lock?.props["objectLockEnabled"] === "Enabled"
      ? undefined
      : "found no object lock: expected one: set bucket.lockMode to governance or compliance";
  },
);

const commandType = "command:local:Command";

/** What changes what is live: our own release steps, and the platforms' own tools. */
const releasing = [
  /\brelease (migrations|railway|vercel)\b/,
  /\bdb:verify:post-deploy\b/,
  /\brailway (up|redeploy)\b/,
  /\bvercel\b.*--prod\b/,
  /\bsupabase db (push|reset)\b/,
];

const gate = /\bgate run\b/;

const releasesGated: StackValidationPolicy = {
  name: "releases-gated",
  description: "A Command that releases depends on the gate's Command, so that nothing of it runs when the gate halts.",
  validateStack: ({ resources }, report) => {
    for (const resource of resources) {
      const command = releaseCommandOf(resource);
      if (command !== undefined && !reaches(resource, isGate))
        report(
          `${resource.name}: found ${JSON.stringify(command)} without a dependency on a gate: expected dependsOn the guards of DeploymentProtection`,
          resource.urn,
        );
    }
  },
};

/** The text that releases; undefined: it is no Command, or releases nothing. */
function releaseCommandOf({ type, props }: PolicyResource): string | undefined {
  if (type !== commandType) return undefined;
  const texts = [props["create"], props["update"]].filter((text) => typeof text === "string");
  return texts.find((text) => releasing.some((pattern) => pattern.test(text)));
}

function isGate({ type, props }: PolicyResource): boolean {
  return type === commandType && gate.test(String(props["create"] ?? ""));
}

/** Whether a resource depends on one of that kind, itself or through others. */
function reaches(from: PolicyResource, kind: (resource: PolicyResource) => boolean): boolean {
  const seen = new Set<string>();
  const queue = [...from.dependencies];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (seen.has(next.urn)) continue;
    seen.add(next.urn);
    if (kind(next)) return true;
    queue.push(...next.dependencies);
  }
  return false;
}

export const policies: (ResourceValidationPolicy | StackValidationPolicy)[] = [
  statefulProtected,
  noForcedDestruction,
  bucketsVersioned,
  bucketsEncrypted,
  bucketsClosed,
  bucketsLocked,
  releasesGated,
];

/** Level 3's live replica: the server that is created, and the Commands that set the link up and take it down. */
import assert from "node:assert/strict";
import { containsSecret, unwrapSecrets } from "../../scripts/rehearsal/engine/wire";
import { type Recording, type RegisteredResource, record } from "./record";

describe("components/logicalReplica", function () {
  this.timeout(120_000);
  let rds: Recording;

  before(async () => {
    rds = await record("replicaOnRds");
    assert.deepEqual(rds.errors, []);
  });

  const resource = (type: string): RegisteredResource => {
    const found = rds.registered.filter((each) => each.type === type);
    assert.equal(found.length, 1, type);
    return found[0]!;
  };

  it("creates a server that is encrypted by its own key, backed up, monitored, and never deleted by accident", () => {
    const server = resource("aws:rds/instance:Instance");
    assert.equal(server.provider, "replica-server-region");
    assert.equal(rds.get("replica-server-region").inputs["region"], "eu-west-1");
    assert.ok(server.protect && server.retainOnDelete);
    const inputs = unwrapSecrets(server.inputs) as Record<string, unknown>;
    const key = "arn:aws:kms:eu-central-1:111122223333:replica-server-key";
    const expected = {
      ...{ engine: "postgres", storageEncrypted: true, kmsKeyId: key, performanceInsightsKmsKeyId: key },
      ...{ backupRetentionPeriod: 7, deletionProtection: true, skipFinalSnapshot: false, copyTagsToSnapshot: true },
      ...{ monitoringInterval: 60, performanceInsightsEnabled: true, networkType: "DUAL", publiclyAccessible: false },
      ...{ allocatedStorage: 100, maxAllocatedStorage: 400 },
      ...{ parameterGroupName: "replica-server-parameters", dbSubnetGroupName: "replica-server-subnets" },
      monitoringRoleArn: "arn:aws:iam:eu-central-1:111122223333:replica-server-monitoring",
    };
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(inputs[name], value, name);
    assert.ok(containsSecret(server.inputs["password"]));
    assert.ok(server.dependsOn.includes("replica-server-monitoring"));
  });

  it("has what logical replication needs, demands TLS, and logs no parameter, in which a password may be", () => {
    const { family, parameters } = resource("aws:rds/parameterGroup:ParameterGroup").inputs as {
      family: string;
      parameters: { name: string; value: string }[];
    };
    assert.equal(family, "postgres17");
    const set = Object.fromEntries(parameters.map(({ name, value }) => [name, value]));
    assert.equal(set["rds.logical_replication"], "1");
    assert.equal(set["rds.force_ssl"], "1");
    assert.equal(set["log_parameter_max_length"], "0");
    assert.ok(Number(set["max_worker_processes"]) > Number(set["max_logical_replication_workers"]));
  });

  it("lets in its clients only, by both families of addresses, and out to the source's port only", () => {
    const group = resource("aws:ec2/securityGroup:SecurityGroup").inputs as Record<string, any[]>;
    assert.deepEqual(
      group["ingress"]!.map(({ cidrBlocks, ipv6CidrBlocks, securityGroups }) => [
        ...[cidrBlocks, ipv6CidrBlocks, securityGroups],
      ]),
      [
        [["10.0.0.0/16"], ["fd00::/8"], undefined],
        [undefined, undefined, ["sg-0a1b2c3d4e5f6a7b8"]],
      ],
    );
    assert.deepEqual(
      group["egress"]!.map(({ fromPort, toPort, ipv6CidrBlocks }) => [fromPort, toPort, ipv6CidrBlocks]),
      [[5432, 5432, ["::/0"]]],
    );
  });

  it("is told of before its disk is full", () => {
    const { threshold, metricName } = rds.get("replica-server-disk").inputs as Record<string, unknown>;
    assert.deepEqual([metricName, threshold], ["FreeStorageSpace", 0.2 * 100 * 2 ** 30]);
  });

  it("the link is set up, set anew and dropped by the command line, with both URLs secret", () => {
    const link = rds.get("replica-link");
    const { create, update, delete: drop, triggers, environment } = link.inputs as Record<string, any>;
    assert.match(create, /replication:setup --yes$/);
    assert.equal(update, create);
    assert.match(drop, /replication:drop --yes$/);
    for (const name of ["DATABASE_URL", "REPLICA_DATABASE_URL", "REPLICATION_SOURCE_URL"])
      assert.ok(containsSecret(environment[name]), name);
    const plain = unwrapSecrets(environment) as Record<string, string>;
    assert.equal(
      plain["REPLICA_DATABASE_URL"],
      "postgres://replica_admin:spoken%2Ffriend@replica-server-server.abc.eu-west-1.rds.amazonaws.com:5432/replica?sslmode=require",
    );
    assert.equal(JSON.parse(plain["DBPROTECT_SETTINGS"]!).replica.name, "live");
    assert.deepEqual(triggers, ["replica-server-server.abc.eu-west-1.rds.amazonaws.com:5432/replica", "live"]);
    assert.ok(link.dependsOn.includes("replica-server-server"));
    assert.ok(!JSON.stringify(triggers).includes("spoken"));
  });

  it("the gate waits for the link and gets the replica's URL; definitions are carried over after the migrations", () => {
    const gate = rds.get("database-gate-run");
    assert.ok(gate.dependsOn.includes("replica-link"), gate.dependsOn.join());
    assert.ok(containsSecret((gate.inputs["environment"] as Record<string, unknown>)["REPLICA_DATABASE_URL"]));
    const sync = rds.get("release-replica-sync");
    assert.match(String(sync.inputs["create"]), /replication:sync --yes$/);
    assert.ok(sync.dependsOn.includes("release-migrations") && sync.dependsOn.includes("database-gate-run"));
    for (const name of ["release-railway", "release-verification"])
      assert.ok(!rds.get(name).dependsOn.includes("release-replica-sync"), name);
  });

  it("when the link fails, the gate does not run, and nothing is released", async () => {
    const { registered, errors } = await record("replicaOnRds", { failing: ["replica-link"] });
    assert.ok(errors.length > 0);
    for (const name of ["database-gate-run", "release-migrations", "release-replica-sync"])
      assert.ok(!registered.some((each) => each.name === name), name);
  });

  it("of a server that exists nothing is created but the link; without either, or with both, it says so", async () => {
    const existing = await record("replicaThatExists");
    assert.deepEqual(existing.errors, []);
    assert.deepEqual(
      existing.registered.filter(({ type }) => !/^(pulumi:|database-protection:)/.test(type)).map(({ name }) => name),
      ["replica-link"],
    );
    assert.equal(existing.outputs["address"], "other:6000/crm");
    const { errors } = await record("replicaOfTwoMinds");
    assert.match(errors.join(), /replica: found both server and databaseUrl: expected one of the two/);
  });
});

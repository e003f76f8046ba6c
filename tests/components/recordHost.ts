/**
 * Declares one of `declarations.ts` under Pulumi's mocks and writes what was registered into a file, with the options
 * that mocks do not show. Run by `record.ts`, one declaration a process: what fails rejects in many places.
 */
import { writeFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import type { RegisterResourceRequest } from "@pulumi/pulumi/proto/resource_pb";
import { declarations } from "./declarations";
import type { RecordJob, Recorded, RegisteredResource } from "./record";

const job = JSON.parse(process.argv[2] ?? "") as RecordJob;
const recorded: {
  registered: RegisteredResource[];
  errors: string[];
  invoked: string[];
  outputs: Record<string, unknown>;
} = {
  registered: [],
  errors: [],
  invoked: [],
  outputs: {},
};

/** What AWS would fill in; nothing of it is known before the bucket exists. */
function computed(type: string, name: string): Record<string, unknown> {
  if (job.preview) return {};
  if (type === "docker-build:index:Image") return { ref: `${registry}/${name}@sha256:${"0".repeat(64)}` };
  if (!type.startsWith("aws:")) return {};
  if (type === "aws:ecr/repository:Repository")
    return {
      name,
      registryId: account,
      repositoryUrl: `${registry}/${name}`,
      arn: `arn:aws:ecr:eu-central-1:${account}:${name}`,
    };
  if (type === "aws:s3/bucket:Bucket") {
    const region = name.includes("second") ? "eu-west-1" : "eu-central-1";
    return { bucket: `${name}-1a2b3c4`, arn: `arn:aws:s3:::${name}-1a2b3c4`, region };
  }
  if (type === "aws:rds/instance:Instance")
    return {
      identifier: name,
      address: `${name}.abc.eu-west-1.rds.amazonaws.com`,
      arn: `arn:aws:rds:eu-west-1:${account}:db:${name}`,
    };
  const service = type.split(":")[1]?.split("/")[0] ?? "";
  return { name, arn: `arn:aws:${service}:eu-central-1:${account}:${name}` };
}

const account = "111122223333";
const registry = `${account}.dkr.ecr.eu-central-1.amazonaws.com`;

/** What AWS answers about account and region; undefined: another function. */
function lookedUp(token: string): Record<string, unknown> | undefined {
  const answers: Record<string, Record<string, unknown>> = {
    "aws:index/getCallerIdentity:getCallerIdentity": { accountId: account },
    "aws:index/getPartition:getPartition": { partition: "aws" },
    "aws:index/getRegion:getRegion": { region: "eu-central-1" },
    "aws:ecr/getAuthorizationToken:getAuthorizationToken": { userName: "AWS", password: "spoken-token" },
    "aws:ec2/getVpc:getVpc": { id: "vpc-0a1b2c3d" },
    "aws:ec2/getSubnets:getSubnets": { ids: ["subnet-0a1b2c3d", "subnet-4e5f6a7b"] },
  };
  return answers[token];
}

/** What `db:drill --last --json` prints: the second location was slower, and its newest backup older. */
const lastDrills = {
  schemaVersion: 1,
  locations: [
    { store: "s3://first/prod", at: "2026-11-22T05:04:00.000Z", rpoSeconds: 10_000, rtoSeconds: 240.5 },
    { store: "s3://second/prod", at: "2026-11-22T05:10:00.000Z", rpoSeconds: 11_000, rtoSeconds: 300 },
    { store: "s3://third/prod", at: "2026-11-21T05:10:00.000Z", rpoSeconds: null, rtoSeconds: null },
  ],
};

function nameOf(urn: string): string {
  return urn.split("::").at(-1) ?? "";
}

async function main(): Promise<void> {
  await pulumi.runtime.setMocks(
    {
      newResource: async ({ type, name, inputs, custom }) => {
        if (job.failing.includes(name)) throw new Error(`${name} fails`);
        const id = custom === true && !job.preview ? `${name}-id` : undefined;
        return { id, state: { ...(inputs as Record<string, unknown>), ...computed(type, name) } };
      },
      call: async ({ token, inputs }) => {
        const known = lookedUp(token);
        if (known !== undefined) return known;
        const environment = (inputs as { environment?: Record<string, string> }).environment ?? {};
        recorded.invoked.push(`${inputs["command"]} BACKUP_STORE=${environment["BACKUP_STORE"]}`);
        const command = String((inputs as { command?: string }).command);
        if (command.includes("--last")) return { ...inputs, stdout: JSON.stringify(lastDrills) };
        const skipped = environment["BACKUP_STORE"] === "" ? ["lease", "environment"] : [];
        const verdict = job.halting
          ? { verdict: "halt", message: "backup: no completed backup", hint: "look there" }
          : { verdict: "pass", message: null, hint: null };
        const warnings = ["WARNING retention: plan free keeps no backup"];
        return { ...inputs, stdout: JSON.stringify({ ...verdict, skipped, warnings }) };
      },
    },
    "someones-project",
    "prod",
    job.preview,
  );
  const monitor = (
    pulumi.runtime as unknown as {
      getMonitor(): { registerResource(request: RegisterResourceRequest, done: unknown): Promise<void> };
    }
  ).getMonitor();
  const register = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request, done) => {
    recorded.registered.push({
      type: request.getType(),
      name: request.getName(),
      parent: nameOf(request.getParent()),
      inputs: request.getObject()?.toJavaScript() ?? {},
      dependsOn: request.getDependenciesList().map(nameOf),
      protect: request.getProtect() ?? false,
      retainOnDelete: request.getRetainondelete() ?? false,
      timeout: request.getCustomtimeouts()?.getCreate() ?? "",
      provider: request.getProvider().split("::").at(-2) ?? "",
    });
    return register(request, done);
  };
  process.on("unhandledRejection", (reason) =>
    recorded.errors.push(reason instanceof Error ? reason.message : String(reason)),
  );
  // Not to stdout: what a pipe does not take at once is lost at the end.
  process.on("exit", () => writeFileSync(process.argv[3] ?? "", JSON.stringify(recorded satisfies Recorded)));
  await pulumi.runtime.runInPulumiStack(async () => {
    for (const [name, output] of Object.entries<pulumi.Output<unknown>>(declarations[job.declaration]())) {
      output.apply((value) => (recorded.outputs[name] = value));
    }
    return {};
  });
}

void main();

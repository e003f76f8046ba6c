/** A real S3 server for tests (SeaweedFS): versioning, object lock and conditional writes behave as on S3. */
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chownSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findSeaweedfs } from "../../bin/setup/seaweedfs.js";
import { serverUser } from "../../bin/setup/serverUser.js";
import { freePorts } from "../../scripts/scratch/freePort";
import { endProcess } from "../../scripts/process/endProcess";
import { createServerFolder } from "../../scripts/scratch/serverFolder";
import { type Keeper, startKeeper } from "../../scripts/scratch/startKeeper";
import { atProcessEnd } from "./atEnd";

export interface Seaweed {
  /** `http://127.0.0.1:<port>`; buckets are addressed by path. */
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
  /** The server's variables for a child process that uses the AWS SDK. */
  readonly env: Readonly<Record<string, string>>;
  createBucket(name: string, options?: { readonly objectLock?: boolean }): Promise<void>;
  stop(): Promise<void>;
}

const region = "us-east-1";
const startSeconds = 60;

let shared: Promise<Seaweed> | undefined;

/** The server that all tests of this process share. Ends with the process. */
export function sharedSeaweed(): Promise<Seaweed> {
  shared ??= startSeaweed().then((server) => {
    atProcessEnd(() => server.stop());
    return server;
  });
  return shared;
}

/** A server of its own on free ports of 127.0.0.1; ends with this process, also after kill -9. */
export async function startSeaweed(): Promise<Seaweed> {
  const accessKey = randomBytes(10).toString("hex");
  const secretKey = randomBytes(20).toString("hex");
  const { keeper, s3Port } = await startOnFreePorts(accessKey, secretKey);
  const endpoint = `http://127.0.0.1:${s3Port}`;
  const s3 = new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  });
  return {
    endpoint,
    accessKey,
    secretKey,
    region,
    env: {
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: accessKey,
      AWS_SECRET_ACCESS_KEY: secretKey,
    },
    createBucket: async (name, options = {}) => {
      await s3.send(new CreateBucketCommand({ Bucket: name, ObjectLockEnabledForBucket: options.objectLock ?? false }));
    },
    stop: async () => {
      s3.destroy();
      await endProcess(keeper.identity, "SIGTERM");
    },
  };
}

/** How often other ports are tried when somebody took one of ours between looking and binding. */
const portTries = 3;

async function startOnFreePorts(accessKey: string, secretKey: string): Promise<{ keeper: Keeper; s3Port: number }> {
  const program = findSeaweedfs();
  if (program === undefined) throw new Error("no SeaweedFS on this machine; run: npm run setup -- --for test");
  for (let left = portTries; ; left--) {
    const ports = await freePorts(portNames.length);
    process.once("exit", () => removeSockets(ports));
    const keeper = keep(program, ports, accessKey, secretKey);
    try {
      await untilReady(portOf("s3", ports), portOf("master", ports), keeper);
      return { keeper, s3Port: portOf("s3", ports) };
    } catch (error) {
      const portTaken = keeper.output().includes("address already in use");
      await endProcess(keeper.identity, "SIGTERM");
      if (!portTaken || left === 1) throw error;
    } finally {
      keeper.release();
    }
  }
}

function keep(program: string, ports: readonly number[], accessKey: string, secretKey: string): Keeper {
  const folder = createServerFolder();
  try {
    writeConfig(folder, accessKey, secretKey);
    return startKeeper({
      folder,
      run: [{ program, args: serverArguments(folder, ports) }],
      user: serverUser() ?? null,
      env: { PATH: "/usr/bin:/bin", HOME: folder, TMPDIR: folder },
      lifetime: { kind: "parent" },
      // What it holds is thrown away: no need to wait for its orderly end.
      stop: [],
    });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Each listens on a port for clients and one for its peers. */
const portNames = ["master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3", "s3.grpc"] as const;

function portOf(name: (typeof portNames)[number], ports: readonly number[]): number {
  const port = ports[portNames.indexOf(name)];
  assert(port !== undefined);
  return port;
}

/** Whatever TMPDIR says, it makes these in /tmp, and leaves them there. */
function removeSockets(ports: readonly number[]): void {
  for (const name of portNames.filter((each) => each.endsWith(".grpc"))) {
    const [server] = name.split(".");
    rmSync(`/tmp/seaweedfs-${server}-grpc-${portOf(name, ports)}.sock`, { force: true });
  }
}

function serverArguments(folder: string, ports: readonly number[]): string[] {
  const portFlags = portNames.map((name) => {
    const [server, grpc] = name.split(".");
    return `-${server}.port${grpc === undefined ? "" : ".grpc"}=${portOf(name, ports)}`;
  });
  return [
    "server",
    `-dir=${join(folder, "data")}`,
    "-ip=127.0.0.1",
    ...portFlags,
    "-s3",
    `-s3.config=${join(folder, "s3.json")}`,
    `-s3.localSocket=${join(folder, "s3.sock")}`,
    `-filer.localSocket=${join(folder, "filer.sock")}`,
    // Each bucket takes seven volumes; empty ones cost nothing.
    "-volume.max=500",
    // Nothing but S3, and no word to anybody.
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-master.telemetry=false",
  ];
}

function writeConfig(folder: string, accessKey: string, secretKey: string): void {
  const identity = {
    name: "test",
    credentials: [{ accessKey, secretKey }],
    actions: ["Admin", "Read", "Write", "List"],
  };
  const config = join(folder, "s3.json");
  const data = join(folder, "data");
  writeFileSync(config, JSON.stringify({ identities: [identity] }), { mode: 0o600 });
  mkdirSync(data);
  const user = serverUser();
  for (const path of user ? [config, data] : []) chownSync(path, user?.uid ?? 0, user?.gid ?? 0);
}

/** Ready is when S3 answers and the master knows the volume server: writes fail before. */
async function untilReady(s3Port: number, masterPort: number, keeper: Keeper): Promise<void> {
  let ended = false;
  void keeper.ended.then(() => (ended = true));
  const until = Date.now() + startSeconds * 1000;
  while (!(await answers(`http://127.0.0.1:${s3Port}/healthz`)) || !(await hasVolumes(masterPort))) {
    if (ended || Date.now() > until) throw new Error(`SeaweedFS did not start: ${keeper.output()}`);
    await sleep(50);
  }
}

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    (response) => response.ok,
    () => false,
  );
}

async function hasVolumes(masterPort: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${masterPort}/dir/status`).catch(() => undefined);
  const status = (await response?.json().catch(() => undefined)) as { Topology?: { Max?: number } } | undefined;
  return (status?.Topology?.Max ?? 0) > 0;
}

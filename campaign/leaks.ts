/** No leak: what a run may not leave behind once its commands have ended, on the servers, in the store, on the machine, in any output. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { zstdDecompressSync } from "node:zlib";
import { ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import { readControl } from "../scripts/control/controlDocument";
import { readLease } from "../scripts/control/lease";
import { releaseTurnKey } from "../scripts/store/layout";
import { readBytes } from "../scripts/store/store";
import { z } from "zod";
import type { CommandRun } from "./command";
import type { World } from "./world";

/** How long what is ending may take to be gone. */
const graceMilliseconds = 15_000;

/** What may have stayed because somebody was killed with -9, who cannot clean up. */
export interface Excuses {
  readonly killed: boolean;
}

/** What is left, in words; empty: nothing. */
export async function findLeaks(world: World, excuses: Excuses): Promise<string[]> {
  const deadline = Date.now() + graceMilliseconds;
  for (;;) {
    const left = [
      ...(await onServers(world, excuses)),
      ...(await inStore(world, excuses)),
      ...onMachine(world, excuses),
    ];
    if (left.length === 0 || Date.now() > deadline) return left;
    await sleep(200);
  }
}

async function onServers(world: World, { killed }: Excuses): Promise<string[]> {
  const left: string[] = [];
  const client = await world.connect();
  try {
    const count = async (what: string, sql: string): Promise<void> => {
      const { rows } = await client.query<{ found: string }>(sql);
      if (rows.length > 0) left.push(`${what}: ${rows.map(({ found }) => found).join(", ")}`);
    };
    await count(
      "session",
      `SELECT application_name || ' ' || left(query, 60) AS found FROM pg_stat_activity
       WHERE datname ~ '^${world.database}($|_)' AND pid <> pg_backend_pid() AND backend_type = 'client backend'`,
    );
    await count(
      "advisory lock",
      `SELECT objid::text AS found FROM pg_locks WHERE locktype = 'advisory'
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    await count("replication slot", "SELECT slot_name::text AS found FROM pg_replication_slots");
    await count("prepared transaction", "SELECT gid AS found FROM pg_prepared_xacts");
    await count(
      "unproven database",
      `SELECT datname::text AS found FROM pg_database WHERE datname ~ '^${world.database}.*_unverified$'`,
    );
  } finally {
    await client.end();
  }
  const { scratch } = world.lane;
  const other = await world.connectTo(scratch.url);
  try {
    const { rows } = await other.query<{ name: string }>(
      "SELECT datname AS name FROM pg_database WHERE datname ~ 'scratch'",
    );
    if (!killed) left.push(...rows.map(({ name }) => `scratch database: ${name}`));
  } finally {
    await other.end();
  }
  return left;
}

async function inStore(world: World, { killed }: Excuses): Promise<string[]> {
  const left: string[] = [];
  const lease = await readLease(world.store);
  if (lease !== undefined && lease.phase !== "released") left.push(`lease: ${lease.phase}, of ${lease.holder.runId}`);
  const turn = await readControl(world.store, releaseTurnKey, z.looseObject({ turn: z.unknown() }));
  if (!killed && (turn?.document.turn ?? null) !== null) left.push("the turn of a release step");
  for (const folder of world.storeFolders.map((root) => join(root, ".partial")).filter((path) => existsSync(path))) {
    const partial = readdirSync(folder, { withFileTypes: true, recursive: true });
    if (!killed) left.push(...partial.filter((entry) => entry.isFile()).map(({ name }) => `partial file: ${name}`));
  }
  if (world.storeFolders.length === 0 && !killed) left.push(...(await uploads(world)));
  return left;
}

async function uploads({ lane, store }: World): Promise<string[]> {
  const { endpoint, region, accessKey, secretKey } = lane.seaweed;
  const s3 = new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  });
  const { hostname: bucket, pathname } = new URL(store.url);
  try {
    const { Uploads = [] } = await s3.send(
      new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: pathname.slice(1) }),
    );
    return Uploads.map(({ Key }) => `unfinished upload: ${Key}`);
  } finally {
    s3.destroy();
  }
}

/** Processes that carry the run's mark, and files below its own TMPDIR. */
function onMachine(world: World, { killed }: Excuses): string[] {
  const processes = processesOf(world);
  const files = killed ? [] : readdirSync(join(world.folder, "tmp")).map((name) => `temporary file: ${name}`);
  return [...processes, ...files];
}

/** Processes that carry the run's mark in their environment, one line each. Linux only. */
export function processesOf(world: World): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, "latin1").includes(`CAMPAIGN_RUN=${world.folder}`)) return [];
        return [
          `process ${pid}: ${readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").slice(0, 120)}`,
        ];
      } catch {
        return []; // gone by now
      }
    });
}

/** Where a secret shows: in an output, in a stored object, in a report. */
export async function findSecrets(world: World, runs: readonly CommandRun[]): Promise<string[]> {
  const found: string[] = [];
  const look = (where: string, text: string): void => {
    for (const [what, value] of Object.entries(world.secrets))
      if (text.includes(value)) found.push(`${what} is in ${where}`);
  };
  for (const { words, stdout, stderr } of runs) look(`the output of ${words.join(" ")}`, `${stdout}\n${stderr}`);
  for (const { key } of await world.store.list(""))
    look(`the object ${key}`, readable(key, await readBytes(world.store, key)));
  for (const entry of readdirSync(join(world.folder, "reports"), { recursive: true, withFileTypes: true }))
    if (entry.isFile()) look(`the report ${entry.name}`, readFileSync(join(entry.parentPath, entry.name), "latin1"));
  return found;
}

function readable(key: string, bytes: Buffer): string {
  return (key.endsWith(".zst") ? zstdDecompressSync(bytes) : bytes).toString("latin1");
}

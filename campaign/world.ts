/** Where runs happen: the servers that a lane keeps for all of its runs, and what each run gets of its own. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { type Cluster, startCluster, urlOf } from "../scripts/scratch/cluster";
import { openStore } from "../scripts/store/openStore";
import type { Store } from "../scripts/store/store";
import { projectFolder } from "../scripts/rehearsal/world";
import { type Application, startApplication } from "../tests/servers/platforms";
import {
  type ProxiedRequest,
  type S3FaultProxy,
  type Fault as StoreFault,
  startS3FaultProxy,
} from "../tests/servers/s3FaultProxy";
import type { Seaweed } from "../tests/servers/seaweedfs";
import type { Plan } from "./plan";
import { createDatabase, freelyDeleted } from "./shop";

const bucket = "campaign";

/** The servers of one lane; only one run at a time uses them. */
export class Lane {
  private constructor(
    readonly name: string,
    readonly live: Cluster,
    readonly scratch: Cluster,
    readonly seaweed: Seaweed,
  ) {}

  static async start(name: string, seaweed: Seaweed): Promise<Lane> {
    const common = { listen: "loopback", lifetime: { kind: "parent" } } as const;
    const [live, scratch] = await Promise.all([
      startCluster({
        ...common,
        purpose: "test",
        // What is acknowledged must survive the crash of the server's processes; of the machine nothing crashes.
        settings: {
          ...{ synchronous_commit: "on", wal_level: "logical", max_connections: "100", restart_after_crash: "on" },
          // When a commit without an answer was.
          track_commit_timestamp: "on",
        },
      }),
      startCluster({ ...common, purpose: "scratch" }),
    ]);
    return new Lane(name, live, scratch, seaweed);
  }

  static async prepareBucket(seaweed: Seaweed): Promise<void> {
    await seaweed.createBucket(bucket);
    // For looking into the stores from here; the commands get theirs with each call.
    Object.assign(process.env, seaweed.env);
  }

  async stop(): Promise<void> {
    await Promise.all([this.live.stop(), this.scratch.stop()]);
  }
}

export interface World {
  readonly lane: Lane;
  /** Below it lies everything that the run's commands write. */
  readonly folder: string;
  readonly database: string;
  /** Straight to the server, as its superuser. */
  readonly url: string;
  readonly app: Application;
  readonly storeFolders: readonly string[];
  /** For looking: never through the faulty network. */
  readonly store: Store;
  readonly migrationsFolder: string;
  /** Faults of the requests to the bucket; undefined: none. */
  storeFault: ((request: ProxiedRequest) => StoreFault | undefined) | undefined;
  /** What every command of the run gets. */
  readonly env: Readonly<Record<string, string>>;
  /** By what they are, values that must be in nothing that is stored or printed. */
  readonly secrets: Readonly<Record<string, string>>;
  /** A session of its own, ended by whoever asks. */
  connect(database?: string): Promise<Client>;
  connectTo(url: string): Promise<Client>;
  close(): Promise<void>;
}

const phaseMilliseconds = 10;

export interface WorldOptions {
  /** Called when a deployment is about to be live on Railway. */
  readonly onDeploy: (commit: string) => Promise<unknown>;
}

let worlds = 0;

/** What a run gets of its own: a database, a store, platforms, folders. Everything goes with `close`. */
export async function buildWorld(lane: Lane, plan: Plan, { onDeploy }: WorldOptions): Promise<World> {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "dbc-"));
  // A scratch server of its own lies below TMPDIR and runs as another user.
  chmodSync(folder, 0o711);
  const closers: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  const folderOf = (name: string, mode = 0o700): string => {
    const path = join(folder, name);
    mkdirSync(path, { mode });
    return path;
  };
  const database = `run_${(worlds += 1)}`;
  const url = urlOf(lane.live.place, database);
  const connectTo = async (address: string): Promise<Client> => {
    const client = new Client({ connectionString: address, application_name: "campaign" });
    client.on("error", () => undefined);
    await client.connect();
    return client;
  };
  const connect = (name = database): Promise<Client> => connectTo(urlOf(lane.live.place, name));
  const admin = await connect("postgres");
  await admin.query(createDatabase(database)).finally(() => admin.end());
  const app = await startApplication(phaseMilliseconds, undefined, onDeploy);
  closers.push(() => app.close());
  const [temporary, reports, migrationsFolder] = [folderOf("tmp", 0o711), folderOf("reports"), folderOf("migrations")];
  const passphrase = `canary passphrase ${randomBytes(8).toString("hex")}`;
  const serviceKey = `sb_secret_${randomBytes(12).toString("hex")}`;

  const storeFolders: string[] = [];
  const world = { storeFault: undefined } as { storeFault: World["storeFault"] };
  let store: string;
  let storeEnv: Record<string, string> = {};
  if (plan.store === "bucket") {
    const proxy: S3FaultProxy = await startS3FaultProxy(lane.seaweed.endpoint, (request) =>
      world.storeFault?.(request),
    );
    closers.push(() => proxy.stop());
    store = `s3://${bucket}/${lane.name}-${database}-${randomBytes(4).toString("hex")}`;
    storeEnv = { ...lane.seaweed.env, AWS_ENDPOINT_URL_S3: proxy.endpoint };
  } else {
    storeFolders.push(folderOf("store"));
    if (plan.store === "two folders") storeFolders.push(folderOf("copies"));
    if (needsSmallDisk(plan)) {
      mountSmallDisk(storeFolders[0]!);
      closers.push(() => execFileSync("umount", ["-l", storeFolders[0]!]));
    }
    store = storeFolders.map((path) => `file://${path}`).join(" ");
  }
  const standIn = (file: string): string => `node ${join(projectFolder, "scripts/rehearsal/platforms", file)}`;
  const settings = {
    ...(plan.steps.includes("migrations") ? { migrations: { path: migrationsFolder, lockTimeoutSeconds: 2 } } : {}),
    railway: { command: standIn("railwayUp.js"), timeoutSeconds: 120 },
    ...(plan.steps.includes("vercel") ? { vercel: { command: standIn("vercelDeploy.js"), timeoutSeconds: 120 } } : {}),
    tables: Object.fromEntries(freelyDeleted.map((table) => [table, { deletes: "any" }])),
    checks: "none",
    environment: plan.environment
      ? { required: ["SUPABASE_SERVICE_ROLE_KEY"], critical: ["SUPABASE_SERVICE_ROLE_KEY"] }
      : { required: [], critical: [] },
    verification: { scratchHours: 0.03 },
    // On a busy machine an answer takes seconds; one that is 500 stays so, and nobody has to wait for another.
    health: { appPaths: ["/api/health"], deadlineSeconds: plan.brokenHealth ? 15 : 60 },
    watch: { soakMinutes: 0 },
  };
  const env = {
    ...app.env,
    DATABASE_URL: url,
    BACKUP_STORE: store,
    ...storeEnv,
    ...(plan.scratch === "kept server" ? { SCRATCH_DATABASE_URL: lane.scratch.url } : {}),
    BACKUP_PASSPHRASE: passphrase,
    SUPABASE_SERVICE_ROLE_KEY: serviceKey,
    DBPROTECT_STACK: "shop/campaign",
    DBPROTECT_SETTINGS: JSON.stringify(settings),
    DBPROTECT_REPORTS: reports,
    ...{ TMPDIR: temporary, CAMPAIGN_RUN: folder },
  };
  const direct = plan.store === "bucket" ? { ...process.env, ...lane.seaweed.env } : process.env;
  return Object.assign(world, {
    ...{ lane, folder, database, url, app, storeFolders, migrationsFolder, env, connect, connectTo },
    store: openStore(store, direct),
    secrets: {
      "the database's password": new URL(url).password,
      "the scratch server's password": new URL(lane.scratch.url).password,
      "the passphrase": passphrase,
      "the service-role key": serviceKey,
      "Railway's token": app.env["RAILWAY_TOKEN"]!,
      "Vercel's token": app.env["VERCEL_TOKEN"]!,
      ...(plan.store === "bucket" ? { "the bucket's key": lane.seaweed.secretKey } : {}),
    },
    close: async () => {
      for (const end of closers.splice(0).reverse()) await end();
      await dropDatabases(lane.live, database);
      // Of a gate that was killed with -9: they would wait for the next one, and count as that run's.
      await dropDatabases(lane.scratch, "dbprotect_scratch");
    },
  });
}

/** Room for a backup of a run and its records; what fills it is a fault's. */
const diskMegabytes = 32;

function needsSmallDisk({ faults }: Plan): boolean {
  return faults.some(({ fault }) => fault.kind === "full disk");
}

/** Whether a file system of a few megabytes can be mounted here: needs root. */
export const canMount = process.platform === "linux" && process.getuid?.() === 0;

function mountSmallDisk(path: string): void {
  if (canMount) execFileSync("mount", ["-t", "tmpfs", "-o", `size=${diskMegabytes}m,mode=0700`, "tmpfs", path]);
}

/** The database of this name, and all whose names go on with `_`: what a restore made beside it, what a gate restored into. */
async function dropDatabases(cluster: Cluster, database: string): Promise<void> {
  const client = new Client({ connectionString: cluster.url });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      "SELECT datname AS name FROM pg_database WHERE datname ~ $1",
      [`^${database}($|_)`],
    );
    for (const { name } of rows)
      await client.query(`DROP DATABASE IF EXISTS ${client.escapeIdentifier(name)} WITH (FORCE)`);
  } finally {
    await client.end();
  }
}

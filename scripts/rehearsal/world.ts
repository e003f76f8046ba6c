/**
 * The rehearsal's world: a PostgreSQL server with the CRM, its API, Railway and Vercel, a project folder with
 * migrations and a dotenv file, an empty backup store. All of it is local, thrown away afterwards, and ends with this
 * process.
 */
import { createHash, randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { startCluster, type Cluster } from "../scratch/cluster";
import type { ConfigValue } from "./engine/engine";
import {
  createCrmDatabase,
  schemaFile,
  seedCrmDatabase,
  startCrmHost,
  type CrmDatabase,
  type CrmHost,
} from "./crm/host";
import { builtVersions, firstVersion } from "./crm/versions";
import { startRailwayFake, type RailwayFake } from "./platforms/railwayFake";
import { RequestLog } from "./platforms/requestLog";
import { startVercelFake, type VercelFake } from "./platforms/vercelFake";

export const projectFolder = join(__dirname, "../..");

/** How a release of one scene is configured. */
export interface ReleasePlan {
  /** The CRM's version; its commit is what is released. */
  readonly version: string;
  readonly overrides?: readonly Readonly<Record<string, string>>[];
  /** What a failing release does with the application. Default `manual`. */
  readonly onFailure?: "manual" | "application";
  /** Seconds that the application has to become healthy. Default 10. */
  readonly healthSeconds?: number;
  /** Seconds that the release is watched. Default 0.5. */
  readonly soakSeconds?: number;
}

export interface World {
  readonly folder: string;
  readonly storeFolder: string;
  readonly engineFolder: string;
  readonly serverMajor: number;
  readonly database: CrmDatabase;
  readonly host: CrmHost;
  readonly railway: RailwayFake;
  readonly vercel: VercelFake;
  readonly log: RequestLog;
  /** What `pulumi up` and the commands find in their environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** By what they are, values that must be in nothing that is stored or printed. */
  readonly secrets: Readonly<Record<string, string>>;
  /** The stack's configuration for a release, by full key. */
  config(plan: ReleasePlan): Record<string, ConfigValue>;
  /** @returns a function that takes the migration back out of the project. */
  addMigration(name: string, sql: string): () => void;
  /** Changes a variable at Railway. @returns a function that sets it back. */
  changeVariable(name: keyof typeof railwayVariables, value: string): () => void;
  /** Ends every server, and removes all of the folder but the report, unless `keep`. Fine to call twice. */
  close(options: { readonly keep: boolean }): Promise<void>;
}

/** Half of what Railway and Vercel take in a second, so that a deployment is seen to pass through its states. */
const phaseMilliseconds = 60;

/** Ours end with their receipts; should nobody be left to do that, after these hours. */
const scratchHours = 0.05;

const supabaseUrl = "https://rehearsalrehearsalxy.supabase.co";
const publishableKey = "sb_publishable_of-the-rehearsal";

/** The strategy's variables where such a project has them: the API's at Railway, the frontend's at Vercel. */
const railwayVariables = {
  SUPABASE_URL: supabaseUrl,
  SUPABASE_ANON_KEY: publishableKey,
  SUPABASE_SERVICE_ROLE_KEY: "sb_secret_of-the-rehearsal",
  CORS_ORIGIN: "https://crm.example.com",
};
const vercelVariables = [
  { key: "VITE_SUPABASE_URL", value: supabaseUrl, type: "plain", target: ["production"] },
  { key: "VITE_SUPABASE_ANON_KEY", value: publishableKey, type: "encrypted", target: ["production"] },
] as const;

/** The commit from which a version was built: 40 hex digits, the same in every rehearsal. */
function commitOf(version: string): string {
  return createHash("sha1").update(`crm ${version}`).digest("hex");
}

function versionOf(commit: string): string {
  const version = builtVersions.find((candidate) => commitOf(candidate) === commit);
  if (version === undefined) throw new Error(`no version was built from commit ${commit}`);
  return version;
}

/** @param onProgress gets the name of what is started next. */
export async function buildWorld(onProgress: (line: string) => void, signal?: AbortSignal): Promise<World> {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "dbprotect-rehearsal-"));
  const closers: (() => Promise<unknown>)[] = [];
  const close: World["close"] = async ({ keep }) => {
    for (const end of closers.splice(0).reverse()) await end();
    if (!keep) removeAllButReport(folder);
  };
  try {
    onProgress("PostgreSQL");
    const cluster: Cluster = await startCluster({
      listen: "loopback",
      lifetime: { kind: "parent" },
      purpose: "test",
      // For the scene that has it followed by another server.
      settings: { wal_level: "logical" },
      ...(signal === undefined ? {} : { signal }),
    });
    closers.push(() => cluster.stop());
    onProgress("CRM: 320,450 rows, API");
    const database = await createCrmDatabase(cluster.url);
    const seeded = seedCrmDatabase(database);
    // Whoever waits for it below hears of it.
    seeded.catch(() => undefined);
    const host = await startCrmHost(database.apiUrl, firstVersion);
    closers.push(() => host.stop());
    onProgress("Railway and Vercel");
    const log = new RequestLog();
    const platform = { log, liveCommit: commitOf(firstVersion), phaseMilliseconds };
    const railwayToken = randomBytes(16).toString("hex");
    const railway = await startRailwayFake({
      ...platform,
      projectToken: railwayToken,
      accountToken: randomBytes(16).toString("hex"),
      variables: railwayVariables,
      goLive: (commit) => host.deploy("api", versionOf(commit)),
    });
    closers.push(() => railway.close());
    const vercelToken = randomBytes(16).toString("hex");
    const vercel = await startVercelFake({
      ...platform,
      token: vercelToken,
      variables: vercelVariables,
      goLive: (commit) => host.deploy("frontend", versionOf(commit)),
    });
    closers.push(() => vercel.close());

    await seeded;
    signal?.throwIfAborted();
    const migrationsFolder = join(folder, "project", "migrations");
    const environmentFile = join(folder, "project", ".env");
    const storeFolder = join(folder, "store");
    mkdirSync(migrationsFolder, { recursive: true });
    copyFileSync(schemaFile.path, join(migrationsFolder, schemaFile.name));
    writeFileSync(environmentFile, "NODE_ENV=production\n");
    const passphrase = randomBytes(16).toString("hex");
    return {
      folder,
      storeFolder,
      engineFolder: join(folder, "engine"),
      serverMajor: cluster.major,
      database,
      host,
      railway,
      vercel,
      log,
      environment: {
        DATABASE_URL: database.url,
        BACKUP_PASSPHRASE: passphrase,
        DBPROTECT_REPORTS: join(folder, "reports"),
        BACKUP_STORE: pathToFileURL(storeFolder).href,
        RAILWAY_API_URL: railway.url,
        RAILWAY_TOKEN: railwayToken,
        RAILWAY_SERVICE_ID: railway.serviceId,
        VERCEL_API_URL: vercel.url,
        VERCEL_TOKEN: vercelToken,
        VERCEL_ORG_ID: vercel.teamId,
        VERCEL_PROJECT_ID: vercel.projectId,
      },
      secrets: {
        "the service-role key": railwayVariables.SUPABASE_SERVICE_ROLE_KEY,
        "the publishable key": publishableKey,
        "the database's password": new URL(database.url).password,
        "the passphrase": passphrase,
        "Railway's token": railwayToken,
        "Vercel's token": vercelToken,
      },
      config: ({ version, overrides = [], onFailure = "manual", healthSeconds = 10, soakSeconds = 0.5 }) => ({
        "database-protection:backupStore": pathToFileURL(storeFolder).href,
        "database-protection:releaseVersion": commitOf(version),
        "database-protection:migrations": { path: migrationsFolder },
        "database-protection:railway": { command: standInCommand("railwayUp.js"), timeoutSeconds: 60 },
        "database-protection:vercel": { command: standInCommand("vercelDeploy.js"), timeoutSeconds: 60 },
        "database-protection:environment": {
          sources: [{ kind: "railway" }, { kind: "vercel" }, { kind: "dotenv", path: environmentFile }],
        },
        "database-protection:verification": { scratchHours },
        "database-protection:health": { deadlineSeconds: healthSeconds },
        "database-protection:watch": { soakMinutes: soakSeconds / 60, intervalSeconds: 0.1, requests: 5 },
        "database-protection:rollback": { onFailure },
        "database-protection:overrides": overrides,
        "database-protection:appUrl": host.url,
        "database-protection:frontendUrl": host.url,
      }),
      addMigration: (name, sql) => {
        const file = join(migrationsFolder, name);
        writeFileSync(file, sql);
        return () => rmSync(file);
      },
      changeVariable: (name, value) => {
        railway.variables[name] = value;
        return () => {
          railway.variables[name] = railwayVariables[name];
        };
      },
      close,
    };
  } catch (error) {
    await close({ keep: false });
    throw error;
  }
}

/** Relative to the project's folder, where release commands run: their text is the same on every machine. */
function standInCommand(file: string): string {
  return `node ${relative(projectFolder, join(__dirname, "platforms", file))}`;
}

/** What is left of a rehearsal: its report. */
export const reportFile = "report.html";

/** Without a report the folder goes too. */
function removeAllButReport(folder: string): void {
  const names = readdirSync(folder);
  for (const name of names) {
    if (name !== reportFile) rmSync(join(folder, name), { recursive: true, force: true });
  }
  if (!names.includes(reportFile)) rmSync(folder, { recursive: true, force: true });
}

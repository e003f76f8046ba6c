/**
 * Where a running cluster is, in a form that can be written down (a receipt names the scratch server's place)
 * and used by a later process to reach it or to stop it. Holds no secret.
 */
import { existsSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { basename, dirname, isAbsolute, join, normalize } from "node:path";
import { z } from "zod";
import { Unavailable, codeOf } from "../contract/failure";
import { registerSecret } from "../contract/redaction";
import { endProcess } from "../process/endProcess";
import { type ProcessKey, fateOf, findProcess } from "../process/processIdentity";
import { serverFolderName } from "./serverFolder";

export const clusterPlaceSchema = z.strictObject({
  /** `127.0.0.1`, or the folder of the Unix socket (0700, no password). */
  host: z.string().min(1),
  port: z.int().min(1).max(65535),
  /** The superuser. */
  user: z.literal("postgres"),
  /** `<folder>/data`; the folder is removed as a whole, so its name is checked. */
  dataDir: z.string().refine(isDataDir, "expected the data folder of an embedded server"),
  /** Folder of the programs that the cluster runs. */
  binDir: z.string().min(1),
  major: z.int().positive(),
  /** The process that ends the cluster; with `keeperStart` it cannot be taken for another one. */
  keeperPid: z.int().positive(),
  /** When the keeper started: opaque, valid on this machine until it boots again. */
  keeperStart: z.string().min(1),
  /** ISO date-time at which the cluster ends by itself; null: with the process that started it. */
  deadline: z.iso.datetime().nullable(),
});

export type ClusterPlace = z.infer<typeof clusterPlaceSchema>;

function isDataDir(path: string): boolean {
  const named = basename(path) === "data" && serverFolderName.test(basename(dirname(path)));
  return named && isAbsolute(path) && normalize(path) === path;
}

/** Whether the cluster of that place still runs on this machine. */
export function isClusterRunning(place: ClusterPlace): boolean {
  return fateOf(keeperOf(place)) === "alive" && existsSync(join(place.dataDir, "postmaster.pid"));
}

/**
 * The superuser's URL for a database of the cluster.
 *
 * @throws Unavailable if the cluster is gone.
 */
export function urlOf(place: ClusterPlace, database: string): string {
  const path = encodeURIComponent(database);
  if (place.host.startsWith("/")) {
    return `postgres://${place.user}@localhost/${path}?host=${encodeURIComponent(place.host)}&port=${place.port}`;
  }
  let password: string;
  try {
    password = readFileSync(passwordFile(dirname(place.dataDir)), "utf8").trim();
  } catch (error) {
    throw new Unavailable(`the embedded server at ${place.host}:${place.port} is gone`, { cause: error });
  }
  registerSecret(password);
  return `postgres://${place.user}:${password}@${place.host}:${place.port}/${path}`;
}

/** Where a loopback cluster's password lies, readable by the server's user only. */
export function passwordFile(folder: string): string {
  return join(folder, "password");
}

/**
 * Ends the cluster and removes its folder; resolves once both are gone. A cluster that is gone already, or
 * that ran on another machine, is fine; that of another user of this machine is left to its own deadline.
 *
 * @throws Unavailable if it still runs after 30 seconds. The files of a database with 20,000 tables take longer to remove.
 */
export async function stopCluster(place: ClusterPlace): Promise<void> {
  const isTidying = (): boolean => serverIn(place.dataDir) === undefined;
  if ((await endProcess(keeperOf(place), "SIGTERM", { isTidying })) === "not ours") return;
  await endOrphan(place.dataDir);
  rmSync(dirname(place.dataDir), { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

/** A keeper that was killed leaves its server running: found by the lock file in the data folder. */
export async function endOrphan(dataDir: string): Promise<void> {
  const server = serverIn(dataDir);
  if (server !== undefined) await endProcess(server, "SIGQUIT");
}

function serverIn(dataDir: string): ProcessKey | undefined {
  const pid = Number(readIfThere(join(dataDir, "postmaster.pid")).split("\n")[0]);
  return pid > 0 && worksIn(pid, dataDir) ? findProcess(pid) : undefined;
}

/** PostgreSQL's server works in its data folder. Without /proc the lock file alone must do. */
function worksIn(pid: number, folder: string): boolean {
  if (process.platform !== "linux") return true;
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === folder;
  } catch {
    return false;
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return "";
    throw error;
  }
}

function keeperOf(place: ClusterPlace): ProcessKey {
  return { pid: place.keeperPid, processStart: place.keeperStart };
}

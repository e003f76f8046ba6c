/**
 * A PostgreSQL server of our own, made in about a second and gone without a trace: the scratch server that
 * the gate restores into, and the servers of rehearsal and tests. A keeper process (keeper.js) owns it, so it
 * ends also when we are killed.
 */
import { randomBytes } from "node:crypto";
import { chownSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { serverUser } from "../../bin/setup/serverUser.js";
import { Unavailable, UsageError } from "../contract/failure";
import { type PostgresPrograms, findPostgres } from "../database/postgresPrograms";
import { type ClusterPlace, passwordFile, stopCluster, urlOf } from "./clusterPlace";
import { clusterTemplate } from "./clusterTemplate";
import { freePort } from "./freePort";
import { createServerFolder } from "./serverFolder";
import { type Keeper, startKeeper } from "./startKeeper";
import { sweepServers } from "./sweepServers";

export { type ClusterPlace, clusterPlaceSchema, isClusterRunning, stopCluster, urlOf } from "./clusterPlace";

export interface ClusterOptions {
  /** PostgreSQL's major; defaults to the preferred one (17), else the newest on this machine. */
  readonly major?: number;
  /**
   * `socket`: a Unix socket in a folder that only the server's user and root can enter, no password: for
   * copies of production data. `loopback`: a free port of 127.0.0.1 with a random password.
   */
  readonly listen: "socket" | "loopback";
  /** When it ends by itself: with this process (also after kill -9), or at a moment. */
  readonly lifetime: { readonly kind: "parent" } | { readonly kind: "deadline"; readonly at: Date };
  /** Server settings, over those of the purpose: `{ max_locks_per_transaction: "1024" }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** `scratch` (default): everything for speed. `test`: as a server in production, only that nothing is synced. */
  readonly purpose?: "scratch" | "test";
  /** Further arguments of initdb; a later `--locale` wins over ours. */
  readonly initdbArgs?: readonly string[];
  /** Ends the start and removes what was made. */
  readonly signal?: AbortSignal;
}

export interface Cluster {
  /** The superuser's URL of the database `postgres`. Holds the password with `listen: "loopback"`. */
  readonly url: string;
  /** For `stopCluster`, `isClusterRunning` and `urlOf` in a later process. */
  readonly place: ClusterPlace;
  readonly binDir: string;
  readonly major: number;
  /** Ends the server and removes its data; fine to call twice. */
  stop(): Promise<void>;
}

/** Seconds in which a new cluster must accept connections. */
const startSeconds = 60;

/** How often another free port is tried when somebody took ours between looking and binding. */
const portTries = 5;

/** Every Linux that Node.js runs on has C.UTF-8; macOS got it late, and sorts bytewise under C all the same. */
const locale = process.platform === "linux" ? "C.UTF-8" : "C";

const nothingSynced = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" };

const settingsOf: Record<"scratch" | "test", Record<string, string>> = {
  // The data can be restored again from the backup: no WAL for it, no replicas, no background work.
  scratch: {
    ...nothingSynced,
    wal_level: "minimal",
    max_wal_senders: "0",
    max_wal_size: "4GB",
    autovacuum: "off",
    maintenance_work_mem: "512MB",
  },
  test: nothingSynced,
};

/**
 * Makes and starts a cluster: UTF-8, bytewise collation, time zone UTC. As root it runs as the user `postgres`,
 * else `nobody`.
 *
 * @throws UsageError if that PostgreSQL is not on this machine; Unavailable with the server's own words if it
 *   does not start; the signal's reason if it is aborted.
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const programs = findPostgres(options.major === undefined ? {} : { major: options.major });
  await sweepServers();
  for (let left = portTries; ; left--) {
    options.signal?.throwIfAborted();
    const port = options.listen === "socket" ? 5432 : await freePort();
    try {
      return await startOn(port, programs, options);
    } catch (error) {
      if (!(error instanceof PortTaken) || left === 1) throw error;
    }
  }
}

class PortTaken extends Unavailable {}

async function startOn(port: number, programs: PostgresPrograms, options: ClusterOptions): Promise<Cluster> {
  const template = isAnyScratch(options) ? await clusterTemplate(programs, clusterArguments(options)) : undefined;
  const folder = createServerFolder();
  let keeper: Keeper;
  try {
    writeServerFiles(folder, port, options);
    keeper = startKeeper({
      folder,
      run: [
        template === undefined
          ? { program: join(programs.binDir, "initdb"), args: initdbArguments(folder, options) }
          : { program: "cp", args: ["-Rp", template, join(folder, "data")] },
        {
          program: join(programs.binDir, "postgres"),
          args: ["-D", join(folder, "data"), "-c", `config_file=${configFile(folder)}`],
        },
      ],
      user: serverUser() ?? null,
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LANG: "C", TZ: "UTC" },
      lifetime:
        options.lifetime.kind === "parent"
          ? { kind: "parent" }
          : { kind: "deadline", at: options.lifetime.at.toISOString() },
      // Fast: clients are told. Immediate: nobody needs this data again.
      stop: [
        { signal: "SIGINT", seconds: 5 },
        { signal: "SIGQUIT", seconds: 5 },
      ],
    });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  const place: ClusterPlace = {
    host: options.listen === "socket" ? folder : "127.0.0.1",
    port,
    user: "postgres",
    dataDir: join(folder, "data"),
    binDir: programs.binDir,
    major: programs.major,
    keeperPid: keeper.identity.pid,
    keeperStart: keeper.identity.processStart,
    deadline: options.lifetime.kind === "parent" ? null : options.lifetime.at.toISOString(),
  };
  const stop = () => stopCluster(place);
  try {
    await untilReady(place.dataDir, keeper, options.signal);
    return { url: urlOf(place, "postgres"), place, binDir: programs.binDir, major: programs.major, stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    keeper.release();
  }
}

function initdbArguments(folder: string, options: ClusterOptions): string[] {
  return [
    ...["-D", join(folder, "data"), ...clusterArguments(options)],
    ...(options.listen === "loopback" ? ["--pwfile", passwordFile(folder)] : []),
    ...(options.initdbArgs ?? []),
  ];
}

function clusterArguments({ listen }: ClusterOptions): string[] {
  return [
    ...["--username", "postgres", "--encoding", "UTF8", "--locale", locale, "--no-sync", "--no-instructions"],
    // The socket lies in a folder that only the server's user and root can enter.
    ...["--auth-local", "trust", "--auth-host", listen === "loopback" ? "scram-sha-256" : "reject"],
  ];
}

/** One that any other scratch server could stand in for: no password, nothing special, no identity that matters. */
function isAnyScratch({ listen, purpose, initdbArgs }: ClusterOptions): boolean {
  return listen === "socket" && purpose !== "test" && initdbArgs === undefined;
}

function configFile(folder: string): string {
  return join(folder, "postgresql.conf");
}

/** Written before initdb runs, so beside the data folder; it includes what initdb writes, ours wins. */
function writeServerFiles(folder: string, port: number, options: ClusterOptions): void {
  const settings: Record<string, string> = {
    listen_addresses: options.listen === "loopback" ? "127.0.0.1" : "",
    port: String(port),
    unix_socket_directories: folder,
    timezone: "UTC",
    log_timezone: "UTC",
    ...settingsOf[options.purpose ?? "scratch"],
    ...options.settings,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`);
  writeForServer(configFile(folder), ["include 'data/postgresql.conf'", ...lines, ""].join("\n"));
  if (options.listen === "loopback") writeForServer(passwordFile(folder), `${randomBytes(18).toString("hex")}\n`);
}

function writeForServer(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600, flag: "wx" });
  const user = serverUser();
  if (user) chownSync(path, user.uid, user.gid);
}

/** The lock file's last line says `ready` once connections are accepted (PostgreSQL >= 10). */
async function untilReady(dataDir: string, keeper: Keeper, signal: AbortSignal | undefined): Promise<void> {
  let ended = false;
  void keeper.ended.then(() => (ended = true));
  const until = Date.now() + startSeconds * 1000;
  while (!isReady(dataDir)) {
    signal?.throwIfAborted();
    if (ended) throw startFailure(keeper.output());
    if (Date.now() > until) {
      throw new Unavailable(`the embedded PostgreSQL did not start within ${startSeconds} s: ${keeper.output()}`);
    }
    await sleep(15);
  }
}

function isReady(dataDir: string): boolean {
  try {
    return readFileSync(join(dataDir, "postmaster.pid"), "utf8").split("\n")[7]?.trim() === "ready";
  } catch {
    return false; // not there yet
  }
}

/** Words of a mistake in `settings` or `initdbArgs`, from guc.c and initdb.c. */
const mistakes =
  /unrecognized configuration parameter|invalid value for parameter|requires a (Boolean|numeric) value|unrecognized option|invalid locale/;

function startFailure(output: string): Error {
  const lines = output.split("\n").map((line) => line.trim());
  const mistake = lines.find((line) => mistakes.test(line));
  if (mistake !== undefined) return new UsageError(`the embedded PostgreSQL did not start: ${mistake}`);
  if (/could not bind .*Address already in use/.test(output)) return new PortTaken(`the port was taken: ${output}`);
  // Our keeper says nothing when it ends as ordered: somebody's signal, or a deadline nearer than the start.
  const said = output === "" ? "it was ended, or its deadline passed" : output;
  const reason = lines.findLast((line) => /error|FATAL|EACCES|ENOENT/i.test(line)) ?? said;
  return new Unavailable(`the embedded PostgreSQL did not start: ${reason}`);
}

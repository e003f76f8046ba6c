/** Clusters end when they should, whoever dies, run as an unprivileged user, and leave nothing behind. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { serverUser, serverUserCanEnter } from "../../../bin/setup/serverUser.js";
import { Unavailable, UsageError } from "../../../scripts/contract/failure";
import {
  type Cluster,
  type ClusterPlace,
  clusterPlaceSchema,
  isClusterRunning,
  startCluster,
  stopCluster,
  urlOf,
} from "../../../scripts/scratch/cluster";
import { fateOf, findProcess } from "../../../scripts/process/processIdentity";
import { skip } from "../../skip";

const started: ClusterPlace[] = [];
const children: ChildProcess[] = [];
const cleanups: (() => void)[] = [];

describe("a cluster", () => {
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
    await Promise.all(started.splice(0).map((place) => stopCluster(place)));
    for (const cleanup of cleanups.splice(0)) cleanup();
  });

  it("answers on a socket that only its user can reach, and nowhere else", async () => {
    const cluster = await start({ listen: "socket" });
    const folder = dirname(cluster.place.dataDir);
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    assert.deepEqual(
      await query(
        cluster.url,
        "SELECT current_user AS who, current_setting('listen_addresses') AS tcp, current_setting('server_encoding') AS encoding",
      ),
      [{ who: "postgres", tcp: "", encoding: "UTF8" }],
    );
    await query(cluster.url, 'CREATE DATABASE "odd name é"');
    assert.deepEqual(await query(urlOf(cluster.place, "odd name é"), "SELECT current_database() AS name"), [
      { name: "odd name é" },
    ]);
  });

  it("runs as an unprivileged user when we are root", async function () {
    const user = serverUser();
    if (user === undefined) return skip(this, "we are not root");
    const cluster = await start({ listen: "socket" });
    assert.equal(statSync(`/proc/${serverPid(cluster.place)}`).uid, user.uid);
    assert.notEqual(user.uid, 0);
    assert.equal(statSync(cluster.place.dataDir).uid, user.uid);
  });

  it("demands its random password on loopback, and keeps it out of its place", async () => {
    const cluster = await start({ listen: "loopback", purpose: "test" });
    const { password } = new URL(cluster.url);
    assert.ok(password.length >= 32);
    assert.ok(!JSON.stringify(cluster.place).includes(password));
    assert.equal(urlOf(clusterPlaceSchema.parse(JSON.parse(JSON.stringify(cluster.place))), "postgres"), cluster.url);
    await assert.rejects(query(cluster.url.replace(password, "wrong"), "SELECT 1"), /password authentication failed/);
    assert.deepEqual(await query(cluster.url, "SHOW wal_level"), [{ wal_level: "replica" }]);
  });

  it("takes settings, over those of its purpose", async () => {
    const cluster = await start({ listen: "socket", settings: { autovacuum: "on", application_name: "it's" } });
    assert.deepEqual(
      await query(
        cluster.url,
        "SELECT current_setting('autovacuum') AS av, current_setting('wal_level') AS wal, current_setting('fsync') AS fsync",
      ),
      [{ av: "on", wal: "minimal", fsync: "off" }],
    );
  });

  it("stops, twice if asked, and leaves no file", async () => {
    const cluster = await start({ listen: "socket" });
    const pid = serverPid(cluster.place);
    assert.equal(isClusterRunning(cluster.place), true);
    await cluster.stop();
    await cluster.stop();
    assert.equal(isClusterRunning(cluster.place), false);
    assert.equal(findProcess(pid), undefined);
    assert.equal(existsSync(dirname(cluster.place.dataDir)), false);
  });

  it("ends with its parent, also after kill -9", async () => {
    const { child, place } = await startInChild("parent", "stay");
    const pid = serverPid(place);
    assert.equal(isClusterRunning(place), true);
    child.kill("SIGKILL");
    await until("the cluster is gone", () => !existsSync(dirname(place.dataDir)));
    assert.equal(findProcess(pid), undefined);
    assert.equal(isClusterRunning(place), false);
  });

  it("outlives the process that started it until its deadline, holding none of its pipes", async () => {
    const deadline = new Date(Date.now() + 8000);
    const { child, place } = await startInChild(deadline.toISOString(), "leave");
    // `close` comes only when nobody holds the pipes: a deploy Command waits for exactly that.
    await Promise.race([
      new Promise((resolve) => child.once("close", resolve)),
      sleep(3000).then(() => assert.fail("somebody still holds the child's pipes")),
    ]);
    assert.deepEqual(await query(urlOf(place, "postgres"), "SELECT 1 AS one"), [{ one: 1 }]);
    await until("the deadline ended it", () => !existsSync(dirname(place.dataDir)));
    assert.ok(Date.now() >= deadline.getTime(), "ended before its deadline");
    assert.equal(isClusterRunning(place), false);
  });

  it("is stopped by its place from another process", async () => {
    const { child, place } = await startInChild(new Date(Date.now() + 600_000).toISOString(), "leave");
    await new Promise((resolve) => child.once("close", resolve));
    const pid = serverPid(place);
    await stopCluster(clusterPlaceSchema.parse(JSON.parse(JSON.stringify(place))));
    assert.equal(findProcess(pid), undefined);
    assert.equal(existsSync(dirname(place.dataDir)), false);
  });

  it("is stopped by its place even when its keeper was killed", async () => {
    const cluster = await start({ listen: "socket" });
    const pid = serverPid(cluster.place);
    process.kill(cluster.place.keeperPid, "SIGKILL");
    await until("the keeper is gone", () => findProcess(cluster.place.keeperPid) === undefined);
    assert.notEqual(findProcess(pid), undefined);
    await cluster.stop();
    assert.equal(findProcess(pid), undefined);
    assert.equal(existsSync(dirname(cluster.place.dataDir)), false);
  });

  it("is swept by the next start when its keeper was killed and nobody stops it", async () => {
    const forsaken = await start({ listen: "socket" });
    const pid = serverPid(forsaken.place);
    process.kill(forsaken.place.keeperPid, "SIGKILL");
    await until("the keeper is gone", () => findProcess(forsaken.place.keeperPid) === undefined);
    const next = await start({ listen: "socket" });
    assert.equal(findProcess(pid), undefined);
    assert.equal(existsSync(dirname(forsaken.place.dataDir)), false);
    const third = await start({ listen: "socket" });
    assert.ok([next, third].every(({ place }) => isClusterRunning(place)));
  });

  it("of another user is left to its deadline", async function () {
    const user = serverUser();
    if (user === undefined) return skip(this, "we are not root");
    if (!serverUserCanEnter(__dirname)) return skip(this, "another user cannot enter the clone");
    const cluster = await start({ listen: "socket" });
    const stopping = `require(process.argv[1]).stopCluster(JSON.parse(process.argv[2])).then(() => console.log("left"))`;
    const stranger = spawnSync(
      process.execPath,
      [
        "--require",
        "tsx/cjs",
        "-e",
        stopping,
        require.resolve("../../../scripts/scratch/cluster"),
        JSON.stringify(cluster.place),
      ],
      { uid: user.uid, gid: user.gid, encoding: "utf8", cwd: join(__dirname, "../../..") },
    );
    assert.equal(stranger.stdout, "left\n", stranger.stderr);
    assert.equal(isClusterRunning(cluster.place), true);
  });

  it("never signals a process that merely has the keeper's number", async () => {
    const bystander = spawn("sleep", ["60"], { stdio: "ignore" });
    children.push(bystander);
    const pid = bystander.pid ?? assert.fail();
    const identity = findProcess(pid) ?? assert.fail();
    const cluster = await start({ listen: "socket" });
    const place = { ...cluster.place, dataDir: "/tmp/dbp-aaaaaa/data", keeperPid: pid };
    assert.equal(isClusterRunning(place), false);
    await stopCluster(place);
    await sleep(100);
    assert.equal(fateOf(identity), "alive");
  });

  it("refuses a place whose folder is not one of ours", () => {
    const place = {
      host: "127.0.0.1",
      port: 1,
      user: "postgres",
      binDir: "/",
      major: 17,
      keeperPid: 1,
      keeperStart: "x",
      deadline: null,
    };
    assert.equal(clusterPlaceSchema.safeParse({ ...place, dataDir: "/tmp/dbp-aB3xyz/data" }).success, true);
    for (const dataDir of ["/home/data", "/tmp/dbp-aB3xyz", "/tmp/dbp-aB3xyz/../../home/data", "dbp-aB3xyz/data"]) {
      assert.equal(clusterPlaceSchema.safeParse({ ...place, dataDir }).success, false, dataDir);
    }
  });

  it("leaves nothing when its start is aborted", async () => {
    const folders = temporaryFolders();
    const reason = new Error("enough");
    await assert.rejects(start({ listen: "socket", signal: AbortSignal.abort(reason) }), reason);
    const controller = new AbortController();
    const starting = start({ listen: "socket", signal: controller.signal });
    setTimeout(() => controller.abort(reason), 150);
    await assert.rejects(starting, reason);
    assert.deepEqual(folders(), []);
  });

  it("says in the server's words why it does not start, and leaves nothing", async () => {
    const folders = temporaryFolders();
    await assert.rejects(
      start({ listen: "socket", settings: { no_such_setting: "1" } }),
      (error) => error instanceof UsageError && /no_such_setting/.test(error.message),
    );
    await assert.rejects(
      start({ listen: "socket", settings: { dynamic_library_path: "", shared_preload_libraries: "no_such_library" } }),
      (error) => error instanceof Unavailable && /no_such_library/.test(error.message),
    );
    assert.deepEqual(folders(), []);
  });

  it("says which command gets a major that is not here", async () => {
    await assert.rejects(
      start({ listen: "socket", major: 99 }),
      (error) => error instanceof UsageError && error.hint === "run: npm run setup -- --postgres 99",
    );
  });
});

async function start(options: Omit<Parameters<typeof startCluster>[0], "lifetime">): Promise<Cluster> {
  const cluster = await startCluster({ ...options, lifetime: { kind: "parent" } });
  started.push(cluster.place);
  return cluster;
}

async function startInChild(
  lifetime: string,
  then: "stay" | "leave",
): Promise<{ child: ChildProcess; place: ClusterPlace }> {
  const starter = join(__dirname, "clusterStarter.ts");
  const child = spawn(process.execPath, ["--require", "tsx/cjs", starter, lifetime, then], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout?.once("data", (chunk: Buffer) => resolve(chunk.toString("utf8")));
    child.once("exit", (code) => reject(new Error(`the child ended with ${code}`)));
  });
  const place = clusterPlaceSchema.parse(JSON.parse(line));
  started.push(place);
  return { child, place };
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

function serverPid(place: ClusterPlace): number {
  return Number(readFileSync(join(place.dataDir, "postmaster.pid"), "utf8").split("\n")[0]);
}

/** Gives this test a temporary folder of its own; returns how to list what is in it. */
function temporaryFolders(): () => string[] {
  const root = mkdtempSync("/tmp/cluster-");
  chmodSync(root, 0o755);
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = root;
  cleanups.push(() => {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
    rmSync(root, { recursive: true });
  });
  return () => readdirSync(root);
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 15_000; !condition(); await sleep(25)) {
    if (Date.now() > end) assert.fail(`waited 15 s in vain until ${what}`);
  }
}

/** Each fault of a plan, done to one command on real servers; and taken back afterwards, so that what comes next can heal. */
import { existsSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { giveBackLease, readLease } from "../scripts/control/lease";
import { leaseSchema } from "../scripts/control/leaseDocument";
import { readControl, swapControl } from "../scripts/control/controlDocument";
import { leaseKey } from "../scripts/store/layout";
import type { RunningCli } from "../tests/servers/cli";
import { startNetwork } from "../tests/servers/network";
import { startPostgresProxy } from "../tests/servers/postgresProxy";
import { writerName } from "./load";
import type { Fault, Moment, PlannedFault } from "./plan";
import { type World, canMount } from "./world";

/** A fault that waits for its command. */
export interface Armed {
  /** For that command alone. */
  readonly env: Readonly<Record<string, string>>;
  /** Told of the command as soon as it runs. */
  readonly onStart: (cli: RunningCli) => void;
  /** Whether it has happened. */
  struck(): boolean;
  /** Takes it back: the disk has room, the bytes are right, the server runs. */
  end(): Promise<void>;
}

/** What the second operator releases where it is not the same. */
export const otherStack = "shop/other";

/** Of a lost lease: who has it. */
const thiefRun = "20260101T000000Z-thief";

/** @param second starts the same command for a second operator. */
export async function arm(
  { fault, during }: PlannedFault,
  world: World,
  second: (stack: "same" | "other") => Promise<unknown>,
): Promise<Armed> {
  let struck = false;
  const strike = (): void => void (struck = true);
  const nothing: Armed = { env: {}, onStart: () => undefined, struck: () => struck, end: async () => undefined };
  /** What a fault that acts at a moment has begun; `end` waits for it. */
  const begun: Promise<unknown>[] = [];
  /** One that fails has found nothing to strike: the session was gone by then. */
  const at =
    (moment: Moment, act: () => unknown): Armed["onStart"] =>
    (cli) =>
      void atMoment(cli, moment, () => {
        strike();
        begun.push(
          Promise.resolve()
            .then(act)
            .catch(() => undefined),
        );
      });
  const done = async (): Promise<void> => void (await Promise.all(begun));
  switch (fault.kind) {
    case "kill":
      return { ...nothing, onStart: (cli) => atMoment(cli, fault.at, () => struckBy(cli.process.kill(fault.signal))) };
    case "server crash":
      return {
        ...nothing,
        onStart: at(fault.at, () => crash(world)),
        end: () => done().then(() => untilServes(world)),
      };
    case "session ended":
      return { ...nothing, onStart: at(fault.at, () => endSessions(world)), end: done };
    case "network":
      return { ...nothing, ...(await faultyNetwork(fault, world, strike)) };
    case "slow network": {
      const proxy = await startNetwork(world.lane.live.place, { late: fault.milliseconds });
      strike();
      return { ...nothing, env: { DATABASE_URL: through(world.url, proxy.port) }, end: () => proxy.close() };
    }
    case "byte flip":
    case "truncation": {
      const restore = damageObject(world, fault);
      if (restore !== undefined) strike();
      return { ...nothing, end: async () => restore?.() };
    }
    case "full disk": {
      const ballast = join(world.storeFolders[0]!, "ballast");
      const end = async (): Promise<void> => (await done(), rmSync(ballast, { force: true }));
      return { ...nothing, onStart: canMount ? at(fault.at, () => fill(ballast)) : () => undefined, end };
    }
    case "store request": {
      let [seen, left] = [0, fault.times];
      world.storeFault = () => {
        seen += 1;
        if (seen < fault.request || left === 0) return undefined;
        left -= 1;
        strike();
        return fault.answer;
      };
      return { ...nothing, end: async () => void (world.storeFault = undefined) };
    }
    case "clock jump": {
      strike();
      const clock = resolve(__dirname, "clock.js");
      return {
        ...nothing,
        env: {
          NODE_OPTIONS: `--require=${clock}`,
          CAMPAIGN_CLOCK_SECONDS: String(fault.seconds),
          CAMPAIGN_CLOCK_AFTER: String(fault.afterMilliseconds),
        },
      };
    }
    case "lost lease":
      return {
        ...nothing,
        onStart: at(fault.at, () => stealLease(world)),
        end: async () => (await done(), void (await giveBackLease(world.store, thiefRun))),
      };
    case "two operators":
      return {
        ...nothing,
        onStart: at({ milliseconds: fault.afterMilliseconds }, () => second(fault.stack)),
        end: () => done().then(() => giveUp(world)),
      };
    case "platform":
      return {
        ...nothing,
        ...platformFault(fault.does, during === "vercel" ? world.app.vercel : world.app.railway, strike),
      };
  }

  function struckBy(signalled: boolean): void {
    if (signalled) strike();
  }
}

/** Calls back once, unless the command has ended by then. */
function atMoment(cli: RunningCli, moment: Moment, act: () => void): void {
  let over = false;
  const once = (): void => {
    if (over) return;
    over = true;
    act();
  };
  void cli.ended.then(
    () => (over = true),
    () => (over = true),
  );
  if ("milliseconds" in moment) return void setTimeout(once, moment.milliseconds);
  cli.process.stderr?.on("data", () => {
    if (cli.stderr().split("\n").length > moment.lines) once();
  });
}

/** Kills one of the server's processes as the kernel would that is out of memory: the server ends all others, and recovers. */
async function crash(world: World): Promise<void> {
  const [pid] = await sessionsOf(world);
  if (pid !== undefined) process.kill(pid, "SIGKILL");
}

/** Processes that serve the program's sessions; where there is none, the caller's own. */
async function sessionsOf(world: World): Promise<number[]> {
  const client = await world.connect();
  try {
    const { rows } = await client.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database()
        ORDER BY application_name = $1, pid = pg_backend_pid()`,
      [writerName],
    );
    return rows.map(({ pid }) => pid);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function endSessions(world: World): Promise<void> {
  const client = await world.connect();
  try {
    await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> $1`,
      [writerName],
    );
  } finally {
    await client.end();
  }
}

/** Until the server takes sessions again. */
export async function untilServes(world: World): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    try {
      const client = await world.connect("postgres");
      await client.query("SELECT 1");
      return void (await client.end());
    } catch {
      await sleep(50);
    }
  }
  throw new Error("the live server did not come back");
}

function through(url: string, port: number): string {
  const other = new URL(url);
  other.port = String(port);
  other.searchParams.set("sslmode", "disable");
  return other.href;
}

async function faultyNetwork(
  { does, afterBytes }: Fault & { kind: "network" },
  world: World,
  strike: () => void,
): Promise<Partial<Armed>> {
  const proxy = await startPostgresProxy({
    to: world.lane.live.place,
    fault: does,
    afterBytes,
    terminate: async (clientPort) => {
      const client = await world.connect("postgres");
      await client
        .query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_port = $1", [clientPort])
        .finally(() => client.end());
    },
  });
  return {
    env: { DATABASE_URL: through(world.url, proxy.port), DBPROTECT_STALL_SECONDS: "2" },
    struck: () => proxy.struck(),
    end: async () => {
      if (proxy.struck()) strike();
      await proxy.close();
    },
  };
}

/** Damages one object of the first folder. @returns what mends it, as a disk does that was mounted anew. */
function damageObject(
  world: World,
  { kind, object, place }: Fault & { kind: "byte flip" | "truncation" },
): (() => void) | undefined {
  const root = world.storeFolders[0];
  if (root === undefined) return undefined;
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => statSync(path).size > 0)
    .sort();
  const path = files[object % Math.max(1, files.length)];
  if (path === undefined) return undefined;
  const right = readFileSync(path);
  const wrong = Buffer.from(right);
  const spot = place % right.length;
  wrong[spot] = wrong[spot]! ^ (1 << (place % 8));
  const damaged = kind === "truncation" ? right.subarray(0, spot) : wrong;
  if (kind === "truncation") truncateSync(path, spot);
  else writeFileSync(path, wrong);
  return () => {
    // Only what is still as it was damaged: what the program wrote meanwhile is its own.
    if (existsSync(path) && readFileSync(path).equals(damaged)) writeFileSync(path, right);
  };
}

/** Fills the small disk until nothing more fits. */
function fill(ballast: string): void {
  const piece = Buffer.alloc(65_536);
  try {
    for (;;) writeFileSync(ballast, piece, { flag: "a" });
  } catch {
    // Full.
  }
}

/** Another machine takes the lease, as one does that believes that it has expired. */
async function stealLease({ store }: World): Promise<void> {
  for (let tries = 0; tries < 20; tries++) {
    const current = await readControl(store, leaseKey, leaseSchema);
    if (current === undefined) return;
    const stolen = {
      ...current.document,
      token: current.document.token + 1,
      phase: "gating" as const,
      holder: { ...current.document.holder, stack: "shop/thief", runId: thiefRun, host: "another machine" },
      expiresAt: new Date(Date.now() + 600_000).toISOString(),
      receiptSha256: null,
      releaseVersion: null,
    };
    if ((await swapControl(store, leaseKey, stolen, current.version)) !== undefined) return;
  }
}

/** The second operator, of the other stack, whose gate passed, leaves the release to the first. */
async function giveUp({ store }: World): Promise<void> {
  const lease = await readLease(store);
  if (lease?.holder.stack === otherStack) await giveBackLease(store, lease.holder.runId);
}

function platformFault(
  does: (Fault & { kind: "platform" })["does"],
  side: Pick<World["app"]["railway"], "failNextBuild" | "faults">,
  strike: () => void,
): Pick<Armed, "onStart" | "end"> {
  const onStart = (): void => {
    strike();
    if (does === "build fails") side.failNextBuild();
    else if (does === "500") side.faults.plan({ kind: "status", status: 500 }, 2);
    else if (does === "truncated answer") side.faults.plan({ kind: "truncated" });
    else if (does === "lost answer") side.faults.plan({ kind: "lost answer" });
    else side.faults.plan({ kind: "slow", milliseconds: 300 }, 3);
  };
  return { onStart, end: async () => side.faults.end() };
}

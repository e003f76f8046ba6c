/** Starts a keeper (keeper.js): a detached process that ends a server when its time is over. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, fstatSync, openSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Unavailable } from "../contract/failure";
import type { KeeperOrder } from "./keeper";
import { type ProcessKey, findProcess } from "../process/processIdentity";

export type { KeeperOrder };

export interface Keeper {
  readonly identity: ProcessKey;
  /** Resolves when the keeper has ended, and with it the server and its folder. */
  readonly ended: Promise<void>;
  /** What the programs printed so far, its last 4,000 characters; readable after the folder is gone, until `release`. */
  output(): string;
  /** Closes the log and lets this process end although the keeper lives on. */
  release(): void;
}

/** Who keeps the server of that folder, as JSON of `ProcessKey`: whoever sweeps reads it. */
export function keeperFile(folder: string): string {
  return join(folder, "keeper.json");
}

/**
 * The programs' output goes to `<folder>/log`, a file and never a pipe: a deploy Command waits until every
 * pipe it gave to its children is closed, and the scratch server outlives its Command.
 */
export function startKeeper(order: KeeperOrder): Keeper {
  const path = join(order.folder, "log");
  const log = openSync(path, "a+", 0o600);
  const child: ChildProcess = spawn(process.execPath, [join(__dirname, "keeper.js"), JSON.stringify(order)], {
    cwd: "/",
    detached: true,
    // No NODE_OPTIONS: a loader meant for the program would slow the keeper down or hold its folder open.
    env: order.env,
    stdio: [order.lifetime.kind === "parent" ? "pipe" : "ignore", log, log],
  });
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const identity = child.pid === undefined ? undefined : findProcess(child.pid);
  if (identity === undefined) {
    closeSync(log);
    throw new Unavailable("cannot start the process that keeps the server: the machine is out of processes or memory");
  }
  writeFileSync(keeperFile(order.folder), JSON.stringify(identity), { mode: 0o600 });
  let open = true;
  return {
    identity,
    ended,
    output: () => (open ? tail(log) : ""),
    release: () => {
      if (open) closeSync(log);
      open = false;
      child.unref();
      (child.stdin as (NodeJS.WritableStream & { unref?: () => void }) | null)?.unref?.();
    },
  };
}

function tail(log: number): string {
  const { size } = fstatSync(log);
  const buffer = Buffer.alloc(Math.min(size, 4000));
  // By position: the programs share this file description and its offset.
  readSync(log, buffer, 0, buffer.length, size - buffer.length);
  return buffer.toString("utf8").trim();
}

/** Collects from the environment what a gate is given. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { UsageError } from "../contract/failure";
import { targetFromEnvironment } from "../database/target";
import type { GateContext } from "../gate/context";
import { localUser } from "../process/localUser";
import { readOperationSettings } from "../settings";
import { compactUtc } from "../store/layout";
import { interrupted, progress } from "./session";
import { storeFromEnvironment } from "./store";

const runIdPattern = /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/;

/** `20261122T170212Z-3f9c1a2b`: sorts by time. A run id given by the Pulumi program becomes its tail. */
export function newRunId(env: NodeJS.ProcessEnv = process.env): string {
  const given = env["DBPROTECT_RUN_ID"] ?? randomBytes(4).toString("hex");
  if (!runIdPattern.test(given)) {
    throw new UsageError(
      `DBPROTECT_RUN_ID: found ${JSON.stringify(given)}: expected letters, digits and hyphens, at most 64`,
    );
  }
  return `${compactUtc(new Date())}-${given}`;
}

/** `project/stack` as the Pulumi program says, else who is at the keyboard. */
export function stackFromEnvironment(env: NodeJS.ProcessEnv = process.env): string {
  return env["DBPROTECT_STACK"] || `by hand: ${localUser()}@${hostname()}`;
}

/** Without `store`: `BACKUP_STORE` may be absent, as at the very first preview. */
export function gateContext(options: {
  settings?: string | undefined;
  store: "required" | "optional";
  waitSeconds?: number;
  takeOver?: boolean;
  onProgress?: (line: string) => void;
}): GateContext {
  const { env } = process;
  const onProgress = options.onProgress ?? progress;
  const hasStore = options.store === "required" || (env["BACKUP_STORE"] ?? "") !== "";
  return {
    settings: readOperationSettings(options.settings),
    target: targetFromEnvironment("DATABASE_URL"),
    store: hasStore ? storeFromEnvironment(onProgress) : undefined,
    runId: newRunId(),
    releaseVersion: env["DBPROTECT_RELEASE_VERSION"] ?? "",
    stack: stackFromEnvironment(),
    takeOver: options.takeOver === true || (env["DBPROTECT_STACK"] ?? "") !== "",
    addresses: addressesFromEnvironment(env),
    waitSeconds: options.waitSeconds ?? 0,
    signal: interrupted,
    onProgress,
  };
}

/** Where the application answers; undefined: not set. */
export function addressesFromEnvironment(env: NodeJS.ProcessEnv = process.env): GateContext["addresses"] {
  return { appUrl: env["APP_URL"] || undefined, frontendUrl: env["FRONTEND_URL"] || undefined };
}

/** Collects from the environment what a gate is given. */
import { randomBytes } from "node:crypto";
import { hostname, userInfo } from "node:os";
import { UsageError } from "../contract/failure";
import { registerSecret } from "../contract/redaction";
import { targetFromEnvironment } from "../database/target";
import type { GateContext } from "../gate/context";
import { readOperationSettings } from "../settings";
import { compactUtc } from "../store/layout";
import { openStore } from "../store/openStore";
import { interrupted, progress } from "./session";

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

/** Without `store`: `BACKUP_STORE` may be absent, as at the very first preview. */
export function gateContext(options: {
  settings?: string | undefined;
  store: "required" | "optional";
  waitSeconds?: number;
  onProgress?: (line: string) => void;
}): GateContext {
  const { env } = process;
  for (const secret of ["BACKUP_PASSPHRASE", "RAILWAY_TOKEN", "RAILWAY_API_TOKEN", "VERCEL_TOKEN"])
    registerSecret(env[secret]);
  const hasStore = options.store === "required" || (env["BACKUP_STORE"] ?? "") !== "";
  return {
    settings: readOperationSettings(options.settings),
    target: targetFromEnvironment("DATABASE_URL"),
    store: hasStore ? openStore(undefined) : undefined,
    runId: newRunId(),
    releaseVersion: env["DBPROTECT_RELEASE_VERSION"] ?? "",
    stack: env["DBPROTECT_STACK"] ?? `by hand: ${userInfo().username}@${hostname()}`,
    addresses: { appUrl: env["APP_URL"] || undefined, frontendUrl: env["FRONTEND_URL"] || undefined },
    waitSeconds: options.waitSeconds ?? 0,
    signal: interrupted,
    onProgress: options.onProgress ?? progress,
  };
}

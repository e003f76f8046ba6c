/**
 * A data folder as initdb leaves it, kept in the cache: copying it takes a fraction of initdb's time, and every gate
 * waits for a scratch server. Copies share its system identifier, so it is for scratch servers only.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chownSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { cacheFolder } from "../../bin/setup/cacheFolder.js";
import { serverUser, serverUserCanEnter } from "../../bin/setup/serverUser.js";
import type { PostgresPrograms } from "../database/postgresPrograms";

const run = promisify(execFile);

/**
 * The template of these programs and arguments; made first when there is none.
 *
 * @param initdbArguments without `-D`.
 * @returns its path; undefined where the cache cannot hold it: initdb does as well.
 */
export async function clusterTemplate(
  { binDir, version }: PostgresPrograms,
  initdbArguments: readonly string[],
): Promise<string | undefined> {
  const user = serverUser();
  const made = JSON.stringify([binDir, version, initdbArguments, user?.uid ?? process.getuid?.()]);
  const template = join(cacheFolder(), `cluster-${createHash("sha256").update(made).digest("hex").slice(0, 16)}`);
  if (isOurs(template)) return template;
  let folder: string | undefined;
  try {
    mkdirSync(cacheFolder(), { recursive: true });
    if (!serverUserCanEnter(cacheFolder())) return undefined;
    // Setup removes what a killed process leaves under such a name.
    folder = mkdtempSync(join(cacheFolder(), ".partial-"));
    if (user) chownSync(folder, user.uid, user.gid);
    const data = join(folder, "data");
    await run(join(binDir, "initdb"), ["-D", data, ...initdbArguments], {
      ...{ cwd: folder, env: { LANG: "C", TZ: "UTC" } },
      ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
    });
    renameSync(data, template);
    return template;
  } catch {
    // Another process was faster, or this machine does not allow it.
    return isOurs(template) ? template : undefined;
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  }
}

/** The cache may be a folder that others write to: a server is not started from what they put there. */
function isOurs(template: string): boolean {
  try {
    const { uid, mode } = lstatSync(template);
    return uid === (serverUser()?.uid ?? process.getuid?.()) && (mode & 0o170077) === 0o040000;
  } catch {
    return false; // not there, or out of reach
  }
}

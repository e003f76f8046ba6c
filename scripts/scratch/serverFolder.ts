/** The private folder of one embedded server: its data, socket and log, outside the clone, gone with the server. */
import { chownSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serverUser, serverUserCanEnter } from "../../bin/setup/serverUser.js";
import { UsageError } from "../contract/failure";

/** A socket's path must fit into `sun_path`: 104 bytes on macOS, 108 on Linux, with the closing zero. */
const longestFolder = 103 - "/.s.PGSQL.65535".length;

/** What every such folder is called; whoever removes one by a recorded path checks it first. */
export const serverFolderName = /^dbp-[A-Za-z0-9]{6}$/;

/** Where such folders are made, the preferred one first. */
export function serverFolderParents(): string[] {
  return [...new Set([realpathSync(tmpdir()), "/tmp"])];
}

/**
 * A new folder below the system's temporary folder that only the server's user (and root) can enter. If that
 * one is too deep for a socket, or closed to the server's user, /tmp is taken.
 */
export function createServerFolder(): string {
  const parent = serverFolderParents().find(
    (folder) => Buffer.byteLength(join(folder, "dbp-XXXXXX")) <= longestFolder && serverUserCanEnter(folder),
  );
  if (parent === undefined) {
    throw new UsageError(`TMPDIR: found ${tmpdir()}: expected a short path that the server's user can enter`, {
      hint: "set TMPDIR to a folder such as /tmp",
    });
  }
  const folder = mkdtempSync(join(parent, "dbp-")); // mode 0700
  try {
    const user = serverUser();
    if (user) chownSync(folder, user.uid, user.gid);
  } catch (error) {
    rmSync(folder, { recursive: true });
    throw error;
  }
  return folder;
}

/**
 * Removes what a keeper that was killed left behind: nobody else would ever end its server or remove the copy of
 * production data in its folder.
 */
import { lstatSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { serverUser } from "../../bin/setup/serverUser.js";
import { fateOf } from "../process/processIdentity";
import { endOrphan } from "./clusterPlace";
import { serverFolderName, serverFolderParents } from "./serverFolder";
import { keeperFile } from "./startKeeper";

const keeperKeySchema = z.object({ pid: z.int().positive(), processStart: z.string().min(1) });

/**
 * Ends the server and removes the folder of every embedded server of this user whose keeper is certainly gone.
 * One that cannot be removed is left for the next sweep.
 */
export async function sweepServers(): Promise<void> {
  for (const parent of serverFolderParents()) {
    for (const name of readdirSync(parent).filter((candidate) => serverFolderName.test(candidate))) {
      const folder = join(parent, name);
      try {
        if (!isOurs(folder) || !isForsaken(folder)) continue;
        await endOrphan(join(folder, "data"));
        rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
      } catch {
        // gone meanwhile, or half made: no reason not to start a server
      }
    }
  }
}

/** The temporary folder is everybody's: a folder that somebody else called like one of ours is not touched. */
function isOurs(folder: string): boolean {
  const entry = lstatSync(folder);
  return entry.isDirectory() && entry.uid === (serverUser()?.uid ?? process.getuid?.());
}

function isForsaken(folder: string): boolean {
  return fateOf(keeperKeySchema.parse(JSON.parse(readFileSync(keeperFile(folder), "utf8")))) === "gone";
}

/** Makes a store's private folders, durably, and says why when it cannot. */
import { constants } from "node:fs";
import { mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { Unavailable, codeOf, messageOf } from "../contract/failure";

/**
 * `mkdir -p`, private, with each new name flushed: an object must not vanish with its folder in a power cut.
 *
 * @throws Unavailable where no folder can be made at all; else what the file system says.
 */
export async function makeFolder(folder: string): Promise<void> {
  const made = await makeMissing(folder).catch((error: unknown) => {
    // Elsewhere this code says that an object is absent.
    throw codeOf(error) === "ENOENT" ? new Unavailable(messageOf(error)) : error;
  });
  for (const path of made) await syncFolder(dirname(path));
}

/**
 * Not Node.js's own `recursive`: that tries for ever where an existing folder says ENOENT, as those of /proc and of
 * automounters do.
 *
 * @returns what was made, the deepest last.
 */
async function makeMissing(folder: string): Promise<string[]> {
  const make = (): Promise<string[]> => mkdir(folder, { mode: 0o700 }).then(() => [folder]);
  try {
    return await make().catch(async (error: unknown) => {
      if (codeOf(error) !== "ENOENT" || folder === dirname(folder)) throw error;
      return [...(await makeMissing(dirname(folder))), ...(await make())];
    });
  } catch (error) {
    if (codeOf(error) === "EEXIST" && (await stat(folder)).isDirectory()) return [];
    throw error;
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

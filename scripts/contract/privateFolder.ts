/** `mkdir -p` for files that people get, which ends everywhere. */
import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { codeOf } from "./failure";

/**
 * Mode 0700. Not by `recursive`: where the kernel answers ENOENT to whoever makes a folder, as in /proc, Node.js 24 tries for ever,
 * and no signal is heard meanwhile.
 *
 * @throws the error of the file system.
 */
export function makePrivateFolder(path: string): void {
  const folder = resolve(path);
  try {
    make(folder);
  } catch (error) {
    if (codeOf(error) !== "ENOENT" || dirname(folder) === folder) throw error;
    makePrivateFolder(dirname(folder));
    make(folder);
  }
}

function make(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

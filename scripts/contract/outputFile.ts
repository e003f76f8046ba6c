/** Files that a command writes for people: a report, a plan. Redacted; whole, or as they were. */
import { randomBytes } from "node:crypto";
import { rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { UsageError, messageOf } from "./failure";
import { makePrivateFolder } from "./privateFolder";
import { redact } from "./redaction";

export interface OutputFile {
  readonly file: string;
  /** The option or variable that names it. */
  readonly key: string;
  /** Makes its folder, for the owner alone. Default false: a folder that somebody names is there. */
  readonly makeFolder?: boolean;
}

/**
 * Mode 0600. Whoever opens the file meanwhile sees the former one, whole; of two writers at once the last one's stays.
 * What is no regular file (`/dev/stdout`, a pipe) is written to, never replaced.
 *
 * @throws UsageError when it cannot be written.
 */
export async function writeOutputFile({ file, key, makeFolder = false }: OutputFile, text: string): Promise<void> {
  const content = redact(text);
  const partial = `${file}.${randomBytes(4).toString("hex")}.partial`;
  try {
    if (makeFolder) makePrivateFolder(dirname(file));
    if (await isSpecial(file)) return await writeFile(file, content);
    await writeFile(partial, content, { mode: 0o600, flag: "wx" });
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw new UsageError(`${key}: found ${file}: it cannot be written: ${messageOf(error)}`);
  }
}

async function isSpecial(file: string): Promise<boolean> {
  const found = await stat(file).catch(() => undefined);
  return found !== undefined && !found.isFile() && !found.isDirectory();
}

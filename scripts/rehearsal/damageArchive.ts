/** Damages a backup as a failing disk would: one bit, in the middle of an archive, after it was written and before it is verified. */
import { chmod, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export interface ArchiveDamage {
  /** Ends the watch. Resolves to the damaged archive's key, or undefined when none appeared. */
  end(): Promise<string | undefined>;
}

const pollMilliseconds = 5;

/** Waits for the next `predeploy` backup's first data archive in a store's folder and flips a bit of it. */
export async function damageNextArchive(storeFolder: string): Promise<ArchiveDamage> {
  const folder = join(storeFolder, "backups", "predeploy");
  const known = new Set(await namesIn(folder));
  let ended = false;
  const watch = async (): Promise<string | undefined> => {
    for (; !ended; await sleep(pollMilliseconds)) {
      for (const name of (await namesIn(folder)).filter((candidate) => !known.has(candidate))) {
        const archive = (await namesIn(join(folder, name))).find((file) => /^data-\d+\.(dump|copy)\.zst$/.test(file));
        if (archive === undefined) continue;
        await flipBit(join(folder, name, archive));
        return `backups/predeploy/${name}/${archive}`;
      }
    }
    return undefined;
  };
  const damaged = watch();
  // Whoever awaits `end` sees the error; until then it must not count as unhandled.
  damaged.catch(() => undefined);
  return {
    end: () => {
      ended = true;
      return damaged;
    },
  };
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

async function flipBit(path: string): Promise<void> {
  const { mode, size } = await stat(path);
  // Archives are read-only; the same file is changed, as bit rot does.
  await chmod(path, mode | 0o200);
  const file = await open(path, "r+");
  try {
    const place = Math.floor(size / 2);
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, place);
    byte[0] = (byte[0] ?? 0) ^ 0b0001_0000;
    await file.write(byte, 0, 1, place);
  } finally {
    await file.close();
    await chmod(path, mode);
  }
}

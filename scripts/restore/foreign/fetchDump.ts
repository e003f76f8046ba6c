/** A dump by its address: a path, `file://…`, or `s3://bucket/key`, which is brought near first. */
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { UsageError } from "../../contract/failure";
import { openStore } from "../../store/openStore";
import { NotFound, type Store } from "../../store/store";
import { demandRoom } from "../stageBackup";

export interface NearDump {
  readonly path: string;
  /** The last word of its address. */
  readonly name: string;
  /** Removes what was brought near. */
  close(): Promise<void>;
}

/**
 * @throws UsageError when there is nothing at the address, or the disk cannot hold it; Unavailable when the store cannot
 *   be reached.
 */
export async function fetchDump(address: string, options: { signal?: AbortSignal } = {}): Promise<NearDump> {
  if (address.startsWith("s3:")) return fetchObjects(address, options);
  const path = address.startsWith("file:") ? pathOf(address) : resolve(address);
  return { path, name: basename(path), close: () => Promise.resolve() };
}

function pathOf(address: string): string {
  try {
    return fileURLToPath(address);
  } catch {
    throw new UsageError(`found ${address}: expected file:///folder/file`);
  }
}

/** What pg_dump writes into the folder of a dump: `toc.dat`, `3456.dat.gz`, `blobs.toc`. */
const flatName = /^[A-Za-z0-9][\w.]*$/;

/** Nobody else may read it: it holds rows. */
async function fetchObjects(address: string, { signal }: { signal?: AbortSignal }): Promise<NearDump> {
  const [place = "", query] = address.replace(/\/+(?=$|\?)/, "").split("?");
  const cut = place.lastIndexOf("/");
  const name = place.slice(cut + 1);
  if (place.split("/").length < 4)
    throw new UsageError(`found ${place}: expected s3://bucket/key of a dump, or of the folder that it is`);
  const store = openStore(place.slice(0, cut) + (query === undefined ? "" : `?${query}`));
  const folder = await mkdtemp(join(tmpdir(), "dbprotect-dump-"));
  const close = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const found = (await store.list(name)).filter(
      ({ key }) => key === name || (key.startsWith(`${name}/`) && flatName.test(key.slice(name.length + 1))),
    );
    if (found.length === 0) throw new UsageError(`${place}: no such object`);
    await demandRoom(
      folder,
      found.reduce((sum, { bytes }) => sum + bytes, 0),
    );
    if (found.some(({ key }) => key !== name)) await mkdir(join(folder, name), { mode: 0o700 });
    for (const { key } of found) await fetchObject(store, key, join(folder, key), signal);
    return { path: join(folder, name), name, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function fetchObject(store: Store, key: string, path: string, signal: AbortSignal | undefined): Promise<void> {
  try {
    const body = await store.read(key);
    await pipeline(body, createWriteStream(path, { mode: 0o600 }), signal === undefined ? {} : { signal });
  } catch (error) {
    if (error instanceof NotFound) throw new UsageError(`${store.url}/${key} is gone`, { cause: error });
    throw error;
  }
}

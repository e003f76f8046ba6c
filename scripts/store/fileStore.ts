/**
 * A store in a folder of this machine (`file:///dir`). An object is written beside the others, flushed, and
 * then linked to its name: link(2) fails where the name is taken, so no write ever replaces another, and a
 * killed process leaves nothing but a partial file that the next one removes.
 *
 * A mutable object is a folder of numbered versions, the highest of which is current. Taking the next number
 * is again one link(2): compare-and-swap without a lock, so nothing can be left locked by a crash.
 */
import { constants } from "node:fs";
import { type FileHandle, link, open, readdir, rmdir, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";
import { Unavailable, UsageError, codeOf } from "../contract/failure";
import { chunksOf } from "./chunks";
import { assertKey, assertMutable, assertRemovable, assertWrittenOnce, controlPrefix } from "./layout";
import { makeFolder, syncFolder } from "./makeFolder";
import { openPartial, removeForgotten } from "./partialFiles";
import { AlreadyExists, NotFound, type Removability, type Store, type StoredObject, type Versioned } from "./store";

/** Not a legal key segment, so no key can reach it. */
const partialFolder = ".partial";

/**
 * How many versions of a mutable object are kept. A version is deleted only when it is this far behind the
 * current one; `swap` relies on that.
 */
const keptVersions = 32;

/** How much is read from a file at once. */
const readBytes = 256 * 1024;

export class FileStore implements Store {
  readonly url: string;
  readonly warnings: readonly string[] = [];
  readonly #root: string;
  readonly #partials: string;
  #cleaned: Promise<number> | undefined;

  /** `root` is absolute; it is made at the first write. */
  constructor(root: string) {
    this.#root = root;
    this.#partials = join(root, partialFolder);
    this.url = pathToFileURL(root).href;
  }

  pageOf(key: string): string {
    return pathToFileURL(join(this.#root, key)).href;
  }

  async create(key: string, body: Readable | Buffer, signal?: AbortSignal): Promise<number> {
    // Until the loop below listens, an early error of the stream must not count as unhandled.
    if (body instanceof Readable) body.on("error", () => undefined);
    try {
      const path = this.#writeOncePath(key);
      if (await this.#exists(path)) throw new AlreadyExists(key);
      return await this.#write(body, signal, (partial) => this.#linkOnce(partial, path, key));
    } finally {
      if (body instanceof Readable) body.destroy();
    }
  }

  async read(key: string): Promise<Readable> {
    assertKey(key);
    if (key.startsWith(controlPrefix)) {
      const current = await this.readVersioned(key);
      if (current === undefined) throw new NotFound(key);
      return Readable.from([current.body]);
    }
    const handle = await this.#attempt(() => open(join(this.#root, key), constants.O_RDONLY)).catch(
      (error: unknown) => {
        throw isAbsent(error) ? new NotFound(key) : error;
      },
    );
    if (!(await handle.stat()).isFile()) {
      await handle.close();
      throw new NotFound(key);
    }
    return this.#streamOf(handle);
  }

  async list(prefix: string): Promise<StoredObject[]> {
    const found: StoredObject[] = [];
    await this.#collect(prefix, prefix.slice(0, prefix.lastIndexOf("/") + 1), found);
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async readVersioned(key: string): Promise<Versioned | undefined> {
    const folder = this.#mutableFolder(key);
    // Between listing and opening, the version may be swapped away so often that it is deleted: look again.
    for (;;) {
      const current = await this.#currentVersion(folder);
      if (current === undefined) return undefined;
      try {
        const handle = await this.#attempt(() => open(versionPath(folder, current), constants.O_RDONLY));
        try {
          return { body: await this.#attempt(() => handle.readFile()), version: String(current) };
        } finally {
          await handle.close();
        }
      } catch (error) {
        if (!isAbsent(error)) throw error;
      }
    }
  }

  async swap(key: string, body: Buffer, expected: string | undefined): Promise<string | undefined> {
    const folder = this.#mutableFolder(key);
    const current = await this.#currentVersion(folder);
    if (current !== (expected === undefined ? undefined : Number(expected))) return undefined;
    const next = (current ?? 0) + 1;
    const path = versionPath(folder, next);
    try {
      await this.#write(body, undefined, (partial) => this.#linkOnce(partial, path, key));
    } catch (error) {
      if (error instanceof AlreadyExists) return undefined;
      throw error;
    }
    const newest = (await this.#currentVersion(folder)) ?? next;
    if (newest >= next + keptVersions) {
      // We slept so long that our number had been taken, left behind and deleted: it was free, but not ours.
      await unlink(path).catch(() => undefined);
      return undefined;
    }
    await this.#forgetVersions(folder, newest - keptVersions);
    return String(next);
  }

  async removability(key: string): Promise<Removability | undefined> {
    assertKey(key);
    return (await this.#exists(join(this.#root, key))) ? { lockedUntil: null, expiring: false } : undefined;
  }

  async remove(key: string): Promise<void> {
    assertRemovable(key);
    const path = join(this.#root, key);
    try {
      await this.#attempt(() => unlink(path));
      // On the disk before anything else is removed: what counts goes first, and must not be back after a crash.
      await this.#attempt(() => syncFolder(dirname(path)));
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
    // The last file takes its folder along; while others are there it cannot.
    await rmdir(dirname(path)).catch(() => undefined);
  }

  async expire(): Promise<never> {
    throw new UsageError(`store ${this.url}: a folder has no lifecycle rules that could remove what is tagged`);
  }

  /** Partial files name their process: one that lives keeps its own. */
  async removeUnfinished(): Promise<number> {
    return removeForgotten(this.#partials);
  }

  /** Writes a flushed partial file, lets `publish` give it its name, and removes the partial in every case. */
  async #write(
    body: Readable | Buffer,
    signal: AbortSignal | undefined,
    publish: (partial: string) => Promise<void>,
  ): Promise<number> {
    signal?.throwIfAborted();
    await (this.#cleaned ??= removeForgotten(this.#partials));
    const { path, handle } = await this.#attempt(() => openPartial(this.#partials));
    try {
      let bytes = 0;
      try {
        for await (const chunk of body instanceof Readable ? chunksOf(body, signal) : [body]) {
          await this.#attempt(() => handle.writeFile(chunk));
          bytes += chunk.byteLength;
        }
        // Written once: nobody, we included, opens it for writing again.
        await this.#attempt(() => handle.chmod(0o440));
        await this.#attempt(() => handle.sync());
      } finally {
        await this.#attempt(() => handle.close());
      }
      signal?.throwIfAborted();
      await publish(path);
      return bytes;
    } finally {
      await unlink(path).catch(() => undefined);
    }
  }

  async #linkOnce(partial: string, path: string, key: string): Promise<void> {
    await this.#attempt(() => makeFolder(dirname(path)));
    try {
      await this.#attempt(() => link(partial, path));
    } catch (error) {
      throw codeOf(error) === "EEXIST" ? new AlreadyExists(key) : error;
    }
    await this.#attempt(() => syncFolder(dirname(path)));
  }

  async #collect(prefix: string, folderKey: string, found: StoredObject[]): Promise<void> {
    const folder = join(this.#root, folderKey);
    const entries = await this.#attempt(() => readdir(folder, { withFileTypes: true })).catch((error: unknown) => {
      if (isAbsent(error)) return [];
      throw error;
    });
    for (const entry of entries) {
      const key = folderKey + entry.name;
      if (entry.name.startsWith(".")) continue;
      const versions = folderKey === controlPrefix && entry.isDirectory();
      if (entry.isFile() || versions) {
        if (!key.startsWith(prefix)) continue;
        const current = versions ? await this.#currentVersion(join(folder, entry.name)) : undefined;
        if (versions && current === undefined) continue;
        const path = current === undefined ? join(folder, entry.name) : versionPath(join(folder, entry.name), current);
        const file = await stat(path).catch(() => undefined);
        if (file !== undefined) found.push({ key, bytes: file.size });
      } else if (entry.isDirectory() && (key.startsWith(prefix) || prefix.startsWith(`${key}/`))) {
        await this.#collect(prefix, `${key}/`, found);
      }
    }
  }

  async #currentVersion(folder: string): Promise<number | undefined> {
    return (await this.#versions(folder)).at(-1);
  }

  async #forgetVersions(folder: string, upTo: number): Promise<void> {
    for (const version of await this.#versions(folder))
      if (version <= upTo) await unlink(versionPath(folder, version)).catch(() => undefined);
  }

  /** Ascending. */
  async #versions(folder: string): Promise<number[]> {
    try {
      const names = await this.#attempt(() => readdir(folder));
      return names
        .filter((name) => /^\d+$/.test(name))
        .map(Number)
        .sort((a, b) => a - b);
    } catch (error) {
      if (isAbsent(error)) return [];
      throw error;
    }
  }

  async #exists(path: string): Promise<boolean> {
    try {
      await this.#attempt(() => stat(path));
      return true;
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  }

  /** Like `handle.createReadStream()`, but what the file system says becomes a failure of the contract. */
  #streamOf(handle: FileHandle): Readable {
    const attempt = <T>(operation: () => Promise<T>) => this.#attempt(operation);
    return new Readable({
      highWaterMark: readBytes,
      read() {
        attempt(() => handle.read(Buffer.allocUnsafe(readBytes))).then(
          ({ bytesRead, buffer }) => this.push(bytesRead === 0 ? null : buffer.subarray(0, bytesRead)),
          (error: unknown) => this.destroy(error as Error),
        );
      },
      destroy(error, done) {
        handle.close().then(() => done(error), done);
      },
    });
  }

  #writeOncePath(key: string): string {
    assertWrittenOnce(key);
    return join(this.#root, key);
  }

  #mutableFolder(key: string): string {
    assertMutable(key);
    return join(this.#root, key);
  }

  async #attempt<T>(operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** What the file system said, as a failure of the contract; what callers handle themselves stays as it is. */
  #failure(error: unknown): unknown {
    const code = codeOf(error);
    if (code === undefined || code === "ENOENT" || code === "EEXIST") return error;
    const store = `store ${this.url}`;
    const unavailable = (found: string, hint?: string): Unavailable =>
      new Unavailable(`${store}: ${found}`, hint === undefined ? { cause: error } : { hint, cause: error });
    switch (isLink(error) && code === "EPERM" ? "ENOTSUP" : code) {
      case "ENOSPC":
        return unavailable("the disk is full", `free space on the file system of ${this.#root}`);
      case "EDQUOT":
        return unavailable("the disk quota is used up", `free space below ${this.#root}, or raise the quota`);
      case "EACCES":
      case "EPERM":
        return unavailable(
          `no permission in ${this.#root}`,
          `the folder must belong to the user that runs this (uid ${process.getuid?.() ?? "unknown"})`,
        );
      case "EROFS":
        return unavailable("its file system is mounted read-only", "mount it read-write, or use another store");
      // link(2) says EPERM, Linux's FUSE and network file systems ENOTSUP or ENOSYS, where there are no hard links.
      case "ENOTSUP":
      case "EOPNOTSUPP":
      case "ENOSYS":
        return unavailable(
          "its file system has no hard links, without which nothing can be written exactly once",
          "use a folder on a local file system, or an s3:// store",
        );
      case "ENOTDIR":
        return new UsageError(`${store}: a file is in the way of a folder below ${this.#root}`, {
          hint: "point the store at a folder of its own",
          cause: error,
        });
      default:
        return unavailable(`${code} from the file system of ${this.#root}`);
    }
  }
}

function versionPath(folder: string, version: number): string {
  return join(folder, String(version).padStart(12, "0"));
}

function isAbsent(error: unknown): boolean {
  return codeOf(error) === "ENOENT";
}

function isLink(error: unknown): boolean {
  return typeof error === "object" && error !== null && "syscall" in error && error.syscall === "link";
}

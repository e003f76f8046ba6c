/**
 * What the program needs of the place where backups lie. Implementations: `fileStore.ts`, `s3Store.ts`;
 * `openStore.ts` picks one by URL. Keys are written once; only `control/` is replaced, and only by
 * compare-and-swap, so two runs can never both believe that they own it.
 */
import type { Readable } from "node:stream";

export interface StoredObject {
  readonly key: string;
  readonly bytes: number;
}

/** A mutable object together with the version that a `swap` must name. */
export interface Versioned {
  readonly body: Buffer;
  readonly version: string;
}

/** What stands in the way of an object's removal, or is about to remove it. */
export interface Removability {
  /** Until when object lock keeps it; null: nothing keeps it. A legal hold has no end: `forever`. */
  readonly lockedUntil: Date | "forever" | null;
  /** Whether it carries the tag by which the bucket's lifecycle rule removes it. */
  readonly expiring: boolean;
}

export interface Store {
  /** `file:///dir` or `s3://bucket/prefix`; never holds a secret. */
  readonly url: string;

  /** Where a person's browser shows the object; undefined: nowhere that is known. */
  pageOf(key: string): string | undefined;

  /** What went wrong without stopping anything, one line each, oldest first: it belongs into receipts and results. */
  readonly warnings: readonly string[];

  /**
   * Writes a key, not below `control/`, that must not exist yet. The object becomes visible whole or not at
   * all: when `body` errors or `signal` aborts, nothing is left behind. `body` is always used up or destroyed.
   *
   * @returns the number of bytes written.
   * @throws AlreadyExists when the key is taken; Unavailable when the store cannot be written; the error of
   * `body` and the reason of `signal` as they are.
   */
  create(key: string, body: Readable | Buffer, signal?: AbortSignal): Promise<number>;

  /**
   * The object's bytes. A connection that breaks on the way is taken up again where it broke.
   *
   * @throws NotFound when the key does not exist; Unavailable, here or from the stream.
   */
  read(key: string): Promise<Readable>;

  /**
   * All objects whose key starts with `prefix` (empty: all), sorted by key. A folder that does not exist yet
   * lists as empty; a bucket that does not exist is Unavailable.
   */
  list(prefix: string): Promise<StoredObject[]>;

  /** A mutable object (`control/…`), or undefined when it does not exist. */
  readVersioned(key: string): Promise<Versioned | undefined>;

  /**
   * Replaces a mutable object (below `control/`) if its version is still `expected` (undefined: it must not
   * exist). Of any number of processes that name the same version exactly one gets a new one.
   *
   * @returns the new version, or undefined when somebody else was faster.
   */
  swap(key: string, body: Buffer, expected: string | undefined): Promise<string | undefined>;

  /** Undefined when the key does not exist. A folder has neither locks nor tags. */
  removability(key: string): Promise<Removability | undefined>;

  /**
   * Removes a file of a backup (below `backups/`; nothing else is ever removed). Done when this returns; one that
   * does not exist is fine. In a versioned bucket the version stays until the lifecycle rule for noncurrent ones.
   */
  remove(key: string): Promise<void>;

  /**
   * Leaves the removal of a file of a backup to the bucket's lifecycle rule, by the tag `expire=yes`.
   *
   * @throws UsageError where the store has no tags.
   */
  expire(key: string): Promise<void>;

  /**
   * Removes what killed runs left of objects that they never completed. Only for whoever knows that nobody else is
   * writing a stream to this store: the holder of the lock on backups. What cannot be removed is a warning.
   *
   * @returns how many unfinished objects were removed.
   */
  removeUnfinished(): Promise<number>;
}

/** The key exists already: somebody wrote it before us. */
export class AlreadyExists extends Error {
  constructor(readonly key: string) {
    super(`${key} exists already`);
  }
}

export class NotFound extends Error {
  constructor(readonly key: string) {
    super(`${key} does not exist`);
  }
}

/** The whole object as bytes; for small ones (manifests, receipts), never for archives. */
export async function readBytes(store: Store, key: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of await store.read(key)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

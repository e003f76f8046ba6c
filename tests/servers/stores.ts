/** Fresh, empty stores for tests: a folder and, on the shared S3 server, a prefix. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readlinkSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Store } from "../../scripts/store/store";
import { FileStore } from "../../scripts/store/fileStore";
import { smallestPart } from "../../scripts/store/parts";
import { S3Store } from "../../scripts/store/s3Store";
import { atEnd } from "./atEnd";
import { sharedSeaweed } from "./seaweedfs";

/** A folder that goes with the process, for one store. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "dbp-store-"));
  atEnd(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** How many files in a folder this process holds open. Linux only (`/proc/self/fd`). */
export function openFiles(folder: string): number {
  const held = readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the one that listed them
    }
  });
  return held.filter((path) => path.startsWith(`${folder}/`)).length;
}

/** `it` where {@link openFiles} can see. */
export const itSeesFiles = process.platform === "linux" ? it : it.skip;

export const testBucket = "dbp-store-tests";

let bucket: Promise<void> | undefined;

/** Makes the bucket, and sets this process's AWS variables to the shared server's. */
export async function useTestBucket(): Promise<void> {
  const server = await sharedSeaweed();
  Object.assign(process.env, server.env);
  bucket ??= server.createBucket(testBucket);
  await bucket;
}

export function freshPrefix(): string {
  return `t-${randomBytes(6).toString("hex")}`;
}

export interface StoreKind {
  readonly kind: "file" | "s3";
  /** A fresh, empty store. */
  make(): Promise<Store>;
}

export const storeKinds: readonly StoreKind[] = [
  { kind: "file", make: () => Promise.resolve(new FileStore(join(temporaryFolder(), "store"))) },
  {
    kind: "s3",
    make: async () => {
      await useTestBucket();
      // The smallest parts that S3 takes, so that a small stream is already a multipart upload.
      return new S3Store({ bucket: testBucket, prefix: freshPrefix(), parts: { shape: "fixed", bytes: smallestPart } });
    },
  },
];

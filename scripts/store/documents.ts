/**
 * How documents are kept in a store: JSON, written once, read back through a schema. A document that does
 * not parse is damage, never a default.
 */
import { createHash } from "node:crypto";
import type { z } from "zod";
import { Damage, messageOf } from "../contract/failure";
import { NotFound, type Store, readBytes } from "./store";

/** Two-space JSON with a final newline; the bytes whose SHA-256 identifies the document. */
export function encodeDocument(document: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(document, null, 2)}\n`);
}

export function sha256Of(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** @throws Damage when the bytes aren't JSON of that shape. */
export function decodeDocument<T extends z.ZodType>(schema: T, bytes: Buffer, where: string): z.output<T> {
  try {
    return schema.parse(JSON.parse(bytes.toString("utf8")));
  } catch (error) {
    throw new Damage(`${where} is damaged or of another version: ${messageOf(error).split("\n")[0] ?? ""}`, {
      cause: error,
    });
  }
}

/** @throws Damage as `decodeDocument`; undefined when the key does not exist. */
export async function readDocument<T extends z.ZodType>(
  store: Store,
  key: string,
  schema: T,
): Promise<z.output<T> | undefined> {
  try {
    return decodeDocument(schema, await readBytes(store, key), `${store.url}/${key}`);
  } catch (error) {
    if (error instanceof NotFound) return undefined;
    throw error;
  }
}

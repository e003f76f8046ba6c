/** The documents below `control/`: read with their version, changed only by compare-and-swap. */
import type { z } from "zod";
import { Unavailable } from "../contract/failure";
import { decodeDocument, encodeDocument } from "../store/documents";
import type { Store } from "../store/store";

export interface ControlDocument<T> {
  readonly document: T;
  readonly version: string;
}

/** Undefined when it was never written. @throws Damage when it is unreadable. */
export async function readControl<T extends z.ZodType>(
  store: Store,
  key: string,
  schema: T,
): Promise<ControlDocument<z.output<T>> | undefined> {
  const found = await store.readVersioned(key);
  if (found === undefined) return undefined;
  return { document: decodeDocument(schema, found.body, `${store.url}/${key}`), version: found.version };
}

/** @returns the new version, or undefined when somebody else was faster. */
export function swapControl(
  store: Store,
  key: string,
  document: unknown,
  expected: string | undefined,
): Promise<string | undefined> {
  return store.swap(key, encodeDocument(document), expected);
}

/** Others may change a document under our hands a few times; more often means that something is wrong. */
const changeAttempts = 20;

/**
 * Applies a change to whatever the document is by then. `change` may be called several times and returns what
 * to write, or undefined to leave it as it is.
 *
 * @throws whatever `change` throws; Unavailable when others keep changing it.
 */
export async function changeControl<T extends z.ZodType>(
  store: Store,
  key: string,
  schema: T,
  change: (current: z.output<T> | undefined) => z.output<T> | undefined,
): Promise<void> {
  for (let attempt = 0; attempt < changeAttempts; attempt++) {
    const current = await readControl(store, key, schema);
    const next = change(current?.document);
    if (next === undefined) return;
    if ((await swapControl(store, key, next, current?.version)) !== undefined) return;
  }
  throw new Unavailable(`${store.url}/${key} is changed by others all the time`, { hint: "run again" });
}

/** Opens a stored snapshot: by name, proven whole and ours, with the values inside where they are needed. */
import { z } from "zod";
import { Damage, UsageError, messageOf } from "../contract/failure";
import { registerSecret } from "../contract/redaction";
import { environmentKey } from "../store/layout";
import type { Store } from "../store/store";
import { readStoreIdentity } from "../store/storeIdentity";
import { type EnvironmentKeys, deriveKeys, readPassphrase } from "./digest";
import { type EnvironmentSnapshot, listSnapshots, readSnapshot } from "./snapshot";

/** What is needed to read and compare the snapshots of one store. */
export interface SnapshotAccess {
  readonly store: Store;
  readonly passphrase: string;
  readonly keys: EnvironmentKeys;
}

const sealedSchema = z.object({
  name: z.string(),
  acceptedAt: z.string(),
  variables: z.array(
    z.object({ name: z.string(), value: z.string(), source: z.string(), target: z.string(), kind: z.string() }),
  ),
});

export type SealedVariable = z.infer<typeof sealedSchema>["variables"][number];

/** @throws UsageError when the store holds nothing yet, or there is no passphrase. */
export async function snapshotAccess(store: Store, env: NodeJS.ProcessEnv = process.env): Promise<SnapshotAccess> {
  const identity = await readStoreIdentity(store);
  if (identity === undefined) {
    throw new UsageError(`${store.url}: found no store.json: expected a store with accepted snapshots`);
  }
  const passphrase = readPassphrase(env);
  return { store, passphrase, keys: await deriveKeys(passphrase, Buffer.from(identity.salt, "base64")) };
}

/**
 * @param name as it is stored, or `latest`: the baseline.
 * @throws UsageError when there is none of that name, or the passphrase is another one (exit 2). @throws Damage when it was
 *   truncated, altered or renamed (exit 4).
 */
export async function openSnapshot({ store, keys }: SnapshotAccess, name: string): Promise<EnvironmentSnapshot> {
  const names = await listSnapshots(store);
  const found = name === "latest" ? names.at(-1) : names.find((each) => each === name);
  if (found !== undefined) return readSnapshot(store, found, keys);
  throw new UsageError(`${JSON.stringify(name)}: found no such snapshot in ${store.url}: expected latest or its name`, {
    hint: names.length === 0 ? "none was accepted yet" : `the newest are ${names.slice(-5).reverse().join(", ")}`,
  });
}

/**
 * The values of a snapshot that `openSnapshot` gave. Each is registered as a secret before it is returned.
 *
 * @throws Damage when what is sealed is not what the snapshot says it is.
 */
export async function unseal(access: SnapshotAccess, snapshot: EnvironmentSnapshot): Promise<SealedVariable[]> {
  const { Decrypter, armor } = await import("age-encryption");
  const decrypter = new Decrypter();
  decrypter.addPassphrase(access.passphrase);
  const where = `${environmentKey(snapshot.name)} in ${access.store.url}`;
  let sealed: z.infer<typeof sealedSchema>;
  try {
    sealed = sealedSchema.parse(JSON.parse(await decrypter.decrypt(armor.decode(snapshot.sealed.armor), "text")));
  } catch (error) {
    // The passphrase is the right one: `readSnapshot` held it against the key check.
    throw new Damage(`${where} is damaged: its values cannot be opened (${messageOf(error)})`, { cause: error });
  }
  if (sealed.name !== snapshot.name || sealed.acceptedAt !== snapshot.acceptedAt) {
    throw new Damage(`${where} holds the values of ${sealed.name}: they were sealed into another snapshot`);
  }
  for (const { value, kind } of sealed.variables) if (kind === "secret") registerSecret(value);
  return sealed.variables;
}

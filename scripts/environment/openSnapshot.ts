/** Opens a stored snapshot: by name, proven whole and ours, with the values inside where they are needed. */
import { z } from "zod";
import { Damage, UsageError, messageOf } from "../contract/failure";
import { registerSecret } from "../contract/redaction";
import { environmentKey } from "../store/layout";
import type { Store } from "../store/store";
import { readStoreIdentity } from "../store/storeIdentity";
import { Keyring, readPassphrase } from "./keyring";
import { open } from "./sealing";
import { type EnvironmentSnapshot, type OpenedSnapshot, listSnapshots, readSnapshot } from "./snapshot";

/** What is needed to read and compare the snapshots of one store. */
export interface SnapshotAccess {
  readonly store: Store;
  readonly keyring: Keyring;
  /** Where `BACKUP_PASSPHRASE` is. */
  readonly env: NodeJS.ProcessEnv;
}

const sealedVariablesSchema = z.object({
  variables: z.array(
    z.object({ name: z.string(), value: z.string(), source: z.string(), target: z.string(), kind: z.string() }),
  ),
});

export type SealedVariable = z.infer<typeof sealedVariablesSchema>["variables"][number];

/** @throws UsageError when the store holds nothing yet. */
export async function snapshotAccess(
  store: Store,
  env: NodeJS.ProcessEnv = process.env,
  signal?: AbortSignal,
): Promise<SnapshotAccess> {
  const identity = await readStoreIdentity(store);
  if (identity === undefined) {
    throw new UsageError(`${store.url}: found no store.json: expected a store with accepted snapshots`);
  }
  return { store, keyring: new Keyring(identity, env, { signal }), env };
}

/**
 * @param name as it is stored, or `latest`: the baseline.
 * @throws UsageError when there is none of that name, there is no passphrase or it is another one (exit 2). @throws Damage
 *   when it was truncated, altered or renamed (exit 4). @throws Refusal and Unavailable as `Keyring.open` does.
 */
export async function openSnapshot({ store, keyring }: SnapshotAccess, name: string): Promise<OpenedSnapshot> {
  const names = await listSnapshots(store);
  const found = name === "latest" ? names.at(-1) : names.find((each) => each === name);
  if (found !== undefined) return readSnapshot(store, found, keyring);
  throw new UsageError(`${JSON.stringify(name)}: found no such snapshot in ${store.url}: expected latest or its name`, {
    hint: names.length === 0 ? "none was accepted yet" : `the newest are ${names.slice(-5).reverse().join(", ")}`,
  });
}

/**
 * The values of a snapshot that `openSnapshot` gave. Each is registered as a secret before it is returned.
 *
 * @throws Damage when what is sealed is not what the snapshot says it is.
 */
export async function unseal(access: SnapshotAccess, opened: OpenedSnapshot): Promise<SealedVariable[]> {
  const { snapshot } = opened;
  const where = `${environmentKey(snapshot.name)} in ${access.store.url}`;
  let variables: SealedVariable[];
  try {
    const text = snapshot.schemaVersion === 1 ? await openAge(access, snapshot) : openSealed(opened, snapshot);
    ({ variables } = sealedVariablesSchema.parse(JSON.parse(text)));
  } catch (error) {
    // The key is the right one: `readSnapshot` held it against the key check.
    throw new Damage(`${where} is damaged: its values cannot be opened (${messageOf(error)})`, { cause: error });
  }
  for (const { value, kind } of variables) if (kind === "secret") registerSecret(value);
  return variables;
}

function openSealed({ keys }: OpenedSnapshot, snapshot: EnvironmentSnapshot & { readonly schemaVersion: 2 }): string {
  return open(keys.sealingKey(snapshot.name), snapshot, snapshot.sealed);
}

/** As versions before schemaVersion 2 sealed them. */
async function openAge(
  { env }: SnapshotAccess,
  { name, acceptedAt, sealed }: EnvironmentSnapshot & { readonly schemaVersion: 1 },
): Promise<string> {
  const { Decrypter, armor } = await import("age-encryption");
  const decrypter = new Decrypter();
  decrypter.addPassphrase(readPassphrase(env));
  const text = await decrypter.decrypt(armor.decode(sealed.armor), "text");
  const inside = z.object({ name: z.string(), acceptedAt: z.string() }).parse(JSON.parse(text));
  if (inside.name !== name || inside.acceptedAt !== acceptedAt) throw new Error(`they were sealed as ${inside.name}`);
  return text;
}

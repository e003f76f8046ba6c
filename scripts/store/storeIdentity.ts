/**
 * Which database a store belongs to (`store.json`): written by the first run that writes to it, compared by
 * all others, so that one database's backups never mix with, or count as, another's.
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { Damage, UsageError } from "../contract/failure";
import { encodeDocument, readDocument } from "./documents";
import { storeIdentityKey } from "./layout";
import { ReplicatedStore, storesOf } from "./replicatedStore";
import { AlreadyExists, type Store } from "./store";

const storeIdentitySchema = z.object({
  schemaVersion: z.literal(1),
  database: z.object({
    /** `system_identifier` of `pg_control_system()`: 64 bits, hence text. */
    systemIdentifier: z.string().min(1),
    name: z.string().min(1),
  }),
  /** Base64 of 16 random bytes: salt of the scrypt key that the digests of environment variables are made with. */
  salt: z.base64().refine((text) => Buffer.from(text, "base64").length >= 16, "expected at least 16 bytes"),
  createdAt: z.iso.datetime(),
});

export type StoreIdentity = z.infer<typeof storeIdentitySchema>;
export type StoreDatabase = StoreIdentity["database"];

/**
 * Makes an unclaimed store this database's, or checks that it is already; of several stores each one.
 *
 * @throws UsageError when it belongs to another database; Damage when `store.json` is unreadable.
 */
export async function claimStore(
  store: Store,
  database: StoreDatabase,
  now: () => Date = () => new Date(),
): Promise<StoreIdentity> {
  const [first = store] = storesOf(store);
  const found = await claimOne(first, identityOf(database, now()));
  demandSame(first, found, database);
  // The first one's salt counts; the others only have to say that they are no other database's.
  if (store instanceof ReplicatedStore)
    await store.onOthers(async (other) => demandSame(other, await claimOne(other, found), database));
  return found;
}

/**
 * Reads only: a store that nobody has claimed yet is fine.
 *
 * @throws UsageError when it belongs to another database; Damage when `store.json` is unreadable.
 */
export async function demandOwnStore(store: Store, database: StoreDatabase): Promise<void> {
  const demand = async (one: Store): Promise<void> => {
    const found = await readStoreIdentity(one);
    if (found !== undefined) demandSame(one, found, database);
  };
  const [first = store] = storesOf(store);
  await demand(first);
  if (store instanceof ReplicatedStore) await store.onOthers(demand);
}

function demandSame(store: Store, found: StoreIdentity, database: StoreDatabase): void {
  if (found.database.systemIdentifier !== database.systemIdentifier || found.database.name !== database.name)
    throw new UsageError(
      `store ${store.url} belongs to database ${describe(found.database)}, but this one is ${describe(database)}`,
      { hint: "give every database a store (folder or prefix) of its own: BACKUP_STORE" },
    );
}

/**
 * Undefined when nobody has claimed the store yet.
 *
 * @throws Damage when `store.json` is unreadable.
 */
export async function readStoreIdentity(store: Store): Promise<StoreIdentity | undefined> {
  return readDocument(store, storeIdentityKey, storeIdentitySchema);
}

function identityOf(database: StoreDatabase, now: Date): StoreIdentity {
  return {
    schemaVersion: 1,
    database: { systemIdentifier: database.systemIdentifier, name: database.name },
    salt: randomBytes(16).toString("base64"),
    createdAt: now.toISOString(),
  };
}

/** The store's identity; the one given, where it had none. */
async function claimOne(store: Store, identity: StoreIdentity): Promise<StoreIdentity> {
  const found = await readStoreIdentity(store);
  if (found !== undefined) return found;
  try {
    await store.create(storeIdentityKey, encodeDocument(identity));
    return identity;
  } catch (error) {
    if (!(error instanceof AlreadyExists)) throw error;
    // Somebody claimed it since we looked; a written object is never gone again.
    const theirs = await readStoreIdentity(store);
    if (theirs === undefined) throw new Damage(`${store.url}/${storeIdentityKey} exists but cannot be read back`);
    return theirs;
  }
}

function describe(database: StoreDatabase): string {
  return `${database.name} (system identifier ${database.systemIdentifier})`;
}

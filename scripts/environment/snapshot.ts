/**
 * The accepted snapshot of the environment as it is stored: digests in the clear, for quick comparison, and
 * the values sealed beside them, for the day somebody needs them back. docs/restore-by-hand.md opens one without this program.
 *
 * The newest accepted snapshot is the baseline that the gate and the Pulumi program compare with.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { Damage, UsageError } from "../contract/failure";
import { type Acknowledgement, acknowledgementSchema } from "../settings";
import { compactUtc, environmentKey, environmentPrefix } from "../store/layout";
import { type Store, readBytes } from "../store/store";
import { type DigestedVariable, digestedVariableSchema, hasExpired } from "./compare";
import { type Keyring, type RootKey, type RootKeys, rootKeySchema } from "./keyring";
import { seal, sealedSchema } from "./sealing";
import type { Observation } from "./sources";

/** Raised when a reader of the old form would misread the new one. */
const schemaVersion = 2;

const common = {
  name: z.string(),
  /** ISO date-time, UTC, by the clock of the machine that accepted it. */
  acceptedAt: z.iso.datetime(),
  runId: z.string(),
  scope: z.array(z.object({ source: z.string(), target: z.string(), patterns: z.array(z.string()) })),
  variables: z.array(digestedVariableSchema),
  /** Acknowledgements that this snapshot or one before it made use of and that had not expired. */
  acknowledgements: z.array(acknowledgementSchema),
  keyCheck: z.string(),
  /** Of the whole document but this field: SHA-256 finds damage without any key, the MAC finds tampering. */
  integrity: z.object({ sha256: z.string(), mac: z.string() }),
};

const snapshotSchema = z.discriminatedUnion("schemaVersion", [
  z.object({
    schemaVersion: z.literal(schemaVersion),
    ...common,
    key: rootKeySchema,
    /** Inside a JSON document: the variables with their values. */
    sealed: sealedSchema,
  }),
  z.object({
    schemaVersion: z.literal(1),
    ...common,
    /** An armored age file, by passphrase; inside a JSON document: name, time and the variables with their values. */
    sealed: z.object({ format: z.literal("age"), armor: z.string() }),
  }),
]);

export type EnvironmentSnapshot = z.infer<typeof snapshotSchema>;

const namePattern = /^environment_(\d{8}T\d{6}Z)_[0-9a-f]{8}$/;

/** A snapshot that is proven whole and ours, with the keys that it was made with. */
export interface OpenedSnapshot {
  readonly snapshot: EnvironmentSnapshot;
  readonly keys: RootKeys;
}

/**
 * The newest accepted snapshot, or undefined when none was ever accepted.
 *
 * @throws Damage when it was truncated, altered or renamed.
 * @throws UsageError when it was made with another passphrase, or by a newer version of this program.
 * @throws Refusal and Unavailable as `Keyring.open` does.
 */
export async function readBaseline(store: Store, keyring: Keyring): Promise<OpenedSnapshot | undefined> {
  const newest = (await listSnapshots(store)).at(-1);
  return newest === undefined ? undefined : readSnapshot(store, newest, keyring);
}

/** Names, oldest first. */
export async function listSnapshots(store: Store): Promise<string[]> {
  const objects = await store.list(environmentPrefix);
  const names = objects.map(({ key }) => key.slice(environmentPrefix.length).replace(/\.json\.enc$/, ""));
  return names.filter((name) => namePattern.test(name));
}

/** @throws as `readBaseline` does. */
export async function readSnapshot(store: Store, name: string, keyring: Keyring): Promise<OpenedSnapshot> {
  const key = environmentKey(name);
  const bytes = await readBytes(store, key);
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new Damage(`${key} in ${store.url} is damaged: not a JSON document (${bytes.length} bytes)`);
  }
  const version = z.object({ schemaVersion: z.number() }).safeParse(document).data?.schemaVersion;
  if (version !== undefined && version > schemaVersion) {
    throw new UsageError(`${key}: found schemaVersion ${version}: this program reads up to ${schemaVersion}`, {
      hint: "it was written by a newer version of this program: update this one",
    });
  }
  const snapshot = snapshotSchema.safeParse(document).data;
  if (snapshot === undefined || sha256(contentOf(document)) !== snapshot.integrity.sha256) {
    throw new Damage(`${key} in ${store.url} is damaged: its content does not match its own SHA-256`);
  }
  const rootKey = keyOf(snapshot, keyring);
  const keys = await keyring.open(rootKey);
  if (snapshot.keyCheck !== keys.keyCheck) {
    // KMS gives the key that it wrapped, or none: only a passphrase can be the wrong one.
    if (rootKey.kind === "kms") throw new Damage(`${key} in ${store.url} was altered: its data key is another one`);
    throw new UsageError(`BACKUP_PASSPHRASE: found another passphrase than the one that ${key} was made with`, {
      hint: "use the store's passphrase; a new passphrase needs a new store",
    });
  }
  if (keys.authenticate(contentOf(document)) !== snapshot.integrity.mac || snapshot.name !== name) {
    throw new Damage(`${key} in ${store.url} was altered or renamed after it was accepted`);
  }
  return { snapshot, keys };
}

/** How the root key of a snapshot is had. */
export function keyOf(snapshot: EnvironmentSnapshot, keyring: Keyring): RootKey {
  return snapshot.schemaVersion === 1 ? keyring.ofPassphrase : snapshot.key;
}

export interface NewSnapshot {
  readonly observation: Observation;
  readonly digested: readonly DigestedVariable[];
  readonly baseline: EnvironmentSnapshot | undefined;
  /** Acknowledgements that let a change of this snapshot pass. */
  readonly acknowledgements: readonly Acknowledgement[];
  readonly runId: string;
  readonly now: Date;
}

/** Seals and stores a snapshot; from then on it is the baseline. Returns its name. */
export async function writeSnapshot(store: Store, keys: RootKeys, snapshot: NewSnapshot): Promise<string> {
  const name = nextName(snapshot.runId, snapshot.now, snapshot.baseline?.name);
  const acceptedAt = snapshot.now.toISOString();
  const earlier = snapshot.baseline?.acknowledgements ?? [];
  const document = {
    schemaVersion,
    name,
    acceptedAt,
    runId: snapshot.runId,
    scope: snapshot.observation.scope,
    variables: snapshot.digested,
    acknowledgements: [...earlier.filter((used) => !hasExpired(used, snapshot.now)), ...snapshot.acknowledgements],
    key: keys.rootKey,
    keyCheck: keys.keyCheck,
    sealed: seal(
      keys.sealingKey(name),
      { name, acceptedAt },
      JSON.stringify({ variables: snapshot.observation.variables }, null, 2),
    ),
  };
  const content = JSON.stringify(document);
  const integrity = { sha256: sha256(content), mac: keys.authenticate(content) };
  await store.create(environmentKey(name), Buffer.from(`${JSON.stringify({ ...document, integrity }, null, 2)}\n`));
  return name;
}

/**
 * Names sort in the order of acceptance. A name that the clock would put before the baseline's (same second,
 * or a machine whose clock is behind) takes the second after it: otherwise it would never become the baseline.
 */
function nextName(runId: string, now: Date, baselineName: string | undefined): string {
  const disambiguator = sha256(runId).slice(0, 8);
  const latest = baselineName === undefined ? undefined : namePattern.exec(baselineName)?.[1];
  const utc = compactUtc(now);
  const time = latest === undefined || utc > latest ? utc : compactUtc(new Date(parseCompactUtc(latest) + 1000));
  return `environment_${time}_${disambiguator}`;
}

function parseCompactUtc(text: string): number {
  return Date.parse(text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
}

/** What the integrity field speaks of. JSON.parse keeps the order of keys, so the text comes out as it went in. */
function contentOf(document: unknown): string {
  const content: Record<string, unknown> = { ...(document as object) };
  delete content["integrity"];
  return JSON.stringify(content);
}

function sha256(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}

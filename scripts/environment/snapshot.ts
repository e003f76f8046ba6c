/**
 * The accepted snapshot of the environment as it is stored: digests in the clear, for quick comparison, and
 * the values sealed beside them, for the day somebody needs them back.
 *
 * The values need none of our tools. With the stock `age` (https://age-encryption.org) and the passphrase:
 *
 *     jq -r .sealed.armor environment_20261122T170212Z_1f0c2b7a.json.enc | age -d
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
import type { EnvironmentKeys } from "./digest";
import type { Observation } from "./sources";

/** Raised when a reader of the old form would misread the new one. */
const schemaVersion = 1;

const snapshotSchema = z.object({
  schemaVersion: z.literal(schemaVersion),
  name: z.string(),
  /** ISO date-time, UTC, by the clock of the machine that accepted it. */
  acceptedAt: z.iso.datetime(),
  runId: z.string(),
  scope: z.array(z.object({ source: z.string(), target: z.string(), patterns: z.array(z.string()) })),
  variables: z.array(digestedVariableSchema),
  /** Acknowledgements that this snapshot or one before it made use of and that had not expired. */
  acknowledgements: z.array(acknowledgementSchema),
  /** `age`: an armored age file, by passphrase; inside a JSON document with name, time and the variables' values. */
  sealed: z.object({ format: z.literal("age"), armor: z.string() }),
  keyCheck: z.string(),
  /** Of the whole document but this field: SHA-256 finds damage without the passphrase, the MAC finds tampering. */
  integrity: z.object({ sha256: z.string(), mac: z.string() }),
});

export type EnvironmentSnapshot = z.infer<typeof snapshotSchema>;

const namePattern = /^environment_(\d{8}T\d{6}Z)_[0-9a-f]{8}$/;

/**
 * The newest accepted snapshot, or undefined when none was ever accepted.
 *
 * @throws Damage when it was truncated, altered or renamed.
 * @throws UsageError when it was made with another passphrase, or by a newer version of this program.
 */
export async function readBaseline(store: Store, keys: EnvironmentKeys): Promise<EnvironmentSnapshot | undefined> {
  const newest = (await listSnapshots(store)).at(-1);
  return newest === undefined ? undefined : readSnapshot(store, newest, keys);
}

/** Names, oldest first. */
export async function listSnapshots(store: Store): Promise<string[]> {
  const objects = await store.list(environmentPrefix);
  const names = objects.map(({ key }) => key.slice(environmentPrefix.length).replace(/\.json\.enc$/, ""));
  return names.filter((name) => namePattern.test(name));
}

/** @throws as `readBaseline` does. */
export async function readSnapshot(store: Store, name: string, keys: EnvironmentKeys): Promise<EnvironmentSnapshot> {
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
  if (snapshot.keyCheck !== keys.keyCheck) {
    throw new UsageError(`BACKUP_PASSPHRASE: found another passphrase than the one that ${key} was made with`, {
      hint: "use the store's passphrase; a new passphrase needs a new store",
    });
  }
  if (keys.authenticate(contentOf(document)) !== snapshot.integrity.mac || snapshot.name !== name) {
    throw new Damage(`${key} in ${store.url} was altered or renamed after it was accepted`);
  }
  return snapshot;
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
export async function writeSnapshot(
  store: Store,
  keys: EnvironmentKeys,
  passphrase: string,
  snapshot: NewSnapshot,
): Promise<string> {
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
    sealed: {
      format: "age",
      armor: await seal(
        JSON.stringify({ name, acceptedAt, variables: snapshot.observation.variables }, null, 2),
        passphrase,
      ),
    },
    keyCheck: keys.keyCheck,
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

/**
 * log2 of age's scrypt cost, as that of the digests: who guesses the passphrase would try the cheaper of the
 * two, and age's own default (18) costs this pure JavaScript 2.5 s.
 */
const sealWorkFactor = 16;

async function seal(text: string, passphrase: string): Promise<string> {
  // Loading it takes a third of this program's start, and few runs seal anything.
  const { Encrypter, armor } = await import("age-encryption");
  const encrypter = new Encrypter();
  encrypter.setScryptWorkFactor(sealWorkFactor);
  encrypter.setPassphrase(passphrase);
  return armor.encode(await encrypter.encrypt(text));
}

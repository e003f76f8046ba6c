/**
 * The root keys of a store's snapshots: made by scrypt from the passphrase, or a data key of AWS KMS. Each snapshot says
 * which it was made with, and that one opens it; what the environment says decides the next one. So a store moves from its
 * passphrase to KMS, or to another key of KMS, with the next accepted snapshot.
 */
import { scrypt } from "node:crypto";
import { z } from "zod";
import { Damage, UsageError } from "../contract/failure";
import { registerSecret } from "../contract/redaction";
import type { AwsPatience } from "../platforms/awsRequest";
import { type EncryptionContext, ForeignDataKey, generateDataKey, isKeyArn, openDataKey } from "../platforms/kms";
import type { StoreIdentity } from "../store/storeIdentity";
import { type EnvironmentKeys, deriveKeys } from "./digest";

/**
 * scrypt's cost: 64 MiB and 0.15 to 0.3 s here. It runs several times in every `pulumi up` (preview, gate,
 * provider), so it is one step below the 2^17 that OWASP's password storage cheat sheet gives for r = 8,
 * p = 1. Other numbers give other digests: a new `kind`.
 */
const cost = { N: 2 ** 16, r: 8, p: 1 } as const;

/** How the root key is had: what a snapshot says of it, in the clear. */
export const rootKeySchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("scrypt"),
    ...{ N: z.literal(cost.N), r: z.literal(cost.r), p: z.literal(cost.p) },
    /** The store's own, base64. */
    salt: z.base64(),
  }),
  z.object({
    kind: z.literal("kms"),
    keyArn: z.string().refine(isKeyArn),
    /** The data key as KMS wrapped it, base64. */
    wrapped: z.base64(),
    /** What KMS wants to be told with it. */
    context: z.record(z.string(), z.string()),
  }),
]);

export type RootKey = z.infer<typeof rootKeySchema>;

/** A root key with what follows from it. */
export interface RootKeys extends EnvironmentKeys {
  readonly rootKey: RootKey;
}

export class Keyring {
  readonly #identity: StoreIdentity;
  readonly #env: NodeJS.ProcessEnv;
  readonly #patience: AwsPatience;
  /** By what is said of them: each data key is one request to KMS. */
  readonly #opened = new Map<string, Promise<RootKeys>>();

  /** @param env where `BACKUP_PASSPHRASE` and `BACKUP_KMS_KEY` are. */
  constructor(identity: StoreIdentity, env: NodeJS.ProcessEnv, patience: AwsPatience = {}) {
    this.#identity = identity;
    this.#env = env;
    this.#patience = patience;
  }

  /** How a passphrase's root key is had in this store; snapshots of schemaVersion 1, which do not say, are all of this kind. */
  get ofPassphrase(): RootKey {
    return { kind: "scrypt", ...cost, salt: this.#identity.salt };
  }

  /**
   * The keys of a stored snapshot.
   *
   * @throws UsageError without a passphrase, or for a key of KMS that cannot be used; Refusal without the right to it.
   * @throws Unavailable when KMS does not answer. @throws Damage when KMS does not know the data key.
   */
  open(rootKey: RootKey): Promise<RootKeys> {
    const known = JSON.stringify(rootKey);
    const keys = this.#opened.get(known) ?? this.#open(rootKey);
    this.#opened.set(known, keys);
    return keys;
  }

  /**
   * The keys that the next snapshot is made with: `BACKUP_KMS_KEY` where it is set, else what the last one was made with.
   * Without a last one, KMS gives a new data key.
   *
   * @throws as `open`.
   */
  async next(last: RootKey | undefined): Promise<RootKeys> {
    const asked = readKeyArn(this.#env);
    if (last?.kind === "kms" && (asked === undefined || asked === last.keyArn)) return this.open(last);
    if (asked === undefined) return this.open(this.ofPassphrase);
    const context = this.#context();
    const { plain, wrapped } = await generateDataKey(asked, context, this.#patience);
    return { ...deriveKeys(plain), rootKey: { kind: "kms", keyArn: asked, wrapped, context } };
  }

  async #open(rootKey: RootKey): Promise<RootKeys> {
    if (rootKey.kind === "scrypt") {
      const root = await stretch(readPassphrase(this.#env), Buffer.from(rootKey.salt, "base64"));
      return { ...deriveKeys(root), rootKey };
    }
    try {
      const root = await openDataKey(rootKey.keyArn, rootKey.wrapped, rootKey.context, this.#patience);
      return { ...deriveKeys(root), rootKey };
    } catch (error) {
      if (!(error instanceof ForeignDataKey)) throw error;
      throw new Damage(`a snapshot's data key was changed: ${rootKey.keyArn} does not know it`);
    }
  }

  /** No name of a database: KMS allows a context few characters, and PostgreSQL a name any. */
  #context(): EncryptionContext {
    return {
      "dbprotect-purpose": "environment-snapshots",
      "dbprotect-system": this.#identity.database.systemIdentifier,
    };
  }
}

/** @throws UsageError when it is no ARN of a key. */
function readKeyArn(env: NodeJS.ProcessEnv): string | undefined {
  const text = env["BACKUP_KMS_KEY"] ?? "";
  if (text === "" || isKeyArn(text)) return text === "" ? undefined : text;
  throw new UsageError(
    `BACKUP_KMS_KEY: found ${JSON.stringify(text.slice(0, 120))}: expected arn:aws:kms:<region>:<account>:key/<id>`,
    { hint: "aws kms describe-key --key-id <alias> prints it; an alias could point to another key tomorrow" },
  );
}

/** The passphrase that seals snapshots and keys their digests. */
export function readPassphrase(env: NodeJS.ProcessEnv): string {
  const passphrase = env["BACKUP_PASSPHRASE"];
  if (passphrase === undefined || passphrase === "") {
    throw new UsageError("BACKUP_PASSPHRASE: found nothing: expected the passphrase of this store", {
      hint: "export BACKUP_PASSPHRASE, or put it into the stack's secret config; a new store can use BACKUP_KMS_KEY",
    });
  }
  registerSecret(passphrase);
  return passphrase;
}

/** By passphrase and salt, for the life of the process: a gate asks for the same one at each of its steps. */
const stretched = new Map<string, Promise<Buffer>>();

function stretch(passphrase: string, salt: Buffer): Promise<Buffer> {
  const asked = `${salt.toString("base64")} ${passphrase}`;
  const root =
    stretched.get(asked) ??
    new Promise<Buffer>((resolve, reject) => {
      const done = (error: Error | null, key: Buffer): void => (error === null ? resolve(key) : reject(error));
      scrypt(passphrase, salt, 32, { ...cost, maxmem: 2 ** 27 }, done);
    });
  stretched.set(asked, root);
  return root;
}

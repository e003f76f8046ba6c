/**
 * What the stand-in engine remembers of a stack between two runs: inputs and outputs per URN, as the real one
 * does, with every secret encrypted under a passphrase.
 */
import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { type Properties, asSecret, mapSecrets } from "./wire";

export interface ResourceState {
  readonly type: string;
  readonly id: string;
  readonly inputs: Properties;
  readonly outputs: Properties;
  readonly dependencies: readonly string[];
  readonly protect: boolean;
}

interface StateFile {
  readonly salt: string;
  readonly resources: Readonly<Record<string, ResourceState>>;
}

export class StackState {
  private constructor(
    private readonly file: string,
    private readonly salt: Buffer,
    private readonly key: Buffer,
    private readonly resources: Map<string, ResourceState>,
  ) {}

  /** @throws Error when the passphrase is not the one that the file was written with. */
  static open(file: string, passphrase: string): StackState {
    const stored = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as StateFile) : undefined;
    const salt = stored === undefined ? randomBytes(16) : Buffer.from(stored.salt, "base64");
    const key = keyFor(passphrase, salt);
    const resources = new Map<string, ResourceState>();
    for (const [urn, resource] of Object.entries(stored?.resources ?? {})) {
      resources.set(urn, {
        ...resource,
        inputs: decryptSecrets(resource.inputs, key) as Properties,
        outputs: decryptSecrets(resource.outputs, key) as Properties,
      });
    }
    return new StackState(file, salt, key, resources);
  }

  get(urn: string): ResourceState | undefined {
    return this.resources.get(urn);
  }

  /** Newest first, so that what depends on something comes before it. */
  urns(): string[] {
    return [...this.resources.keys()].reverse();
  }

  set(urn: string, resource: ResourceState): void {
    // Deleted first: a resource's place is where it was registered last.
    this.resources.delete(urn);
    this.resources.set(urn, resource);
    this.save();
  }

  delete(urn: string): void {
    this.resources.delete(urn);
    this.save();
  }

  private save(): void {
    const encrypt = (properties: Properties): Properties =>
      mapSecrets(properties, (secret) => encryptSecret(secret, this.key)) as Properties;
    const resources = Object.fromEntries(
      [...this.resources].map(([urn, resource]) => [
        urn,
        { ...resource, inputs: encrypt(resource.inputs), outputs: encrypt(resource.outputs) },
      ]),
    );
    mkdirSync(path.dirname(this.file), { recursive: true, mode: 0o700 });
    writeFileSync(`${this.file}.new`, JSON.stringify({ salt: this.salt.toString("base64"), resources }, undefined, 2), {
      mode: 0o600,
    });
    renameSync(`${this.file}.new`, this.file);
  }
}

/** By passphrase and salt: a stack is opened for each run, and deriving its key takes longer than reading it. */
const derivedKeys = new Map<string, Buffer>();

function keyFor(passphrase: string, salt: Buffer): Buffer {
  const name = `${salt.toString("base64")} ${passphrase}`;
  const key = derivedKeys.get(name) ?? scryptSync(passphrase, salt, 32);
  derivedKeys.set(name, key);
  return key;
}

/** Nothing else in a state has this key. */
const cipherKey = "stand-in:ciphertext";

function encryptSecret(secret: unknown, key: Buffer): Properties {
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  const text = Buffer.concat([cipher.update(JSON.stringify(secret), "utf8"), cipher.final()]);
  return { [cipherKey]: Buffer.concat([iv, cipher.getAuthTag(), text]).toString("base64") };
}

function decryptSecrets(value: unknown, key: Buffer): unknown {
  if (Array.isArray(value)) return value.map((part) => decryptSecrets(part, key));
  if (typeof value !== "object" || value === null) return value;
  const ciphertext = (value as Properties)[cipherKey];
  if (typeof ciphertext !== "string") {
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, decryptSecrets(part, key)]));
  }
  const bytes = Buffer.from(ciphertext, "base64");
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12));
  decipher.setAuthTag(bytes.subarray(12, 28));
  const text = Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString("utf8");
  return asSecret(JSON.parse(text) as unknown);
}

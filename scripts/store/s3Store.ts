/**
 * A store in an S3 bucket (`s3://bucket/prefix`). Every write is conditional: `If-None-Match: *` for what is
 * written once, `If-Match` for what is swapped. A server that ignores those would let two gates both win, so it
 * proves on an object of its own that it honours them before anything else is written to it.
 */
import { Readable } from "node:stream";
import type {
  GetObjectCommandOutput,
  ListMultipartUploadsCommandInput,
  MultipartUpload,
  Tag,
} from "@aws-sdk/client-s3";
import { UsageError, messageOf } from "../contract/failure";
import { chunksOf, orAbort } from "./chunks";
import { assertKey, assertMutable, assertRemovable, assertWrittenOnce } from "./layout";
import { type PartMemory, sharedPartMemory } from "./partMemory";
import { type PartLimits, type PartPolicy, partPolicy, partsOf } from "./parts";
import { type LockPolicy, objectLock } from "./objectLock";
import { type Loaded, type S3Access, S3Connection } from "./s3Connection";
import { isAbsent, isConditionRefused, statusOf } from "./s3Failure";
import { type S3Support, readObjectLock, s3Support } from "./s3Support";
import { type Encryption, type ObjectSettings, putObject, putOnce, uploadParts, writerOf } from "./s3Writes";
import { AlreadyExists, NotFound, type Removability, type Store, type StoredObject, type Versioned } from "./store";

/** How often in a row a read is tried without getting a byte further: with the pauses between, for 15 seconds. */
const readAttempts = 6;

/** What the lifecycle rule of the bucket that this project creates removes. */
const expireTag: Tag = { Key: "expire", Value: "yes" };

export interface S3StoreOptions extends S3Access {
  /** How uploads are cut. Default: as the server at the endpoint wants it. */
  readonly parts?: PartLimits;
  /** The KMS key that encrypts the objects: id, ARN or alias. Default: what the bucket says. */
  readonly kmsKeyId?: string | undefined;
  /** How long object lock keeps what is written. Default: as the bucket says. */
  readonly lock?: LockPolicy | undefined;
  /**
   * `nothing`: also a server that ignores conditional writes will do, because another store decides who writes what;
   * keys are then looked for before they are written. Default `conditions`.
   */
  readonly demand?: "conditions" | "nothing";
  /** Default: that of the process. */
  readonly memory?: PartMemory;
  /** Told each line of `warnings` as it comes up. */
  readonly onWarning?: ((line: string) => void) | undefined;
}

/** What the options do not say, region and credentials say where the AWS SDK always looks. */
export class S3Store implements Store {
  readonly #connection: S3Connection;
  readonly #parts: PartPolicy;
  readonly #encryption: Encryption;
  readonly #lock: LockPolicy | undefined;
  readonly #demand: "conditions" | "nothing";
  readonly #memory: PartMemory;
  readonly #warnings: string[] = [];
  readonly #onWarning: ((line: string) => void) | undefined;
  #support: Promise<S3Support> | undefined;

  constructor(options: S3StoreOptions) {
    this.#connection = new S3Connection(options);
    this.#parts = partPolicy(this.#connection.host, options.parts);
    const { kmsKeyId } = options;
    this.#encryption = kmsKeyId === undefined ? {} : { ServerSideEncryption: "aws:kms", SSEKMSKeyId: kmsKeyId };
    this.#lock = options.lock;
    this.#demand = options.demand ?? "conditions";
    this.#memory = options.memory ?? sharedPartMemory;
    this.#onWarning = options.onWarning;
  }

  get url(): string {
    return this.#connection.url;
  }

  pageOf(key: string): string | undefined {
    return this.#connection.pageOf(key);
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /**
   * What the server supports, tried at the first write to the store and recorded in it.
   *
   * @throws UsageError when it ignores a condition that is demanded, or has no object lock although one is to be set;
   *   Unavailable.
   */
  support(): Promise<S3Support> {
    this.#support ??= this.#findSupport().catch((error: unknown) => {
      this.#support = undefined;
      throw error;
    });
    return this.#support;
  }

  async #findSupport(): Promise<S3Support> {
    const support = await s3Support(this.#connection, this.#demand, this.#encryption);
    // What was recorded may be of before the bucket got its lock.
    if (this.#lock !== undefined && support.objectLock === "off" && (await readObjectLock(this.#connection)) === "off")
      throw new UsageError(`store ${this.url}: found lockMode=${this.#lock.mode}, but the bucket has no object lock`, {
        hint: "enable the bucket's object lock (it needs versioning), or leave lockMode and lockDays out",
      });
    return support;
  }

  #settingsOf(key: string): ObjectSettings {
    return { ...this.#encryption, ...objectLock(this.#lock, key, new Date()) };
  }

  async create(key: string, body: Readable | Buffer, signal?: AbortSignal): Promise<number> {
    assertWrittenOnce(key);
    // Until somebody iterates it, an early error of the stream must not count as unhandled.
    if (body instanceof Readable) body.on("error", () => undefined);
    try {
      signal?.throwIfAborted();
      const support = await orAbort(this.support(), signal);
      // Only to save the transfer where the last request's condition decides; where there is none, all there is.
      const looks = body instanceof Readable || !support.writeOnce;
      if (looks && (await writerOf(this.#connection, key, signal)) !== undefined) throw new AlreadyExists(key);
      if (body instanceof Readable) return await this.#upload(key, body, support, signal);
      return await this.#putOnce(key, body, support, signal);
    } catch (error) {
      // A request that was ended ends with an AbortError of its own, which says less than the signal's reason.
      signal?.throwIfAborted();
      throw error;
    } finally {
      if (body instanceof Readable) body.destroy();
    }
  }

  async read(key: string): Promise<Readable> {
    assertKey(key);
    const first = await this.#get(key);
    if (first === undefined) throw new NotFound(key);
    const state = { body: first.Body as Readable };
    const stream = Readable.from(this.#chunks(key, first, state), { objectMode: false });
    // Also when the reader gave up before its first read, when the generator has nothing to clean up yet.
    stream.once("close", () => state.body.destroy());
    return stream;
  }

  async list(prefix: string): Promise<StoredObject[]> {
    const found: StoredObject[] = [];
    let token: string | undefined;
    do {
      const page = await this.#send(({ sdk, client }) =>
        client.send(
          new sdk.ListObjectsV2Command({
            Bucket: this.#connection.bucket,
            Prefix: this.#connection.at(prefix).Key,
            ...(token !== undefined && { ContinuationToken: token }),
          }),
        ),
      );
      for (const object of page.Contents ?? [])
        found.push({ key: this.#connection.keyOf(object.Key ?? ""), bytes: object.Size ?? 0 });
      token = page.NextContinuationToken;
    } while (token !== undefined);
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async readVersioned(key: string): Promise<Versioned | undefined> {
    assertMutable(key);
    try {
      return await this.#connection.send(async ({ sdk, client }) => {
        const answer = await client.send(new sdk.GetObjectCommand(this.#connection.at(key)));
        return { body: Buffer.from((await answer.Body?.transformToByteArray()) ?? []), version: answer.ETag ?? "" };
      });
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw this.#connection.failure(error);
    }
  }

  async swap(key: string, body: Buffer, expected: string | undefined): Promise<string | undefined> {
    assertMutable(key);
    const { swap, writeOnce } = await this.support();
    if (!swap || !writeOnce) throw new Error(`${this.url} cannot swap: it is no store of its own`);
    const condition = expected === undefined ? { IfNoneMatch: "*" } : { IfMatch: expected };
    try {
      const { version } = await putObject(this.#connection, key, body, { ...condition, ...this.#encryption });
      return version;
    } catch (error) {
      // `If-Match` on an object that is gone is 404.
      if (isConditionRefused(error) || isAbsent(error)) return undefined;
      throw this.#connection.failure(error);
    }
  }

  async removability(key: string): Promise<Removability | undefined> {
    assertKey(key);
    try {
      const head = await this.#connection.send(({ sdk, client }) =>
        client.send(new sdk.HeadObjectCommand(this.#connection.at(key))),
      );
      const { ObjectLockRetainUntilDate: until, ObjectLockLegalHoldStatus: hold } = head;
      const lockedUntil = hold === "ON" ? "forever" : until !== undefined && until > new Date() ? until : null;
      return { lockedUntil, expiring: (await this.#tagsOf(key)).some(isExpireTag) };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw this.#connection.failure(error);
    }
  }

  async remove(key: string): Promise<void> {
    assertRemovable(key);
    await this.#send(({ sdk, client }) => client.send(new sdk.DeleteObjectCommand(this.#connection.at(key))));
  }

  async expire(key: string): Promise<void> {
    assertRemovable(key);
    try {
      const others = (await this.#tagsOf(key)).filter(({ Key }) => Key !== expireTag.Key);
      const tagging = { TagSet: [...others, expireTag] };
      await this.#connection.send(({ sdk, client }) =>
        client.send(new sdk.PutObjectTaggingCommand({ ...this.#connection.at(key), Tagging: tagging })),
      );
    } catch (error) {
      if (isAbsent(error)) return;
      if (statusOf(error) === 501)
        throw new UsageError(`store ${this.url}: ${this.#connection.host} has no object tags`, {
          hint: "set retention.removal: delete",
        });
      throw this.#connection.failure(error);
    }
  }

  async removeUnfinished(): Promise<number> {
    let removed = 0;
    try {
      for await (const { Key, UploadId } of this.#unfinished()) {
        const upload = { Bucket: this.#connection.bucket, Key, UploadId };
        await this.#connection
          .send(({ sdk, client }) => client.send(new sdk.AbortMultipartUploadCommand(upload)))
          // Gone since it was listed.
          .catch((error: unknown) => {
            if (statusOf(error) !== 404) throw error;
          });
        removed += 1;
      }
    } catch (error) {
      const failure = this.#connection.failure(error);
      // They cost money and harm nothing; whether the store can be written at all, the next write says.
      const line = `unfinished uploads were not removed: ${messageOf(failure)}`;
      this.#warnings.push(line);
      this.#onWarning?.(line);
    }
    return removed;
  }

  async *#unfinished(): AsyncGenerator<MultipartUpload> {
    const place = { Bucket: this.#connection.bucket, Prefix: this.#connection.at("").Key };
    let next: ListMultipartUploadsCommandInput | undefined = place;
    while (next !== undefined) {
      const input: ListMultipartUploadsCommandInput = next;
      const page = await this.#send(({ sdk, client }) => client.send(new sdk.ListMultipartUploadsCommand(input)));
      yield* page.Uploads ?? [];
      next = page.IsTruncated
        ? { ...place, KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
        : undefined;
    }
  }

  /** @throws the SDK's error. */
  async #tagsOf(key: string): Promise<Tag[]> {
    try {
      const { TagSet } = await this.#connection.send(({ sdk, client }) =>
        client.send(new sdk.GetObjectTaggingCommand(this.#connection.at(key))),
      );
      return TagSet ?? [];
    } catch (error) {
      // A server without tags has none to show.
      if (statusOf(error) === 501) return [];
      throw error;
    }
  }

  async #putOnce(key: string, body: Buffer, support: S3Support, signal: AbortSignal | undefined): Promise<number> {
    const condition = support.writeOnce ? { IfNoneMatch: "*" } : {};
    try {
      await putOnce(this.#connection, key, body, { ...condition, ...this.#settingsOf(key) }, signal);
      return body.byteLength;
    } catch (error) {
      throw statusOf(error) === 412 ? new AlreadyExists(key) : this.#connection.failure(error);
    }
  }

  async #upload(key: string, body: Readable, support: S3Support, signal: AbortSignal | undefined): Promise<number> {
    const memory = this.#memory.open();
    try {
      const chunks = chunksOf(body, signal);
      const parts = partsOf(chunks, this.#parts.sizeOf, (bytes) => memory.take(bytes, signal));
      const first = await parts.next();
      // A generator that yields before it returns: `done` cannot be.
      if (first.done === true) throw new Error("a stream without parts");
      if (first.value.last) {
        try {
          return await this.#putOnce(key, first.value.bytes, support, signal);
        } finally {
          first.value.giveBack();
        }
      }
      return await uploadParts(this.#connection, {
        key,
        body,
        first: first.value,
        others: parts,
        policy: this.#parts,
        settings: this.#settingsOf(key),
        condition: support.completeOnce ? { IfNoneMatch: "*" } : {},
        signal,
      });
    } finally {
      memory.close();
    }
  }

  async *#chunks(
    key: string,
    first: GetObjectCommandOutput,
    state: { body: Readable },
  ): AsyncGenerator<Buffer, void, undefined> {
    let offset = 0;
    let failures = 0;
    let chunks: AsyncIterator<Buffer> | undefined = state.body[Symbol.asyncIterator]();
    for (;;) {
      let chunk: IteratorResult<Buffer, unknown>;
      // Not around the yield: an error that the reader throws in must not count as one of the connection.
      try {
        if (chunks === undefined) {
          const rest = await this.#get(key, { Range: `bytes=${offset}-`, IfMatch: first.ETag });
          if (rest === undefined) throw new NotFound(key);
          state.body = rest.Body as Readable;
          chunks = state.body[Symbol.asyncIterator]();
        }
        chunk = await chunks.next();
      } catch (error) {
        if (offset === first.ContentLength) return;
        failures += 1;
        if (failures === readAttempts || error instanceof NotFound) throw this.#connection.failure(error);
        chunks = undefined;
        await this.#connection.pause(failures);
        continue;
      }
      if (chunk.done === true) return;
      failures = 0;
      offset += chunk.value.byteLength;
      yield chunk.value;
    }
  }

  /** Undefined when there is no such object. */
  async #get(
    key: string,
    options: { Range?: string; IfMatch?: string | undefined } = {},
  ): Promise<GetObjectCommandOutput | undefined> {
    try {
      return await this.#connection.send(({ sdk, client }) =>
        client.send(new sdk.GetObjectCommand({ ...this.#connection.at(key), ...options })),
      );
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw this.#connection.failure(error);
    }
  }

  async #send<T>(request: (loaded: Loaded) => Promise<T>): Promise<T> {
    try {
      return await this.#connection.send(request);
    } catch (error) {
      throw this.#connection.failure(error);
    }
  }
}

function isExpireTag({ Key, Value }: Tag): boolean {
  return Key === expireTag.Key && Value === expireTag.Value;
}

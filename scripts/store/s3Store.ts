/**
 * A store in an S3 bucket (`s3://bucket/prefix`). Every write is conditional: `If-None-Match: *` for what is
 * written once, `If-Match` for what is swapped. A server that ignores those would let two gates both win, so
 * the first write of a process proves on an object of its own that the server honours them.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Readable } from "node:stream";
import type { CompletedPart, GetObjectCommandOutput, PutObjectCommandInput, S3Client, Tag } from "@aws-sdk/client-s3";
import { Unavailable, UsageError } from "../contract/failure";
import { chunksOf, orAbort } from "./chunks";
import { assertKey, assertMutable, assertRemovable, assertWrittenOnce, controlPrefix } from "./layout";
import { type Part, mostParts, partBytes, partsOf } from "./parts";
import { isAbsent, isConditionRefused, s3Failure, statusOf } from "./s3Failure";
import { AlreadyExists, NotFound, type Removability, type Store, type StoredObject, type Versioned } from "./store";

type Sdk = typeof import("@aws-sdk/client-s3");

/** Parts under way at once, and the bytes that they may hold together unless one alone holds more. */
const partsInFlight = 4;
const bytesInFlight = 128 * 1024 * 1024;

/** How often in a row a read is tried without getting a byte further: with the pauses between, for 15 seconds. */
const readAttempts = 6;

/** How often a write is repeated that collided with another one (409 ConditionalRequestConflict). */
const conflictAttempts = 4;

/** What the lifecycle rule of the bucket that this project creates removes. */
const expireTag: Tag = { Key: "expire", Value: "yes" };

const probeKey = `${controlPrefix}conditional-writes.txt`;
const probeBody = Buffer.from("Written to prove that this S3 server honours conditional writes.\n");

export interface S3StoreOptions {
  readonly bucket: string;
  /** Without slashes at its ends; may be empty. */
  readonly prefix: string;
  /** Bytes of the part with this number; the default is right, tests take less. */
  readonly partBytes?: (number: number) => number;
  /** Milliseconds before a broken read is taken up again, doubled at every failure in a row. Default 500. */
  readonly pauseMilliseconds?: number;
}

/** Region, credentials and endpoint come from where the AWS SDK always looks: environment, profile, instance. */
export class S3Store implements Store {
  readonly url: string;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #endpoint: string | undefined;
  readonly #host: string;
  readonly #partBytes: (number: number) => number;
  readonly #pauseMilliseconds: number;
  #loaded: Promise<{ sdk: Sdk; client: S3Client }> | undefined;
  #conditions: Promise<void> | undefined;
  #multipartCondition: Promise<void> | undefined;

  /** @throws UsageError when AWS_ENDPOINT_URL_S3 is no http(s) URL. */
  constructor(options: S3StoreOptions) {
    this.#bucket = options.bucket;
    this.#prefix = options.prefix === "" ? "" : `${options.prefix}/`;
    this.url = `s3://${options.bucket}${options.prefix === "" ? "" : `/${options.prefix}`}`;
    this.#endpoint = customEndpoint();
    this.#host = this.#endpoint === undefined ? "AWS S3" : new URL(this.#endpoint).host;
    this.#partBytes = options.partBytes ?? partBytes;
    this.#pauseMilliseconds = options.pauseMilliseconds ?? 500;
  }

  async create(key: string, body: Readable | Buffer, signal?: AbortSignal): Promise<number> {
    assertWrittenOnce(key);
    // Until somebody iterates it, an early error of the stream must not count as unhandled.
    if (body instanceof Readable) body.on("error", () => undefined);
    try {
      signal?.throwIfAborted();
      await orAbort(this.#proveConditions(), signal);
      if (!(body instanceof Readable)) {
        await this.#putOnce(key, body, signal);
        return body.byteLength;
      }
      // Only to save the transfer: what decides is the condition of the last request.
      if ((await orAbort(this.#writerOf(key), signal)) !== undefined) throw new AlreadyExists(key);
      return await this.#upload(key, body, signal);
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
            Bucket: this.#bucket,
            Prefix: this.#prefix + prefix,
            ...(token !== undefined && { ContinuationToken: token }),
          }),
        ),
      );
      for (const object of page.Contents ?? [])
        found.push({ key: (object.Key ?? "").slice(this.#prefix.length), bytes: object.Size ?? 0 });
      token = page.NextContinuationToken;
    } while (token !== undefined);
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async readVersioned(key: string): Promise<Versioned | undefined> {
    assertMutable(key);
    const answer = await this.#get(key);
    if (answer === undefined) return undefined;
    try {
      return { body: Buffer.from((await answer.Body?.transformToByteArray()) ?? []), version: answer.ETag ?? "" };
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async swap(key: string, body: Buffer, expected: string | undefined): Promise<string | undefined> {
    assertMutable(key);
    await this.#proveConditions();
    const condition = expected === undefined ? { IfNoneMatch: "*" } : { IfMatch: expected };
    try {
      return await this.#put(key, body, condition);
    } catch (error) {
      // `If-Match` on an object that is gone is 404.
      if (isConditionRefused(error) || isAbsent(error)) return undefined;
      throw this.#failure(error);
    }
  }

  async removability(key: string): Promise<Removability | undefined> {
    assertKey(key);
    try {
      const { sdk, client } = await this.#load();
      const head = await client.send(new sdk.HeadObjectCommand(this.#at(key)));
      const { ObjectLockRetainUntilDate: until, ObjectLockLegalHoldStatus: hold } = head;
      const lockedUntil = hold === "ON" ? "forever" : until !== undefined && until > new Date() ? until : null;
      return { lockedUntil, expiring: (await this.#tagsOf(key)).some(isExpireTag) };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw this.#failure(error);
    }
  }

  async remove(key: string): Promise<void> {
    assertRemovable(key);
    await this.#send(({ sdk, client }) => client.send(new sdk.DeleteObjectCommand(this.#at(key))));
  }

  async expire(key: string): Promise<void> {
    assertRemovable(key);
    try {
      const { sdk, client } = await this.#load();
      const others = (await this.#tagsOf(key)).filter(({ Key }) => Key !== expireTag.Key);
      const tagging = { TagSet: [...others, expireTag] };
      await client.send(new sdk.PutObjectTaggingCommand({ ...this.#at(key), Tagging: tagging }));
    } catch (error) {
      if (isAbsent(error)) return;
      if (statusOf(error) === 501)
        throw new UsageError(`store ${this.url}: ${this.#host} has no object tags`, {
          hint: "set retention.removal: delete",
        });
      throw this.#failure(error);
    }
  }

  /** @throws the SDK's error. */
  async #tagsOf(key: string): Promise<Tag[]> {
    const { sdk, client } = await this.#load();
    try {
      return (await client.send(new sdk.GetObjectTaggingCommand(this.#at(key)))).TagSet ?? [];
    } catch (error) {
      // A server without tags has none to show.
      if (statusOf(error) === 501) return [];
      throw error;
    }
  }

  async #putOnce(key: string, body: Buffer, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#put(key, body, { IfNoneMatch: "*" }, signal);
    } catch (error) {
      throw statusOf(error) === 412 ? new AlreadyExists(key) : this.#failure(error);
    }
  }

  /**
   * One conditional write. A repeated request whose first try had arrived after all meets its own object: the
   * mark of the writer in its metadata tells that from somebody else's.
   *
   * @returns the entity tag.
   * @throws the SDK's error.
   */
  async #put(
    key: string,
    body: Buffer,
    condition: Pick<PutObjectCommandInput, "IfMatch" | "IfNoneMatch">,
    signal?: AbortSignal,
  ): Promise<string> {
    const { sdk, client } = await this.#load();
    const writer = randomUUID();
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await client.send(
          new sdk.PutObjectCommand({ ...this.#at(key), Body: body, Metadata: { writer }, ...condition }),
          signal === undefined ? {} : { abortSignal: signal },
        );
        return answer.ETag ?? "";
      } catch (error) {
        if (signal?.aborted === true) throw error;
        const mine = isUnclear(error) ? await this.#writerOf(key).catch(() => undefined) : undefined;
        if (mine?.writer === writer) return mine.version;
        if (statusOf(error) !== 409 || attempt === conflictAttempts) throw error;
        await sleep(100 * attempt * (1 + Math.random()));
      }
    }
  }

  async #upload(key: string, body: Readable, signal: AbortSignal | undefined): Promise<number> {
    const parts = partsOf(chunksOf(body, signal), this.#partBytes);
    const first = await parts.next();
    // A generator that yields before it returns: `done` cannot be.
    if (first.done === true) throw new Error("a stream without parts");
    if (first.value.last) {
      await this.#putOnce(key, first.value.bytes, signal);
      return first.value.bytes.byteLength;
    }
    await orAbort(this.#proveMultipartCondition(), signal);
    return this.#uploadParts(key, first.value, parts, body, signal);
  }

  /**
   * lib-storage's `Upload` is not used: its parts cannot grow, and when aborted it returns before it has taken
   * the upload back.
   */
  async #uploadParts(
    key: string,
    first: Part,
    others: AsyncIterable<Part>,
    body: Readable,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const { sdk, client } = await this.#load();
    const options = signal === undefined ? {} : { abortSignal: signal };
    const writer = randomUUID();
    const started = await this.#send(() =>
      client.send(
        new sdk.CreateMultipartUploadCommand({
          ...this.#at(key),
          ChecksumAlgorithm: "CRC32",
          Metadata: { writer },
        }),
        options,
      ),
    );
    const upload = { ...this.#at(key), UploadId: started.UploadId };
    const underWay = new Map<number, Promise<void>>();
    const sent: CompletedPart[] = [];
    let total = 0;
    let inFlight = 0;
    let completing = false;

    const send = async ({ number, bytes }: Part): Promise<void> => {
      try {
        const answer = await client.send(
          new sdk.UploadPartCommand({ ...upload, PartNumber: number, Body: bytes, ChecksumAlgorithm: "CRC32" }),
          options,
        );
        sent.push({ PartNumber: number, ETag: answer.ETag, ChecksumCRC32: answer.ChecksumCRC32 });
      } catch (error) {
        const failure = this.#failure(error);
        // Whoever produces the stream may wait for us: end it, and with it the loop below.
        body.destroy(failure as Error);
        throw failure;
      } finally {
        inFlight -= bytes.byteLength;
        underWay.delete(number);
      }
    };

    const enqueue = async (part: Part): Promise<void> => {
      if (part.number > mostParts) throw new Unavailable(`${key} is larger than an S3 object may be`);
      while (underWay.size >= partsInFlight || (underWay.size > 0 && inFlight + part.bytes.byteLength > bytesInFlight))
        await Promise.race(underWay.values());
      total += part.bytes.byteLength;
      inFlight += part.bytes.byteLength;
      const sending = send(part);
      // Its error is met again by whoever waits for it, at the latest before the end.
      sending.catch(() => undefined);
      underWay.set(part.number, sending);
    };

    try {
      await enqueue(first);
      for await (const part of others) await enqueue(part);
      await Promise.all(underWay.values());
      sent.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
      completing = true;
      await client.send(
        new sdk.CompleteMultipartUploadCommand({ ...upload, IfNoneMatch: "*", MultipartUpload: { Parts: sent } }),
        options,
      );
      return total;
    } catch (error) {
      // As in #put: the completion may have arrived although its answer did not.
      if (completing && isUnclear(error)) {
        const found = await this.#writerOf(key).catch(() => undefined);
        if (found?.writer === writer) return total;
      }
      // A part that arrives after the upload was taken back would stay, and cost, for ever.
      await Promise.allSettled(underWay.values());
      // What cannot be taken back now (the server is gone), the bucket's lifecycle rule for unfinished uploads removes.
      await client.send(new sdk.AbortMultipartUploadCommand(upload)).catch(() => undefined);
      throw statusOf(error) === 412 ? new AlreadyExists(key) : this.#failure(error);
    }
  }

  /** The writer's mark and the version of an object, or undefined when there is none. */
  async #writerOf(key: string): Promise<{ writer: string | undefined; version: string } | undefined> {
    try {
      const { sdk, client } = await this.#load();
      const head = await client.send(new sdk.HeadObjectCommand(this.#at(key)));
      return { writer: head.Metadata?.["writer"], version: head.ETag ?? "" };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw this.#failure(error);
    }
  }

  #proveConditions(): Promise<void> {
    this.#conditions ??= this.#probe().catch((error: unknown) => {
      this.#conditions = undefined;
      throw error;
    });
    return this.#conditions;
  }

  /** Two small requests once the probe object exists, both of which an honest server refuses. */
  async #probe(): Promise<void> {
    const { sdk, client } = await this.#load();
    const refuses = async (condition: Pick<PutObjectCommandInput, "IfMatch" | "IfNoneMatch">): Promise<boolean> =>
      this.#refused(() =>
        client.send(new sdk.PutObjectCommand({ ...this.#at(probeKey), Body: probeBody, ...condition })),
      );
    const once = { IfNoneMatch: "*" };
    // The first probe of a store writes the object; only the second can be refused.
    if (!(await refuses(once)) && !(await refuses(once))) throw this.#dishonest("If-None-Match");
    if (!(await refuses({ IfMatch: '"00000000000000000000000000000000"' }))) throw this.#dishonest("If-Match");
  }

  #proveMultipartCondition(): Promise<void> {
    this.#multipartCondition ??= this.#probeMultipart().catch((error: unknown) => {
      this.#multipartCondition = undefined;
      throw error;
    });
    return this.#multipartCondition;
  }

  /** Some servers honour the condition of a plain write but not of a completed upload. */
  async #probeMultipart(): Promise<void> {
    const { sdk, client } = await this.#load();
    const started = await this.#send(() => client.send(new sdk.CreateMultipartUploadCommand(this.#at(probeKey))));
    const upload = { ...this.#at(probeKey), UploadId: started.UploadId };
    const refused = await this.#refused(async () => {
      const part = await client.send(new sdk.UploadPartCommand({ ...upload, PartNumber: 1, Body: probeBody }));
      await client.send(
        new sdk.CompleteMultipartUploadCommand({
          ...upload,
          IfNoneMatch: "*",
          MultipartUpload: { Parts: [{ PartNumber: 1, ETag: part.ETag }] },
        }),
      );
    }).finally(() => client.send(new sdk.AbortMultipartUploadCommand(upload)).catch(() => undefined));
    if (!refused) throw this.#dishonest("If-None-Match on CompleteMultipartUpload");
  }

  async #refused(write: () => Promise<unknown>): Promise<boolean> {
    try {
      await write();
      return false;
    } catch (error) {
      // 404: what `If-Match` names is not there. 501: the server says itself that it can't.
      if (isConditionRefused(error) || isAbsent(error)) return true;
      if (statusOf(error) === 501) return false;
      throw this.#failure(error);
    }
  }

  #dishonest(condition: string): UsageError {
    return new UsageError(
      `store ${this.url}: ${this.#host} ignores ${condition}, so two runs could overwrite each other's objects`,
      { hint: "use AWS S3 or another server that honours conditional writes, or a file:// store" },
    );
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
        if (failures === readAttempts || error instanceof NotFound) throw this.#failure(error);
        chunks = undefined;
        await sleep(this.#pauseMilliseconds * 2 ** (failures - 1));
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
      const { sdk, client } = await this.#load();
      return await client.send(new sdk.GetObjectCommand({ ...this.#at(key), ...options }));
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw this.#failure(error);
    }
  }

  async #send<T>(request: (loaded: { sdk: Sdk; client: S3Client }) => Promise<T>): Promise<T> {
    try {
      return await request(await this.#load());
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** The SDK takes a quarter of a second to load: only whoever has an S3 store pays for it. */
  #load(): Promise<{ sdk: Sdk; client: S3Client }> {
    this.#loaded ??= import("@aws-sdk/client-s3").then((sdk) => ({
      sdk,
      client: new sdk.S3Client({
        // Buckets as host names need wildcard DNS, which only AWS has for sure.
        ...(this.#endpoint !== undefined && { endpoint: this.#endpoint, forcePathStyle: true }),
        // Without these an endpoint that swallows packets would hang us for ever.
        requestHandler: { connectionTimeout: 5_000, socketTimeout: 60_000 },
        // Every reader checks SHA-256s of its own; the SDK's check of streams would hide broken connections from us.
        responseChecksumValidation: "WHEN_REQUIRED",
      }),
    }));
    return this.#loaded;
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  #failure(error: unknown): unknown {
    return s3Failure(error, { url: this.url, bucket: this.#bucket, host: this.#host });
  }
}

/** Whether a write may have happened although it was answered by this error. */
function isUnclear(error: unknown): boolean {
  const status = statusOf(error);
  return status === undefined || status >= 500 || status === 412 || status === 409 || status === 404;
}

function isExpireTag({ Key, Value }: Tag): boolean {
  return Key === expireTag.Key && Value === expireTag.Value;
}

function customEndpoint(): string | undefined {
  for (const name of ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]) {
    const value = process.env[name];
    if (value === undefined || value === "") continue;
    if (!/^https?:\/\/[^/@]+(\/[^@]*)?$/.test(value) || !URL.canParse(value))
      throw new UsageError(`${name}: found something else than http(s)://host[:port] (without credentials)`, {
        hint: "for example https://s3.example.com:9000",
      });
    return value;
  }
  return undefined;
}

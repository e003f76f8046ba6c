/**
 * Requests to an S3 server: where it is, whose credentials, and how long to insist. The SDK repeats a failed request
 * twice within a second; a long upload must outlive more than that, and credentials that are replaced meanwhile.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { S3Client } from "@aws-sdk/client-s3";
import { UsageError } from "../contract/failure";
import { isExpired, isTransient, nameOf, s3Failure, statusOf } from "./s3Failure";

type Sdk = typeof import("@aws-sdk/client-s3");

export interface Loaded {
  readonly sdk: Sdk;
  readonly client: S3Client;
}

export interface S3Access {
  readonly bucket: string;
  /** Without slashes at its ends; may be empty. */
  readonly prefix: string;
  /** `http(s)://host[:port]`; default: `AWS_ENDPOINT_URL_S3`, else what the SDK derives from the region. */
  readonly endpoint?: string | undefined;
  /** Default: `AWS_REGION`, or that of the profile. */
  readonly region?: string | undefined;
  /** The AWS profile whose credentials and region count; default: the environment's. */
  readonly profile?: string | undefined;
  /** Seconds without a byte in either direction after which a request is given up and repeated. Default 60. */
  readonly stallSeconds?: number;
  /** Seconds of silence after which a request is repeated no more. Default 170: the SDK's three tries of 60 s. */
  readonly silenceSeconds?: number;
  /** Milliseconds of the first pause before a request is repeated, doubled at every failure in a row. Default 500. */
  readonly pauseMilliseconds?: number;
}

/** How often in a row a request is made, each time with the SDK's own two repetitions: about 15 seconds of pauses. */
const persistence = 6;

export class S3Connection {
  /** `s3://bucket/prefix`. */
  readonly url: string;
  /** Host (and port) of the endpoint; `AWS S3` where the SDK derives it from the region. */
  readonly host: string;
  readonly bucket: string;
  readonly #prefix: string;
  readonly #access: S3Access;
  readonly #endpoint: string | undefined;
  #loaded: Promise<Loaded> | undefined;
  /** Whether the server has ever answered: one that never did is a wrong address, and says so at once. */
  #answered = false;

  /** @throws UsageError when AWS_ENDPOINT_URL_S3 is no http(s) URL. */
  constructor(access: S3Access) {
    this.#access = access;
    this.#endpoint = access.endpoint ?? customEndpoint();
    this.bucket = access.bucket;
    this.#prefix = access.prefix === "" ? "" : `${access.prefix}/`;
    this.url = `s3://${access.bucket}${access.prefix === "" ? "" : `/${access.prefix}`}`;
    this.host = this.#endpoint === undefined ? "AWS S3" : new URL(this.#endpoint).host;
  }

  at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.bucket, Key: this.#prefix + key };
  }

  /** The object in the console of AWS; other servers have none that is known. */
  pageOf(key: string): string | undefined {
    if (this.#endpoint !== undefined) return undefined;
    const { Bucket, Key } = this.at(key);
    return `https://console.aws.amazon.com/s3/object/${Bucket}?prefix=${encodeURIComponent(Key)}`;
  }

  /** The store's key of an object in the bucket. */
  keyOf(objectKey: string): string {
    return objectKey.slice(this.#prefix.length);
  }

  /**
   * The answer to a request that may be made again. It is, after a growing random pause, while the server is
   * overloaded or the connection breaks, and once with fresh credentials when they have expired. A server that took
   * the request and said nothing to it for three minutes is asked no more.
   *
   * @throws the SDK's error; the reason of `signal`.
   */
  async send<T>(request: (loaded: Loaded) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const since = performance.now();
    let refreshed = false;
    for (let failures = 1; ; failures++) {
      signal?.throwIfAborted();
      const loaded = this.#load();
      try {
        const answer = await request(await loaded);
        this.#answered = true;
        return answer;
      } catch (error) {
        signal?.throwIfAborted();
        this.#answered ||= statusOf(error) !== undefined;
        if (isExpired(error) && !refreshed) {
          refreshed = true;
          // Requests at the same time may have seen it too: the first one replaces the client for all.
          if (this.#loaded === loaded) this.#loaded = undefined;
        } else if (!isTransient(error) || !this.#answered || failures >= persistence || this.#wasSilent(error, since)) {
          throw error;
        } else {
          await this.pause(failures, signal);
        }
      }
    }
  }

  /** The server had the request and said nothing, for longer than somebody should wait who holds locks meanwhile. */
  #wasSilent(error: unknown, since: number): boolean {
    const { silenceSeconds = 170 } = this.#access;
    return nameOf(error) === "TimeoutError" && performance.now() - since > silenceSeconds * 1000;
  }

  /** The random pause after so many failures in a row: processes that failed together must not come back together. */
  async pause(failures: number, signal?: AbortSignal): Promise<void> {
    const longest = (this.#access.pauseMilliseconds ?? 500) * 2 ** (failures - 1);
    const milliseconds = longest * (0.5 + Math.random() / 2);
    await sleep(milliseconds, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
  }

  /** What the SDK threw, as a failure of the contract. */
  failure(error: unknown): unknown {
    return s3Failure(error, { url: this.url, bucket: this.bucket, host: this.host });
  }

  /** The SDK takes a quarter of a second to load: only whoever has an S3 store pays for it. */
  #load(): Promise<Loaded> {
    this.#loaded ??= this.#connect();
    return this.#loaded;
  }

  async #connect(): Promise<Loaded> {
    const { region, profile, stallSeconds = 60 } = this.#access;
    const endpoint = this.#endpoint;
    const [sdk, { defaultProvider }] = await Promise.all([
      import("@aws-sdk/client-s3"),
      import("@aws-sdk/credential-provider-node"),
    ]);
    // An explicit profile comes before keys in the environment: that both are there is no reason for the SDK to warn.
    const named = profile === undefined ? {} : { profile };
    const client = new sdk.S3Client({
      // Buckets as host names need wildcard DNS, which only AWS has for sure.
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
      ...(region !== undefined && { region }),
      ...named,
      // A file of credentials that somebody renews is read anew by each client; the SDK would keep the first one.
      credentials: defaultProvider({ ...named, ignoreCache: true, ...(profile !== undefined && { logger: silent }) }),
      // Without these an endpoint that swallows packets would hang us for ever.
      requestHandler: { connectionTimeout: 5_000, socketTimeout: stallSeconds * 1000 },
      // Every reader checks SHA-256s of its own; the SDK's check of streams would hide broken connections from us.
      responseChecksumValidation: "WHEN_REQUIRED",
    });
    return { sdk, client };
  }
}

const quiet = (): void => undefined;
const silent = { debug: quiet, info: quiet, warn: quiet, error: quiet };

/** `http(s)://host[:port]`, without user and password. */
export function isEndpoint(text: string): boolean {
  return /^https?:\/\/[^/@?#]+(\/[^@?#]*)?$/.test(text) && URL.canParse(text);
}

function customEndpoint(): string | undefined {
  for (const name of ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]) {
    const value = process.env[name];
    if (value === undefined || value === "") continue;
    if (!isEndpoint(value))
      throw new UsageError(`${name}: found something else than http(s)://host[:port] (without credentials)`, {
        hint: "for example https://s3.example.com:9000",
      });
    return value;
  }
  return undefined;
}

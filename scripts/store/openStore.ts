/** The store, or the several stores, that an address names: the environment's `BACKUP_STORE`. */
import { fileURLToPath } from "node:url";
import { UsageError } from "../contract/failure";
import { redact } from "../contract/redaction";
import { FileStore } from "./fileStore";
import { type LockPolicy, lockModes, lockedKinds, mostLockDays, parseLockDays } from "./objectLock";
import { partShapes, s3MostParts, smallestPart } from "./parts";
import { ReplicatedStore } from "./replicatedStore";
import { isEndpoint } from "./s3Connection";
import { S3Store, type S3StoreOptions } from "./s3Store";
import type { Store } from "./store";

const examples = "for example file:///var/backups/crm or s3://my-bucket/crm";

/** 3 to 63 lower-case letters, digits, dots and dashes: S3's rule for buckets. */
const bucketUrl = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:\/[A-Za-z0-9][A-Za-z0-9._=@+-]*)*)\/?$/;

/** What may follow the `?` of an `s3://` address; described in docs/reference.md. */
export const s3Parameters = [
  "endpoint",
  "region",
  "profile",
  "kmsKeyId",
  "lockMode",
  "lockDays",
  "parts",
  "partMebibytes",
  "mostParts",
] as const;
type S3Parameter = (typeof s3Parameters)[number];

/** Before an address: this store may be lost. The form of a URL's scheme, so that no address can look like it. */
const optionalMark = "optional:";

export interface OpenOptions {
  /** Told one line when an additional store is lost or has to stand in; the store's `warnings` has them all. */
  readonly onWarning?: (line: string) => void;
}

/**
 * Nothing is read, written or connected to yet.
 *
 * @param addresses `file:///dir` or `s3://bucket/prefix`, several with white space between them, all but the first
 *   with `optional:` before them if they may be lost; default: `BACKUP_STORE` of `env`.
 * @throws UsageError for anything else, never repeating what could be a password.
 */
export function openStore(
  addresses: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
  options: OpenOptions = {},
): Store {
  const [first, ...others] = (addresses ?? env["BACKUP_STORE"] ?? "").split(/\s+/).filter((word) => word !== "");
  if (first === undefined) throw mistake("nothing");
  if (first.startsWith(optionalMark))
    throw mistake("optional: before the first store", "the first store holds leases and receipts: it is required");
  const repeated = others
    .map(withoutMark)
    .find((address, place, all) => [first, ...all.slice(0, place)].includes(address));
  if (repeated !== undefined) throw mistake(`${quoted(repeated)} twice`, "give each copy a place of its own");
  const store = openOne(first, { ...options, demand: "conditions" });
  if (others.length === 0) return store;
  const copies = others.map((word) => ({
    // The first one decides who writes what: the others can be servers without conditional writes.
    store: openOne(withoutMark(word), { ...options, demand: "nothing" }),
    required: !word.startsWith(optionalMark),
  }));
  return new ReplicatedStore(store, copies, options.onWarning);
}

function withoutMark(word: string): string {
  return word.startsWith(optionalMark) ? word.slice(optionalMark.length) : word;
}

function openOne(text: string, options: Pick<S3StoreOptions, "demand" | "onWarning">): Store {
  const [address = "", query, ...rest] = text.split("?");
  // Secret keys may hold slashes, so the URL cannot be trusted to show where they end: it isn't repeated at all.
  if (/^[a-z0-9+.-]+:\/\/[^?#]*@/i.test(address) && !bucketUrl.test(address))
    throw mistake(
      "credentials inside the URL",
      "credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile (AWS_PROFILE)",
    );
  if (text.includes("#") || rest.length > 0) throw mistake(`"#" or a second "?" after ${quoted(address)}`);

  if (address.startsWith("s3:")) {
    const [, bucket, path = ""] = bucketUrl.exec(address) ?? [];
    if (bucket === undefined) throw mistake(quoted(address), "for example s3://my-bucket/crm");
    return new S3Store({ bucket, prefix: path.slice(1), ...options, ...s3OptionsOf(query ?? "", address) });
  }
  if (query !== undefined) throw mistake(`"?" after ${quoted(address)}`, "only an s3:// address takes parameters");
  if (address.startsWith("file:")) {
    if (!address.startsWith("file:///"))
      throw mistake(quoted(address), "three slashes and an absolute path, for example file:///var/backups/crm");
    return new FileStore(folderOf(address));
  }
  if (address.startsWith("/")) throw mistake(`the path ${quoted(address)}`, `write file://${address}`);
  throw mistake(quoted(address), `${examples}; white space separates addresses, within one it is written %20`);
}

function folderOf(address: string): string {
  let folder: string;
  try {
    folder = fileURLToPath(address).replace(/\/+$/, "");
  } catch {
    throw mistake(quoted(address));
  }
  if (folder === "")
    throw mistake("the root folder", "give the store a folder of its own, for example file:///var/backups/crm");
  return folder;
}

/** The values are not repeated in messages, but those of numbers: somebody may have put a key there. */
function s3OptionsOf(query: string, address: string): Partial<S3StoreOptions> {
  const given = new Map<S3Parameter, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    const known = s3Parameters.find((parameter) => parameter === name);
    const wrong = known === undefined ? "unknown" : given.has(known) ? "repeated" : value === "" ? "empty" : undefined;
    if (known === undefined || wrong !== undefined)
      throw mistake(
        `the ${wrong} parameter ${quoted(name)} of ${quoted(address)}`,
        `parameters of an s3:// store: ${s3Parameters.join(", ")}; credentials are not among them`,
      );
    given.set(known, value);
  }
  const endpoint = given.get("endpoint");
  if (endpoint !== undefined && !isEndpoint(endpoint))
    throw mistake(
      `an endpoint of ${quoted(address)} that is not http(s)://host[:port] (without credentials)`,
      "for example ?endpoint=https://s3.example.com:9000",
    );
  const access = {
    endpoint,
    region: given.get("region"),
    profile: given.get("profile"),
    kmsKeyId: given.get("kmsKeyId"),
  };
  const lock = lockOf(given.get("lockMode"), given.get("lockDays"), address);
  const wanted = given.get("parts");
  const shape = partShapes.find((known) => known === wanted);
  if (wanted !== undefined && shape === undefined)
    throw mistake(`parts=${quoted(wanted)} of ${quoted(address)}`, "expected parts=growing or parts=fixed");
  const mebibytes = wholeNumber(
    "partMebibytes",
    given.get("partMebibytes"),
    smallestPart / 1024 ** 2,
    5 * 1024,
    address,
  );
  const mostParts = wholeNumber("mostParts", given.get("mostParts"), 1, s3MostParts, address);
  const parts = {
    ...(shape !== undefined && { shape }),
    ...(mebibytes !== undefined && { bytes: mebibytes * 1024 ** 2 }),
    ...(mostParts !== undefined && { mostParts }),
  };
  return { ...access, lock, parts };
}

function lockOf(mode: string | undefined, days: string | undefined, address: string): LockPolicy | undefined {
  if (mode === undefined && days === undefined) return undefined;
  if (mode === undefined || days === undefined)
    throw mistake(
      `${mode === undefined ? "lockDays" : "lockMode"} alone of ${quoted(address)}`,
      "expected lockMode and lockDays, or neither",
    );
  const known = lockModes.find((each) => each === mode);
  if (known === undefined)
    throw mistake(`lockMode=${quoted(mode)} of ${quoted(address)}`, `expected lockMode=${lockModes.join(" or ")}`);
  const parsed = parseLockDays(days);
  if (parsed === undefined)
    throw mistake(
      `lockDays=${quoted(days)} of ${quoted(address)}`,
      `expected lockDays=1 to ${mostLockDays}, or tier:days with commas between (${lockedKinds.join(", ")})`,
    );
  return { mode: known, days: parsed };
}

function wholeNumber(
  name: S3Parameter,
  text: string | undefined,
  least: number,
  most: number,
  address: string,
): number | undefined {
  if (text === undefined) return undefined;
  const number = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw mistake(`${name}=${quoted(text)} of ${quoted(address)}`, `expected ${name}=${least} to ${most}`);
}

function mistake(found: string, hint: string = examples): UsageError {
  return new UsageError(`BACKUP_STORE: found ${found}, expected file:///folder or s3://bucket/prefix`, { hint });
}

function quoted(text: string): string {
  return JSON.stringify(redact(text).slice(0, 120));
}

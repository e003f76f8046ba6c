/** The store that a URL names: the environment's `BACKUP_STORE`. */
import { fileURLToPath } from "node:url";
import { UsageError } from "../contract/failure";
import { redact } from "../contract/redaction";
import { FileStore } from "./fileStore";
import { S3Store } from "./s3Store";
import type { Store } from "./store";

const examples = "for example file:///var/backups/crm or s3://my-bucket/crm";

/** 3 to 63 lower-case letters, digits, dots and dashes: S3's rule for buckets. */
const bucketUrl = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:\/[A-Za-z0-9][A-Za-z0-9._=@+-]*)*)\/?$/;

/**
 * Nothing is read, written or connected to yet.
 *
 * @param url `file:///dir` or `s3://bucket/prefix`; default: `BACKUP_STORE` of `env`.
 * @throws UsageError for anything else, never repeating what could be a password.
 */
export function openStore(url: string | undefined, env: NodeJS.ProcessEnv = process.env): Store {
  const text = url ?? env["BACKUP_STORE"] ?? "";
  const wrong = (found: string, hint: string = examples): UsageError =>
    new UsageError(`BACKUP_STORE: found ${found}, expected file:///folder or s3://bucket/prefix`, { hint });

  if (text === "") throw wrong("nothing");
  // Secret keys may hold slashes, so the URL cannot be trusted to show where they end: it isn't repeated at all.
  if (/^[a-z0-9+.-]+:\/\/[^?#]*@/i.test(text) && !bucketUrl.test(text))
    throw wrong(
      "credentials inside the URL",
      "credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile (AWS_PROFILE)",
    );
  if (/[?#]/.test(text)) throw wrong(`"?" or "#" in ${quoted(text)}`);

  if (text.startsWith("s3:")) {
    const [, bucket, path = ""] = bucketUrl.exec(text) ?? [];
    if (bucket === undefined) throw wrong(quoted(text), "for example s3://my-bucket/crm");
    return new S3Store({ bucket, prefix: path.slice(1) });
  }
  if (text.startsWith("file:")) {
    if (!text.startsWith("file:///"))
      throw wrong(quoted(text), "three slashes and an absolute path, for example file:///var/backups/crm");
    return new FileStore(folderOf(text, wrong));
  }
  if (text.startsWith("/")) throw wrong(`the path ${quoted(text)}`, `write file://${text}`);
  throw wrong(quoted(text));
}

function folderOf(text: string, wrong: (found: string, hint?: string) => UsageError): string {
  let folder: string;
  try {
    folder = fileURLToPath(text).replace(/\/+$/, "");
  } catch {
    throw wrong(quoted(text));
  }
  if (folder === "")
    throw wrong("the root folder", "give the store a folder of its own, for example file:///var/backups/crm");
  return folder;
}

function quoted(text: string): string {
  return JSON.stringify(redact(text).slice(0, 120));
}

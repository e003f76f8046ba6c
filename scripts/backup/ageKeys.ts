/**
 * Whom archives are encrypted to, and what opens them: `BACKUP_AGE_RECIPIENT` and `BACKUP_AGE_IDENTITY`. A host that
 * only takes backups needs the first alone, and cannot read what it wrote.
 */
import { readFileSync } from "node:fs";
import { UsageError } from "../contract/failure";
import { registerSecret } from "../contract/redaction";

/** What the name of an encrypted file ends with. */
export const encryptedSuffix = ".age";

/** The name that a file is stored under. */
export function archiveName(file: string, recipients: readonly string[]): string {
  return recipients.length === 0 ? file : `${file}${encryptedSuffix}`;
}

/**
 * Public keys (`age1…`), with white space or commas between them; none: archives are not encrypted.
 *
 * @throws UsageError for what is no recipient that can be encrypted to.
 */
export async function readRecipients(env: NodeJS.ProcessEnv = process.env): Promise<readonly string[]> {
  const recipients = (env["BACKUP_AGE_RECIPIENT"] ?? "").split(/[\s,]+/).filter((word) => word !== "");
  if (recipients.length === 0) return [];
  const { Encrypter } = await import("age-encryption");
  for (const recipient of recipients) {
    try {
      new Encrypter().addRecipient(recipient);
    } catch {
      // A private key in the wrong variable is not repeated.
      const found = recipient.startsWith("age1") ? JSON.stringify(recipient.slice(0, 80)) : "something else";
      throw new UsageError(`BACKUP_AGE_RECIPIENT: found ${found}: expected public keys of age (age1…)`, {
        hint: "age-keygen prints one; several are separated by commas",
      });
    }
  }
  return recipients;
}

/**
 * Private keys: `AGE-SECRET-KEY-…` itself, or the path of a file as age-keygen writes it.
 *
 * @throws UsageError when there is none in it, or the file cannot be read.
 */
export function readIdentities(env: NodeJS.ProcessEnv = process.env): readonly string[] {
  const value = (env["BACKUP_AGE_IDENTITY"] ?? "").trim();
  if (value === "") return [];
  const lines = (isIdentity(value) ? value : readIdentityFile(value)).split(/\s*\n\s*/);
  const identities = lines.filter((line) => line !== "" && !line.startsWith("#"));
  identities.forEach(registerSecret);
  if (identities.length === 0 || !identities.every(isIdentity)) throw noIdentity();
  return identities;
}

function isIdentity(text: string): boolean {
  return text.startsWith("AGE-SECRET-KEY-");
}

function readIdentityFile(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    throw noIdentity();
  }
}

function noIdentity(): UsageError {
  return new UsageError(
    "BACKUP_AGE_IDENTITY: found neither AGE-SECRET-KEY-… nor a readable file of such lines: expected the private key of age",
  );
}

/**
 * Before anything is read: is there a private key here for one of these public ones?
 *
 * @param what what cannot be done without it, for people.
 * @throws UsageError when there is none.
 */
export async function demandIdentity(recipients: readonly string[], what: string): Promise<void> {
  if (recipients.length === 0) return;
  const identities = readIdentities();
  const expected = `expected the private key of ${recipients.join(" or ")}`;
  if (identities.length === 0)
    throw new UsageError(`BACKUP_AGE_IDENTITY: found nothing: ${what}: ${expected}`, {
      hint: "without it a backup can be taken and looked at (--depth 1), but not read",
    });
  const { identityToRecipient } = await import("age-encryption");
  const own = await Promise.all(
    identities.map((identity) =>
      identityToRecipient(identity).catch(() => {
        throw noIdentity();
      }),
    ),
  );
  if (!own.some((recipient) => recipients.includes(recipient)))
    throw new UsageError(`BACKUP_AGE_IDENTITY: found the private key of ${own.join(", ")}: ${what}: ${expected}`);
}

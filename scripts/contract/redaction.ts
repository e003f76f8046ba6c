/**
 * Keeps secrets out of everything that is printed or stored in plain text. Redaction is by value: the command line
 * registers those of its environment before anything else runs, whoever learns of another one registers it as well,
 * and every output path passes its text through `redact`. So a secret that a library, a server or a deploy command
 * echoes is caught too.
 */
import { existsSync } from "node:fs";

const secrets = new Set<string>();

/** Values shorter than this many characters are not masked: masking "1" would only garble the output. */
const shortestSecret = 6;

const mask = "[redacted]";

/** Registers a secret, and the forms it takes in a URL, in JSON and line by line. Very short values are ignored. */
export function registerSecret(value: string | undefined): void {
  if (value === undefined || value.length < shortestSecret) return;
  // A key of several lines is echoed as such: each line is a line of a log.
  const lines = value.split(/\r?\n/).filter((line) => line.trim().length >= shortestGuess);
  for (const text of [value, ...(value.includes("\n") ? lines : [])]) {
    secrets.add(text);
    secrets.add(encodeURIComponent(text));
    secrets.add(JSON.stringify(text).slice(1, -1));
  }
}

/** Secrets whatever they look like: what this program, its libraries and the platforms' tools are known to read. */
const secretVariables = [
  "BACKUP_PASSPHRASE",
  "BACKUP_AGE_IDENTITY",
  "PGPASSWORD",
  "RAILWAY_TOKEN",
  "RAILWAY_API_TOKEN",
  "VERCEL_TOKEN",
  "SUPABASE_ACCESS_TOKEN",
  "NOTIFY_WEBHOOK_URL",
  "STATUSPAGE_API_KEY",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
];

/** `SUPABASE_SERVICE_ROLE_KEY`, `JWT_SECRETS`, `PGPASSWORD`, `apiKey`, but not `MONKEYS` or `KEYBOARD`. */
const secretName = /(^|_|API|PG)(KEY|SECRET|TOKEN|PASSWORD|PASSPHRASE)S?(_|$)/i;

/** Characters from which the value of a variable that only sounds secret is taken for one. */
const shortestGuess = 8;

/** Registers the secrets of an environment: known ones, those whose names say so, and passwords inside URLs. */
export function registerEnvironmentSecrets(env: NodeJS.ProcessEnv): void {
  for (const name of secretVariables) registerSecret(env[name]);
  for (const [name, value = ""] of Object.entries(env)) {
    if (/^[a-z][a-z0-9+.-]*:\/\//i.test(value)) registerPassword(value);
    else if (secretName.test(name) && looksSecret(value)) registerSecret(value);
  }
}

/** Not a number (masked, it would break JSON) and not the path of a key's file. */
function looksSecret(value: string): boolean {
  return value.length >= shortestGuess && !/^\d+$/.test(value) && !existsSync(value);
}

function registerPassword(url: string): void {
  const password = URL.canParse(url) ? new URL(url).password : "";
  registerSecret(password);
  try {
    registerSecret(decodeURIComponent(password));
  } catch {
    // Not percent-encoded: whoever uses the URL says so.
  }
}

/** The text with every registered secret, and any password inside a URL but an example's `<password>`, replaced by `[redacted]`. */
export function redact(text: string): string {
  let clean = text.replace(/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):(?!<password>@)[^\s@/]+@/gi, `$1:${mask}@`);
  // Longest first: a secret that contains another one must not leave its tail behind.
  for (const secret of [...secrets].sort((a, b) => b.length - a.length)) clean = clean.replaceAll(secret, mask);
  return clean;
}

/** An address as it may be stored and shown: without user name and password. */
export function withoutCredentials(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined) return redact(address);
  if (url.username === "" && url.password === "") return address;
  url.username = "";
  url.password = "";
  return url.href;
}

/**
 * Keeps secrets out of everything that is printed or stored in plain text. Redaction is by value: whoever
 * reads a secret registers it here, and every output path passes its text through `redact`, so a secret
 * that a library or a server echoes inside an error message is caught as well.
 */

const secrets = new Set<string>();

/** Values shorter than this many characters are not masked: masking "1" would only garble the output. */
const shortestSecret = 6;

const mask = "[redacted]";

/** Registers a secret and its URL-encoded form. Undefined, empty and very short values are ignored. */
export function registerSecret(value: string | undefined): void {
  if (value === undefined || value.length < shortestSecret) return;
  secrets.add(value);
  secrets.add(encodeURIComponent(value));
}

/** The text with every registered secret, and any password inside a URL, replaced by `[redacted]`. */
export function redact(text: string): string {
  let clean = text.replace(/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s@/]+@/gi, `$1:${mask}@`);
  // Longest first: a secret that contains another one must not leave its tail behind.
  for (const secret of [...secrets].sort((a, b) => b.length - a.length)) clean = clean.replaceAll(secret, mask);
  return clean;
}

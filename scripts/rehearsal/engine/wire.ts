/** Property values as they travel between program, engine and provider: how secrets and unknowns are marked. */

const signatureKey = "4dabf18193072939515e22adb298388d";
const secretSignature = "1b47061264138c4ac30d75fd1eb44270";
const unknownValue = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export type Properties = Record<string, unknown>;

export function asSecret(value: unknown): Properties {
  return { [signatureKey]: secretSignature, value };
}

function isSecret(value: unknown): value is { readonly value: unknown } {
  return isObject(value) && value[signatureKey] === secretSignature;
}

export function containsSecret(value: unknown): boolean {
  return contains(value, isSecret);
}

export function containsUnknown(value: unknown): boolean {
  return contains(value, (part) => part === unknownValue);
}

/** The same value with its secrets in plain: for what executes, never for what is kept. */
export function unwrapSecrets(value: unknown): unknown {
  return mapSecrets(value, (secret) => unwrapSecrets(secret));
}

/** The same value with every secret replaced. */
export function mapSecrets(value: unknown, replace: (secret: unknown) => unknown): unknown {
  if (isSecret(value)) return replace(value.value);
  if (Array.isArray(value)) return value.map((part) => mapSecrets(part, replace));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, mapSecrets(part, replace)]));
}

function contains(value: unknown, test: (part: unknown) => boolean): boolean {
  if (test(value)) return true;
  if (Array.isArray(value)) return value.some((part) => contains(part, test));
  return isObject(value) && Object.values(value).some((part) => contains(part, test));
}

function isObject(value: unknown): value is Properties {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

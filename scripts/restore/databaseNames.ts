/** Names of the databases that a restore makes: the live one's with a suffix, cut so that PostgreSQL does not cut it. */

/** Bytes of a name in PostgreSQL (NAMEDATALEN - 1): it cuts longer ones without an error. */
export const longestName = 63;

/** PostgreSQL would cut a long name at its end, where the suffix is: the name before it is cut instead. */
export function withSuffix(name: string, suffix: string): string {
  const room = longestName - Buffer.byteLength(suffix);
  return `${Buffer.from(name)
    .subarray(0, room)
    .toString("utf8")
    .replace(/\uFFFD+$/, "")}${suffix}`;
}

/** Durations on the command line: `0s`, `90s`, `10m`, `1h`. */
import { UsageError } from "../contract/failure";

const seconds = { s: 1, m: 60, h: 3600 } as const;

/** @throws UsageError for anything else. */
export function parseDuration(text: string): number {
  const match = /^(\d+)(s|m|h)$/.exec(text);
  if (match === null) throw new UsageError(`found ${JSON.stringify(text)}: expected a duration such as 0s, 90s or 10m`);
  return Number(match[1]) * seconds[match[2] as keyof typeof seconds];
}

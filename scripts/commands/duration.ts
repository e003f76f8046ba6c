/** Durations on the command line: `0s`, `90s`, `10m`, `1h`. */
import { InvalidArgumentError } from "commander";

const seconds = { s: 1, m: 60, h: 3600 } as const;

/** Seconds. @throws InvalidArgumentError for anything else: commander names the option. */
export function parseDuration(text: string): number {
  const match = /^(\d+)(s|m|h)$/.exec(text);
  if (match === null) throw new InvalidArgumentError("expected a duration such as 0s, 90s or 10m");
  return Number(match[1]) * seconds[match[2] as keyof typeof seconds];
}

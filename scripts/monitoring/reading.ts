/** One signal as it was found: a value, or why there is none. */
import { messageOf } from "../contract/failure";
import { redact } from "../contract/redaction";
import type { SignalName } from "../thresholds";

export type Reading = { readonly signal: SignalName } & (
  | {
      /** In the signal's unit. */
      readonly value: number;
      /** For people: which table, which session; never a row or the text of a query. */
      readonly detail?: string | undefined;
    }
  | {
      /** Why there is no value, in one line. */
      readonly why: string;
      /** True: there is nothing to measure here; otherwise it could not be measured. */
      readonly absent: boolean;
    }
);

export function found(signal: SignalName, value: number, detail?: string): Reading {
  return { signal, value, detail };
}

/** There is nothing of the kind here, or nobody configured how to ask. */
export function absent(signal: SignalName, why: string): Reading {
  return { signal, why, absent: true };
}

export function unread(signal: SignalName, why: string): Reading {
  return { signal, why: redact(why.replace(/\s+/g, " ")), absent: false };
}

/** What cannot be read of some signals leaves the others as they are. */
export async function attempt(
  signals: readonly SignalName[],
  read: () => Promise<readonly Reading[]>,
  explain: (error: unknown) => string = messageOf,
): Promise<readonly Reading[]> {
  try {
    return await read();
  } catch (error) {
    return signals.map((signal) => unread(signal, explain(error)));
  }
}

/** How a reading writes an amount of bytes: `12.3 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

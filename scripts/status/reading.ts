/** Reading one part of the status: what cannot be read, or not in time, is a line beside the others. */
import { Failure, messageOf } from "../contract/failure";
import { redact } from "../contract/redaction";
import { within } from "../contract/within";

/** What came of reading: a failure that a person may have to mend is a line; a bug is thrown. */
export type Reading<T> = { readonly found: T } | { readonly problem: string };

export async function reading<T>(what: string, seconds: number, read: () => Promise<T>): Promise<Reading<T>> {
  try {
    return { found: await within(seconds, what, read()) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { problem: redact(messageOf(error)) };
  }
}

/** Waiting with an end: what takes longer is given up and said to be unavailable, though its connections may still hang. */
import { Unavailable } from "./failure";

let givenUp = 0;

/** Whether something was given up that may hold connections for minutes: whoever ends the process must not wait for them. */
export function stillWaits(): boolean {
  return givenUp > 0;
}

/**
 * What `work` comes to.
 *
 * @param what is asked, for the message: an address.
 * @throws Unavailable after so many seconds; what `work` throws.
 */
export async function within<T>(seconds: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      givenUp += 1;
      reject(new Unavailable(`${what}: no answer within ${seconds} s`, { hint: "try again, or look at the network" }));
    }, seconds * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

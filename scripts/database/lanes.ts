/**
 * Work that runs at the same time and belongs together: when one part fails, the rest is told to stop, and the first
 * failure is the one that is thrown, after everything has come to rest.
 */

/** What runs until it is done or `signal` is aborted. */
type Task<T> = (signal: AbortSignal) => Promise<T>;

/**
 * Runs all tasks at once.
 *
 * @throws the first failure, once every task has ended.
 */
export async function allOrNone<T extends readonly unknown[]>(
  tasks: { readonly [Place in keyof T]: Task<T[Place]> },
  outer?: AbortSignal,
): Promise<T> {
  const stop = new AbortController();
  const signal = outer === undefined ? stop.signal : AbortSignal.any([outer, stop.signal]);
  let failure: { readonly error: unknown } | undefined;
  const guarded = async (task: Task<unknown>): Promise<unknown> => {
    try {
      signal.throwIfAborted();
      return await task(signal);
    } catch (error) {
      failure ??= { error };
      stop.abort();
      throw error;
    }
  };
  const outcomes = await Promise.allSettled(tasks.map(guarded));
  if (failure !== undefined) throw failure.error;
  return outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value : undefined)) as unknown as T;
}

/**
 * Works off `items`, in their order, in as many lanes as there are `lanes`; each item gets the lane that took it.
 *
 * @returns the results in the order of the items.
 * @throws the first failure, once every lane has ended.
 */
export async function runInLanes<Lane, Item, Result>(
  lanes: readonly Lane[],
  items: readonly Item[],
  work: (item: Item, lane: Lane, signal: AbortSignal) => Promise<Result>,
  outer?: AbortSignal,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const drain =
    (lane: Lane) =>
    async (signal: AbortSignal): Promise<void> => {
      for (let place = next++; place < items.length; place = next++) {
        signal.throwIfAborted();
        results[place] = await work(items[place]!, lane, signal);
      }
    };
  await allOrNone(lanes.slice(0, items.length).map(drain), outer);
  return results;
}

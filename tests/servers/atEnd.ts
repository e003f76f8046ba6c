/** Mocha's root hook: ends what tests share, and only what some test started. */

const endings: (() => Promise<void>)[] = [];

/** Has `stop` called after the last test of this process; of this file, where files run side by side. */
export function atEnd(stop: () => Promise<void>): void {
  endings.push(stop);
}

/**
 * For a server that the tests of several files share, and that has a watchdog of its own. Where files run side by side
 * each process runs many of them, and Mocha's root hooks run after each: there the server ends with its process.
 */
export function atProcessEnd(stop: () => Promise<void>): void {
  if (process.env["MOCHA_WORKER_ID"] === undefined) atEnd(stop);
}

export const mochaHooks = {
  async afterAll(): Promise<void> {
    await Promise.all(endings.splice(0).map((stop) => stop()));
  },
};

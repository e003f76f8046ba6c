/** Mocha's root hook: ends the servers that tests share, and only those that some test started. */

const endings: (() => Promise<void>)[] = [];

/** Has `stop` called after the last test of this process. */
export function atEnd(stop: () => Promise<void>): void {
  endings.push(stop);
}

export const mochaHooks = {
  async afterAll(): Promise<void> {
    await Promise.all(endings.splice(0).map((stop) => stop()));
  },
};

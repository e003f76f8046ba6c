/**
 * How many of a suite's seeded cases are run: a tenth, so that `npm test` stays quick, or with
 * `DBPROTECT_CAMPAIGN=1` all of them.
 */

/** Whether this run is a campaign. */
export const isCampaign = (process.env["DBPROTECT_CAMPAIGN"] ?? "") === "1";

/**
 * Seeds of the cases of this run, from 1. The same seed is the same case in both kinds of run: a case that failed in
 * a campaign is run alone with mocha's `--grep "seed <n>"`.
 *
 * @param all how many a campaign runs.
 */
export function seeds(all: number): number[] {
  const count = isCampaign ? all : Math.ceil(all / 10);
  return Array.from({ length: count }, (_, place) => place + 1);
}

/** Numbers in [0, 1) that a seed determines: mulberry32, 32 bits of state (Tommy Ettinger, public domain). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

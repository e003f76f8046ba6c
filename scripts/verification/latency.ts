/** Numbers of a list of latencies, and their course. */
import type { CoursePoint } from "../record/latencyCourse";

/**
 * By the nearest rank: the smallest value that at least `share` of all are not above.
 *
 * @param share from 0 to 1: 0.5 is the median.
 * @returns null of no values.
 */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? null;
}

/** Points of a course: as many as a chart can show, however long it was watched. */
const mostPoints = 120;

export interface TimedAnswer {
  readonly second: number;
  /** Null: the request failed. */
  readonly milliseconds: number | null;
}

/** The answers in order of time, stretches of equally many of them together; a stretch keeps its slowest answer. */
export function courseOf(answers: readonly TimedAnswer[]): CoursePoint[] {
  const each = Math.max(1, Math.ceil(answers.length / mostPoints));
  return Array.from({ length: Math.ceil(answers.length / each) }, (_, place) => {
    const stretch = answers.slice(place * each, (place + 1) * each);
    const came = stretch.flatMap(({ milliseconds }) => (milliseconds === null ? [] : [milliseconds]));
    return {
      second: stretch[0]?.second ?? 0,
      milliseconds: came.length === 0 ? null : Math.max(...came),
      failures: stretch.length - came.length,
    };
  });
}

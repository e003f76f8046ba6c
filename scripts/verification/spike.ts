/** Whether a health path became slow or fails more often than before: judged by its last requests, not by single ones. */
import type { EndpointBaseline } from "../record/healthBaseline";
import type { CoursePoint } from "../record/latencyCourse";
import type { WatchSettings } from "../settings";
import { type TimedAnswer, courseOf, percentile } from "./latency";

/** Answers of which the median is taken; with fewer than the least nothing is said. */
const latencyWindow = 12;
const leastAnswers = 5;

/** Requests of which the failed ones are counted. */
const errorWindow = 60;

export interface Sample {
  readonly ok: boolean;
  readonly milliseconds: number;
  /** Why it is not ok. */
  readonly error?: string | undefined;
}

export interface EndpointWatch {
  readonly url: string;
  /** Null: none was measured. Then its latency is not judged, and no error counts as usual. */
  readonly baseline: EndpointBaseline | null;
  readonly requests: number;
  readonly failures: number;
  readonly medianMilliseconds: number | null;
  readonly p95Milliseconds: number | null;
  /** From the first request on. */
  readonly course: readonly CoursePoint[];
}

/** A path's requests as they come. */
export class SpikeDetector {
  readonly #latencies: number[] = [];
  readonly #samples: Sample[] = [];
  readonly #answers: TimedAnswer[] = [];
  readonly #began = performance.now();
  #failures = 0;
  #requests = 0;

  constructor(
    private readonly url: string,
    private readonly baseline: EndpointBaseline | undefined,
    private readonly settings: WatchSettings,
  ) {}

  /** @returns what spikes, in one line; undefined: nothing. */
  add(sample: Sample): string | undefined {
    this.#requests++;
    if (sample.ok) this.#latencies.push(sample.milliseconds);
    else this.#failures++;
    const second = Math.round((performance.now() - this.#began) / 100) / 10;
    this.#answers.push({ second, milliseconds: sample.ok ? sample.milliseconds : null });
    this.#samples.push(sample);
    if (this.#samples.length > errorWindow) this.#samples.shift();
    return sample.ok ? this.#slow() : this.#failing();
  }

  summary(): EndpointWatch {
    return {
      url: this.url,
      baseline: this.baseline ?? null,
      requests: this.#requests,
      failures: this.#failures,
      medianMilliseconds: percentile(this.#latencies, 0.5),
      p95Milliseconds: percentile(this.#latencies, 0.95),
      course: courseOf(this.#answers),
    };
  }

  #slow(): string | undefined {
    const usual = this.baseline?.medianMilliseconds ?? null;
    const last = this.#latencies.slice(-latencyWindow);
    const median = percentile(last, 0.5);
    if (usual === null || median === null || last.length < leastAnswers) return undefined;
    const limit = Math.round(usual * this.settings.factor + this.settings.floorMilliseconds);
    if (median <= limit) return undefined;
    return `${this.url}: latency spike: median of the last ${last.length} answers ${median} ms, before the release ${usual} ms (limit ${limit} ms)`;
  }

  #failing(): string | undefined {
    const failed = this.#samples.filter(({ ok }) => !ok);
    const rate = percent(failed.length, this.#samples.length);
    const usual = this.baseline === undefined ? 0 : percent(this.baseline.failures, this.baseline.requests);
    if (failed.length < this.settings.leastErrors || rate <= usual + this.settings.errorPercent) return undefined;
    const why = failed.at(-1)?.error;
    return `${this.url}: error spike: ${failed.length} of the last ${this.#samples.length} requests failed (${rate} %), before the release ${usual} %${why === undefined ? "" : `: ${why}`}`;
  }
}

/** With one digit behind the point. */
function percent(part: number, whole: number): number {
  return Math.round((part / whole) * 1000) / 10;
}

/** Notices when this process stood still: whatever ran into a timeout then, on a machine that was paused, is nobody's fault. */

const tickMilliseconds = 500;

export class Standstill {
  private last = performance.now();
  private readonly gaps: { readonly end: number; readonly seconds: number }[] = [];
  private readonly timer = setInterval(() => this.tick(), tickMilliseconds);

  private tick(): void {
    const now = performance.now();
    this.gaps.push({ end: now, seconds: (now - this.last - tickMilliseconds) / 1000 });
    if (this.gaps.length > 10_000) this.gaps.shift();
    this.last = now;
  }

  /** The longest time without a tick since that moment of `performance.now()`, in seconds. */
  longestSince(start: number): number {
    return Math.max(0, ...this.gaps.filter(({ end }) => end >= start).map(({ seconds }) => seconds));
  }

  end(): void {
    clearInterval(this.timer);
  }
}

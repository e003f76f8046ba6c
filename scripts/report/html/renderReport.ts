/** Makes one HTML file of a report document: styles inside, nothing fetched, no script, so that it opens from disk for years. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Eta } from "eta";
import type { Cell, ReportDocument } from "./document";
import { plotOf } from "./plot";

const eta = new Eta({ views: __dirname, cache: true, autoTrim: [false, "nl"] });

/** The whole file as text. Everything in the document is escaped. */
export function renderReport(document: ReportDocument): string {
  const lastEnd = Math.max(document.seconds, ...document.timeline.map(({ from, seconds }) => from + seconds), 0.001);
  return eta.render("report", {
    ...document,
    style: readFileSync(join(__dirname, "report.css"), "utf8"),
    charts: (document.charts ?? []).map((chart) => ({ chart, plot: plotOf(chart, roundSeconds) })),
    ticks: roundSeconds(lastEnd),
    tick,
    percent: (seconds: number): string => `${((100 * seconds) / lastEnd).toFixed(2)}%`,
    duration,
    cell: (value: string | Cell): Cell => (typeof value === "string" ? { text: value, tone: "neutral" } : value),
    mark: { good: "✓", bad: "✗", neutral: "•" },
  });
}

/** `840 ms`, `12.3 s`, `4 min 05 s`. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

/** `20 s`, `10 min`, `2 h`: for an axis. */
function tick(seconds: number): string {
  if (seconds < 60 || seconds % 60 !== 0) return `${Number(seconds.toFixed(1))} s`;
  return seconds < 3600 || seconds % 3600 !== 0 ? `${seconds / 60} min` : `${seconds / 3600} h`;
}

/** Round seconds to label an axis that ends at `end`: at most seven of them. */
function roundSeconds(end: number): number[] {
  const step =
    [0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600].find((size) => end / size <= 6) ??
    end / 6;
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => index * step);
}

/** Where the lines and labels of a chart are: everything in percent of its area, from its lower left corner. */
import type { Chart } from "./document";

export interface Plot {
  /** Of an SVG path in a 100 by 100 box whose origin is the upper left corner. */
  readonly line: string;
  /** Height of what is usual, from the top; null: not known. */
  readonly usual: number | null;
  /** Where something failed, from the left. */
  readonly failures: readonly number[];
  readonly heights: readonly { readonly label: string; readonly percent: number }[];
  readonly times: readonly { readonly second: number; readonly percent: number }[];
  /** The whole in words, for who does not see it. */
  readonly words: string;
}

/** @param ticks round seconds up to an end. */
export function plotOf(chart: Chart, ticks: (end: number) => readonly number[]): Plot {
  const values = chart.points.flatMap(({ value }) => (value === null ? [] : [value]));
  const top = roundUp(Math.max(...values, chart.usual ?? 0, 1));
  const last = Math.max(chart.points.at(-1)?.second ?? 0, 0.001);
  const across = (second: number): number => fixed((100 * second) / last);
  const down = (value: number): number => fixed(100 - (100 * value) / top);
  const failed = chart.points.filter(({ bad }) => bad);
  return {
    line: linePath(chart.points, across, down),
    usual: chart.usual === null ? null : down(chart.usual),
    failures: failed.map(({ second }) => across(second)),
    heights: [0, top / 2, top].map((value) => ({
      label: `${value} ${chart.unit}`,
      percent: fixed((100 * value) / top),
    })),
    times: ticks(last).map((second) => ({ second, percent: across(second) })),
    words: [
      `${chart.caption}:`,
      values.length === 0 ? "no value" : `from ${Math.min(...values)} to ${Math.max(...values)} ${chart.unit}`,
      ...(chart.usual === null ? [] : [`usual ${chart.usual} ${chart.unit}`]),
      ...(failed.length === 0 ? [] : [`${failed.length} places with failures`]),
    ].join(" "),
  };
}

/** A value between two gaps is a line of no length, which a round cap shows as a dot. */
function linePath(
  points: Chart["points"],
  across: (second: number) => number,
  down: (value: number) => number,
): string {
  let pen = "M";
  const parts: string[] = [];
  for (const [place, { second, value }] of points.entries()) {
    if (value === null) {
      pen = "M";
      continue;
    }
    parts.push(`${pen}${across(second)} ${down(value)}`);
    if (pen === "M" && (points[place + 1]?.value ?? null) === null) parts.push("h0");
    pen = "L";
  }
  return parts.join("");
}

/** The next 1, 2 or 5 with zeros. */
function roundUp(value: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * magnitude).find((size) => size >= value) ?? value;
}

function fixed(value: number): number {
  return Number(value.toFixed(2));
}

/** A bar chart as SVG: a name and a bar for each, from 0 to the right, and how far its runs lay apart. */
import { colours, drawSvg, escaped, legendEntry, round, ticksTo, told } from "./svg";

export interface Bar {
  readonly name: string;
  readonly value: number;
  /** The lowest and the highest of the runs; the same: nothing is drawn of it. */
  readonly range: readonly [lowest: number, highest: number];
  /** Which of `kinds` it is of. */
  readonly kind: 0 | 1;
}

export interface BarChart {
  /** For those who cannot see it. */
  readonly title: string;
  /** What grows to the right, with its unit. */
  readonly axis: string;
  /** What the two colours stand for. */
  readonly kinds: readonly [string, string];
  readonly bars: readonly Bar[];
}

/** Pixels. */
const width = 900;
const margin = { left: 400, right: 60, top: 34, bottom: 46 };
const row = { height: 24, bar: 14 };

export function drawBarChart({ title, axis, kinds, bars }: BarChart): string {
  const ticks = ticksTo(Math.max(...bars.flatMap(({ value, range }) => [value, range[1]])));
  const bottom = margin.top + row.height * bars.length;
  const x = (value: number): number =>
    round(margin.left + ((width - margin.left - margin.right) * value) / ticks.at(-1)!);
  return drawSvg(title, width, bottom + margin.bottom, [
    ...kinds.map((kind, place) => legendEntry(kind, place, margin.left)),
    ...ticks.map(
      (tick) =>
        `  <line class="grid" x1="${x(tick)}" x2="${x(tick)}" y1="${margin.top}" y2="${bottom}"/><text x="${x(tick)}" y="${bottom + 18}" text-anchor="middle">${told(tick)}</text>`,
    ),
    `  <text x="${(margin.left + width - margin.right) / 2}" y="${bottom + 36}" text-anchor="middle">${escaped(axis)}</text>`,
    ...bars.flatMap((bar, place) => drawBar(bar, margin.top + row.height * (place + 0.5), x)),
  ]);
}

function drawBar(
  { name, value, range: [lowest, highest], kind }: Bar,
  middle: number,
  x: (value: number) => number,
): string[] {
  const end = Math.max(x(value), x(highest));
  return [
    `  <text x="${margin.left - 8}" y="${middle + 4}" text-anchor="end">${escaped(name)}</text>`,
    `  <rect class="${colours[kind]}" x="${margin.left}" y="${middle - row.bar / 2}" width="${round(x(value) - margin.left)}" height="${row.bar}"><title>${escaped(`${name}: ${told(value)}`)}</title></rect>`,
    ...(lowest === highest
      ? []
      : [`  <line class="range" x1="${x(lowest)}" x2="${x(highest)}" y1="${middle}" y2="${middle}"/>`]),
    `  <text x="${round(end + 6)}" y="${middle + 4}">${told(value)}</text>`,
  ];
}

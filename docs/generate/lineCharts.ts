/** Line charts side by side as one SVG, which a browser draws in its reader's colours: each panel over the same sizes, from 0 upwards. */
import { colours, drawSvg, escaped, legendEntry, round, ticksTo, told } from "./svg";

export interface Panel {
  /** What is drawn upwards, with its unit. */
  readonly title: string;
  /** For each line one value a size; the names are the same in all panels. */
  readonly lines: readonly { readonly name: string; readonly values: readonly number[] }[];
}

export interface LineCharts {
  /** For those who cannot see it. */
  readonly title: string;
  /** What grows to the right. */
  readonly axis: string;
  /** Above 0, ascending; on a logarithmic scale. */
  readonly sizes: readonly number[];
  readonly panels: readonly Panel[];
}

/** Pixels; the plot lies inside of its panel by the margins. */
const panel = { width: 300, height: 250 };
const margin = { left: 52, right: 26, top: 40, bottom: 44 };
const plot = { width: panel.width - margin.left - margin.right, height: panel.height - margin.top - margin.bottom };
const legendHeight = 26;

export function drawLineCharts({ title, axis, sizes, panels }: LineCharts): string {
  const width = panel.width * panels.length;
  const height = panel.height + legendHeight;
  const names = panels[0]?.lines.map(({ name }) => name) ?? [];
  return drawSvg(title, width, height, [
    ...names.map((name, place) => legendEntry(name, place, margin.left)),
    ...panels.map((each, place) => drawPanel(each, axis, sizes, place)),
  ]);
}

function drawPanel({ title, lines }: Panel, axis: string, sizes: readonly number[], place: number): string {
  const ticks = ticksTo(Math.max(...lines.flatMap(({ values }) => values)));
  const top = ticks.at(-1)!;
  const x = horizontal(sizes);
  const y = (value: number): number => round(margin.top + plot.height * (1 - value / top));
  const right = panel.width - margin.right;
  const bottom = panel.height - margin.bottom;
  return [
    `  <g transform="translate(${place * panel.width} ${legendHeight})">`,
    `    <text class="title" x="${margin.left}" y="${margin.top - 16}">${escaped(title)}</text>`,
    ...ticks.map(
      (tick) =>
        `    <line class="grid" x1="${margin.left}" x2="${right}" y1="${y(tick)}" y2="${y(tick)}"/><text x="${margin.left - 8}" y="${y(tick) + 4}" text-anchor="end">${told(tick)}</text>`,
    ),
    ...sizes.map((size) => `    <text x="${x(size)}" y="${bottom + 18}" text-anchor="middle">${told(size)}</text>`),
    `    <text x="${margin.left + plot.width / 2}" y="${bottom + 36}" text-anchor="middle">${escaped(axis)}</text>`,
    ...lines.map(({ name, values }, line) => {
      const points = values.map((value, index) => ({ value, size: sizes[index]!, x: x(sizes[index]!), y: y(value) }));
      return [
        `    <polyline class="line ${colours[line]}" points="${points.map((point) => `${point.x},${point.y}`).join(" ")}"/>`,
        ...points.map(
          (point) =>
            `    <circle class="${colours[line]}" cx="${point.x}" cy="${point.y}" r="3"><title>${escaped(`${name}, ${told(point.size)} ${axis}: ${told(point.value)}`)}</title></circle>`,
        ),
      ].join("\n");
    }),
    "  </g>",
  ].join("\n");
}

/** From the smallest to the largest size, by their logarithms; a single one lies in the middle. */
function horizontal(sizes: readonly number[]): (size: number) => number {
  const [least, most] = [Math.log(sizes[0] ?? 1), Math.log(sizes.at(-1) ?? 1)];
  return (size) => {
    const part = most === least ? 0.5 : (Math.log(size) - least) / (most - least);
    return round(margin.left + plot.width * part);
  };
}

/** Line charts side by side as one SVG, which a browser draws in its reader's colours: each panel over the same sizes, from 0 upwards. */

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

/** Distinguishable also without red or green (Okabe and Ito's palette: blue and vermilion, lighter on dark). */
const style = `
    text { font: 12px system-ui, sans-serif; fill: #24292f }
    .title { font-weight: 600 }
    .grid { stroke: #d0d7de }
    .line { fill: none; stroke-width: 2 }
    .first { stroke: #0072b2; fill: #0072b2 }
    .second { stroke: #d55e00; fill: #d55e00 }
    polyline.first, polyline.second { fill: none }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .grid { stroke: #3d444d }
      .first { stroke: #56b4e9; fill: #56b4e9 }
      .second { stroke: #f0a35e; fill: #f0a35e }
      polyline.first, polyline.second { fill: none }
    }
  `;
const classes = ["first", "second"] as const;

export function drawLineCharts({ title, axis, sizes, panels }: LineCharts): string {
  const width = panel.width * panels.length;
  const height = panel.height + legendHeight;
  const names = panels[0]?.lines.map(({ name }) => name) ?? [];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `  <title>${escaped(title)}</title>`,
    `  <style>${style}</style>`,
    ...names.map((name, place) => legendEntry(name, place)),
    ...panels.map((each, place) => drawPanel(each, axis, sizes, place)),
    "</svg>",
    "",
  ].join("\n");
}

function legendEntry(name: string, place: number): string {
  const x = margin.left + place * 110;
  return `  <g><circle class="${classes[place]}" cx="${x}" cy="15" r="4"/><text x="${x + 10}" y="19">${escaped(name)}</text></g>`;
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
        `    <polyline class="line ${classes[line]}" points="${points.map((point) => `${point.x},${point.y}`).join(" ")}"/>`,
        ...points.map(
          (point) =>
            `    <circle class="${classes[line]}" cx="${point.x}" cy="${point.y}" r="3"><title>${escaped(`${name}, ${told(point.size)} ${axis}: ${told(point.value)}`)}</title></circle>`,
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

/** From 0 in four or five even steps of 1, 2 or 5 times a power of ten to at least `most`. */
function ticksTo(most: number): number[] {
  const rough = Math.max(most, 1e-9) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((each) => each >= rough)!;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, place) => Number((place * step).toPrecision(6)));
}

function told(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 1 });
}

function round(pixels: number): number {
  return Math.round(pixels * 10) / 10;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

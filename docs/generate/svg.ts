/** What the charts share: a look that follows the reader's light or dark, and texts and numbers as SVG takes them. */

/** Distinguishable also without red or green (Okabe and Ito's palette: blue and vermilion, lighter on dark). */
const style = `
    text { font: 12px system-ui, sans-serif; fill: #24292f }
    .title { font-weight: 600 }
    .grid { stroke: #d0d7de }
    .line { fill: none; stroke-width: 2 }
    .range { stroke: #24292f; stroke-width: 1.5 }
    .first { stroke: #0072b2; fill: #0072b2 }
    .second { stroke: #d55e00; fill: #d55e00 }
    polyline.first, polyline.second { fill: none }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .grid { stroke: #3d444d }
      .range { stroke: #e6edf3 }
      .first { stroke: #56b4e9; fill: #56b4e9 }
      .second { stroke: #f0a35e; fill: #f0a35e }
      polyline.first, polyline.second { fill: none }
    }
  `;

/** In the order in which they are drawn. */
export const colours = ["first", "second"] as const;

/** @param title for those who cannot see it. */
export function drawSvg(title: string, width: number, height: number, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `  <title>${escaped(title)}</title>`,
    `  <style>${style}</style>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

/** A dot of its colour with a name beside it. */
export function legendEntry(name: string, place: number, left: number): string {
  const x = left + place * 110;
  return `  <g><circle class="${colours[place]}" cx="${x}" cy="15" r="4"/><text x="${x + 10}" y="19">${escaped(name)}</text></g>`;
}

/** From 0 in four or five even steps of 1, 2 or 5 times a power of ten to at least `most`. */
export function ticksTo(most: number): number[] {
  const rough = Math.max(most, 1e-9) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((each) => each >= rough)!;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, place) => Number((place * step).toPrecision(6)));
}

export function told(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 1 });
}

/** To a tenth of a pixel. */
export function round(pixels: number): number {
  return Math.round(pixels * 10) / 10;
}

export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** A line chart as Mermaid text, which GitHub draws: a benchmark's page holds its figures and their picture in one file. */

export interface LineChart {
  readonly title: string;
  /** Of what is drawn upwards. */
  readonly unit: string;
  /** What grows to the right. */
  readonly axis: string;
  readonly sizes: readonly number[];
  /** For each line one value a size. */
  readonly lines: readonly (readonly number[])[];
}

export function lineChart({ title, unit, axis, sizes, lines }: LineChart): string {
  const most = Math.max(...lines.flat());
  return [
    "```mermaid",
    "xychart-beta",
    `  title "${title}"`,
    `  x-axis "${axis}" [${sizes.map((size) => `"${size.toLocaleString("en-US")}"`).join(", ")}]`,
    `  y-axis "${unit}" 0 --> ${Math.ceil(most * 1.1)}`,
    ...lines.map((values) => `  line [${values.map((value) => Number(value.toFixed(1))).join(", ")}]`),
    "```",
  ].join("\n");
}

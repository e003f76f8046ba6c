/** Aligned columns for a terminal: numbers to the right, text to the left. */

export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string | number;
}

export function renderTable<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  const cells = rows.map((row) => columns.map((column) => column.value(row)));
  const texts = cells.map((line) =>
    line.map((cell) => (typeof cell === "number" ? cell.toLocaleString("en-US") : cell)),
  );
  const widths = columns.map((column, place) =>
    Math.max(column.title.length, ...texts.map((line) => line[place]!.length)),
  );
  const pad = (text: string, place: number, right: boolean): string =>
    right ? text.padStart(widths[place]!) : text.padEnd(widths[place]!);
  const isNumeric = columns.map(
    (_, place) => cells.length > 0 && cells.every((line) => typeof line[place] === "number"),
  );
  const lines = [columns.map((column) => column.title), ...texts];
  return lines
    .map((line) =>
      line
        .map((text, place) => pad(text, place, isNumeric[place]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/**
 * Places in a SQL text: turns the UTF-8 byte offsets of PostgreSQL's parser and the character positions of
 * its errors into line, column and an excerpt with a caret.
 */

export interface Place {
  /** 1-based. */
  readonly line: number;
  /** 1-based, in Unicode code points, as PostgreSQL counts characters. */
  readonly column: number;
  /** The line, cut to about 120 characters around the place, and below it a caret under the place. */
  readonly excerpt: string;
}

/** Excerpts longer than this many characters are cut: a seed file's line may have megabytes. */
const excerptWidth = 120;

export class SourceText {
  readonly file: string;
  readonly text: string;
  /** UTF-16 index of each line's first character. */
  readonly #lineStarts: number[];
  #bytes: Buffer | undefined;
  #lastByte = { offset: 0, index: 0 };

  constructor(file: string, text: string) {
    this.file = file;
    this.text = text;
    this.#lineStarts = lineStarts(text);
  }

  /** The UTF-16 index of a UTF-8 byte offset. */
  indexOfByte(offset: number): number {
    this.#bytes ??= Buffer.from(this.text, "utf8");
    // Plain ASCII, the usual case, needs no conversion.
    if (this.#bytes.length === this.text.length) return Math.min(offset, this.text.length);
    // Offsets are mostly asked for in rising order: go on from the last one.
    const from = offset >= this.#lastByte.offset ? this.#lastByte : { offset: 0, index: 0 };
    const index = from.index + this.#bytes.toString("utf8", from.offset, offset).length;
    this.#lastByte = { offset, index };
    return index;
  }

  /** The UTF-8 byte offset of a UTF-16 index. */
  byteOfIndex(index: number): number {
    return Buffer.byteLength(this.text.slice(0, index), "utf8");
  }

  /** The text between two UTF-8 byte offsets. */
  sliceBytes(start: number, end: number): string {
    return this.text.slice(this.indexOfByte(start), this.indexOfByte(end));
  }

  /** The UTF-16 index of a 0-based position counted in characters (code points). */
  indexOfCharacter(position: number): number {
    let index = 0;
    for (let left = position; left > 0 && index < this.text.length; left--) {
      index += (this.text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
    }
    return index;
  }

  /** The UTF-16 index at which a 1-based line starts; the text's end for a line beyond it. */
  indexOfLine(line: number): number {
    return this.#lineStarts[line - 1] ?? this.text.length;
  }

  /** 1-based number of the line that holds a UTF-16 index. */
  lineOf(index: number): number {
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.indexOfLine(middle + 1) <= index) low = middle;
      else high = middle - 1;
    }
    return low + 1;
  }

  place(index: number): Place {
    const line = this.lineOf(index);
    const start = this.indexOfLine(line);
    const lineText = this.text.slice(start, this.indexOfLine(line + 1)).replace(/\r?\n$/, "");
    const column = [...this.text.slice(start, index)].length + 1;
    return { line, column, excerpt: excerptOf([...lineText], column) };
  }
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", end + 1)) starts.push(end + 1);
  return starts;
}

function excerptOf(characters: readonly string[], column: number): string {
  const first = column > excerptWidth - 20 ? column - 40 : 0;
  const shown = characters.slice(first, first + excerptWidth);
  const before = first > 0 ? "…" : "";
  const after = first + excerptWidth < characters.length ? "…" : "";
  // A tab before the caret stays a tab, so that the caret stands below its character in any terminal.
  const indent = shown.slice(0, column - 1 - first).map((character) => (character === "\t" ? "\t" : " "));
  return `${before}${shown.join("")}${after}\n${before === "" ? "" : " "}${indent.join("")}^`;
}

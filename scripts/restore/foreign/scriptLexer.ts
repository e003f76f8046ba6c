/**
 * Cuts a script for psql into statements, rows of COPY, comments and psql's own commands, as psql does (psqlscan.l),
 * in constant memory: dumps are larger than that, and a row can be as well. What it does not hold back passes on as the
 * bytes that it was.
 *
 * A backslash escapes in E'' only (standard_conforming_strings). All bytes are read as Latin-1: whatever is not ASCII is part of a name or of text, and places are byte offsets.
 */
import { Transform, type TransformCallback } from "node:stream";
import { Refusal } from "../../contract/failure";

/** What a script is made of. A `false` leaves the piece out of what is passed on. */
export interface ScriptEvents {
  /**
   * A whole statement without its semicolon; of the `passing` ones its first bytes. Anything thrown ends the stream.
   *
   * @returns `rows` when lines of rows follow, up to `\.`.
   */
  statement(statement: LexedStatement): "pass" | "drop" | "rows";
  /** The lines between a COPY and its `\.`. */
  rows(count: number): void;
  /** A line that begins with `--`, up to 80 bytes of it. */
  comment(text: string): void;
  /** Anything that begins with a backslash. */
  command(text: string): "pass" | "drop";
}

export interface LexedStatement {
  /** UTF-8. */
  readonly text: string;
  /** The first word, in capitals. */
  readonly word: string;
  /** Groups in parentheses after `VALUES`: null when there is no `VALUES`, or an `ON CONFLICT`. */
  readonly values: number | null;
}

/** Statements that hold data: never collected, because each can be as large as a value. */
const passing: ReadonlySet<string> = new Set(["INSERT", "SELECT"]);
const keptOfPassing = 4096;

/** A definition longer than that is no dump's. */
const longestDefinition = 16 * 1024 ** 2;

/** No token that matters is longer: names have 63 bytes. */
const lookAhead = 128;

const token =
  /(?<word>[A-Za-z_\x80-\xff][\w$\x80-\xff]*)|(?<dollar>\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$)|(?<mark>--|\/\*|['"\\;()])|[^A-Za-z_\x80-\xff$'"\\;()/-]+|[^]/y;

type State =
  | { readonly in: "statement" | "name" | "line comment" | "rows" }
  | { readonly in: "text"; readonly escapes: boolean }
  | { readonly in: "dollar text"; readonly tag: string }
  | { in: "comment"; depth: number };

const inStatement: State = { in: "statement" };

const newline = 10;

export class ScriptLexer extends Transform {
  #state: State = inStatement;
  #read = 0;
  #bytes = Buffer.alloc(0);
  /** Of `#bytes`, as Latin-1. */
  #text = "";
  #place = 0;
  /** Of `#bytes`: passed, and not pushed yet. */
  #out = { start: 0, end: 0 };
  /** Of the statement: none, before its first token. */
  #held: Buffer[] | undefined;
  #heldBytes = 0;
  /** It is passed on as it comes. */
  #passes = false;
  #words: string[] = [];
  #parentheses = 0;
  /** Of SQL-standard function bodies, in which semicolons end nothing. */
  #begins = 0;
  #values: number | null = null;
  #conflict = false;
  #commentText = "";
  #insideRow = false;
  #rowsBegun = false;

  constructor(private readonly events: ScriptEvents) {
    super();
  }

  /** That were read so far. */
  get bytes(): number {
    return this.#read;
  }

  /** Whether the script ended where a statement had ended. */
  get isBetweenStatements(): boolean {
    return this.#held === undefined && (this.#state.in === "statement" || this.#state.in === "line comment");
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#run(chunk, false, done);
  }

  override _flush(done: TransformCallback): void {
    this.#run(Buffer.alloc(0), true, done);
  }

  #run(chunk: Buffer, last: boolean, done: TransformCallback): void {
    try {
      this.#read += chunk.length;
      this.#bytes = Buffer.concat([this.#bytes.subarray(this.#place), chunk]);
      this.#text = this.#bytes.toString("latin1");
      this.#place = 0;
      this.#out = { start: 0, end: 0 };
      const limit = last ? this.#bytes.length : this.#bytes.length - lookAhead;
      while (this.#place < limit) this.#step(last);
      this.#pushOut();
      if (last && this.#state.in === "line comment") this.events.comment(this.#commentText);
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  #step(last: boolean): void {
    const state = this.#state;
    switch (state.in) {
      case "statement":
        return this.#readToken(last);
      case "rows":
        return this.#readRows();
      case "line comment":
        return this.#readLineComment();
      case "comment":
        return this.#readComment(state);
      case "name":
        return this.#readUpTo('"');
      case "dollar text":
        return this.#readUpTo(state.tag);
      case "text":
        return this.#readText(state.escapes, last);
    }
  }

  #readToken(last: boolean): void {
    token.lastIndex = this.#place;
    const match = token.exec(this.#text);
    const { word, dollar, mark } = match?.groups ?? {};
    const length = match?.[0].length ?? 1;
    if (word !== undefined) this.#readWord(word, length);
    else if (dollar !== undefined) this.#open({ in: "dollar text", tag: dollar }, length);
    else if (mark !== undefined) this.#readMark(mark, last);
    else if (this.#held === undefined && match?.[0].trim() === "") this.#passOn(length);
    else this.#take(length);
  }

  #readWord(word: string, length: number): void {
    const upper = word.toUpperCase();
    if (this.#words.length < 4) this.#words.push(upper);
    if (this.#parentheses === 0) this.#noteWord(upper);
    this.#take(length);
    if (upper === "E" && this.#text[this.#place] === "'") this.#open({ in: "text", escapes: true }, 1);
  }

  #noteWord(word: string): void {
    if (word === "VALUES" && this.#values === null) this.#values = 0;
    if (word === "CONFLICT") this.#conflict = true;
    const [first, second, third, fourth] = this.#words;
    const kind = second === "OR" && third === "REPLACE" ? fourth : second;
    if (first !== "CREATE" || (kind !== "FUNCTION" && kind !== "PROCEDURE")) return;
    if (word === "BEGIN" || (word === "CASE" && this.#begins > 0)) this.#begins += 1;
    if (word === "END" && this.#begins > 0) this.#begins -= 1;
  }

  #readMark(mark: string, last: boolean): void {
    switch (mark) {
      case "'":
        return this.#open({ in: "text", escapes: false }, 1);
      case '"':
        return this.#open({ in: "name" }, 1);
      case "--":
        this.#commentText = "";
        this.#state = { in: "line comment" };
        return;
      case "/*":
        this.#state = { in: "comment", depth: 0 };
        return;
      case "\\":
        return this.#readCommand(last);
      case ";":
        if (this.#parentheses > 0 || this.#begins > 0) return this.#take(1);
        return this.#endStatement();
      case "(":
        if (this.#parentheses === 0 && this.#values !== null) this.#values += 1;
        this.#parentheses += 1;
        return this.#take(1);
      default:
        this.#parentheses = Math.max(0, this.#parentheses - 1);
        return this.#take(1);
    }
  }

  #open(state: State, length: number): void {
    this.#take(length);
    this.#state = state;
  }

  #readText(escapes: boolean, last: boolean): void {
    const mark = escapes ? /['\\]/g : /'/g;
    mark.lastIndex = this.#place;
    const found = mark.exec(this.#text);
    if (found === null) return this.#take(this.#text.length - this.#place);
    // What follows decides, and is not there yet.
    if (!last && found.index + 1 === this.#text.length) return this.#take(found.index - this.#place);
    const doubled = found[0] === "\\" || this.#text[found.index + 1] === "'";
    this.#take(found.index + (doubled ? 2 : 1) - this.#place);
    if (!doubled) this.#state = inStatement;
  }

  /** A mark that is cut in two by the end of what is there is found when the rest of it is. */
  #readUpTo(mark: string): void {
    const found = this.#text.indexOf(mark, this.#place);
    if (found === -1) return this.#take(Math.max(1, this.#text.length - this.#place - mark.length + 1));
    this.#take(found + mark.length - this.#place);
    this.#state = inStatement;
  }

  #readLineComment(): void {
    const found = this.#bytes.indexOf(newline, this.#place);
    const end = found === -1 ? this.#bytes.length : found;
    this.#commentText += this.#text.slice(this.#place, Math.min(end, this.#place + 80 - this.#commentText.length));
    this.#takeOrPass(end - this.#place);
    if (found === -1) return;
    this.#state = inStatement;
    this.events.comment(this.#commentText.trimEnd());
  }

  #readComment(state: { depth: number }): void {
    const mark = /\/\*|\*\//g;
    mark.lastIndex = this.#place;
    const found = mark.exec(this.#text);
    if (found === null) return this.#takeOrPass(Math.max(1, this.#text.length - this.#place - 1));
    state.depth += found[0] === "/*" ? 1 : -1;
    this.#takeOrPass(found.index + 2 - this.#place);
    if (state.depth === 0) this.#state = inStatement;
  }

  #readCommand(last: boolean): void {
    const found = this.#bytes.indexOf(newline, this.#place);
    const end = found === -1 ? (last ? this.#bytes.length : this.#place + lookAhead) : found;
    const action = this.events.command(this.#text.slice(this.#place, end).trimEnd());
    if (action === "pass") return this.#passOn(end - this.#place);
    this.#place = end;
  }

  #endStatement(): void {
    this.#take(1);
    const held = Buffer.concat(this.#held ?? []);
    const [word = ""] = this.#words;
    const text = held.toString("utf8").replace(/;$/, "");
    const action = this.events.statement({ text, word, values: this.#conflict ? null : this.#values });
    if (action !== "drop" && !this.#passes) {
      this.#pushOut();
      this.push(held);
    }
    if (action === "rows") [this.#state, this.#rowsBegun] = [{ in: "rows" }, false];
    this.#held = undefined;
    [this.#heldBytes, this.#words, this.#parentheses, this.#begins] = [0, [], 0, 0];
    [this.#values, this.#conflict] = [null, false];
  }

  #readRows(): void {
    if (!this.#rowsBegun) {
      // What follows the statement on its line is no row.
      const found = this.#bytes.indexOf(newline, this.#place);
      this.#passOn((found === -1 ? this.#bytes.length : found + 1) - this.#place);
      this.#rowsBegun = found !== -1;
      return;
    }
    const start = this.#place;
    let [count, place] = [0, start];
    while (place < this.#bytes.length) {
      const isEnd = !this.#insideRow && this.#bytes[place] === 0x5c && this.#bytes[place + 1] === 0x2e;
      const found = this.#bytes.indexOf(newline, place);
      if (isEnd && (found === -1 || this.#text.slice(place, found).trimEnd() === "\\.")) {
        place = found === -1 ? this.#bytes.length : found + 1;
        this.#state = inStatement;
        break;
      }
      // The end may be cut in two: it is looked at again when there is more.
      if (found === -1 && !this.#insideRow && this.#bytes.length - place < lookAhead) break;
      this.#insideRow = found === -1;
      place = found === -1 ? this.#bytes.length : found + 1;
      if (found !== -1) count += 1;
    }
    this.events.rows(count);
    this.#passOn(Math.max(place, start) - start);
    // Less than that is only left at the end: rows without their end.
    if (place === start) this.#passOn(this.#bytes.length - start);
  }

  #takeOrPass(length: number): void {
    if (this.#held === undefined) this.#passOn(length);
    else this.#take(length);
  }

  /** Bytes of the statement. */
  #take(length: number): void {
    const bytes = this.#bytes.subarray(this.#place, this.#place + length);
    if (this.#held === undefined) [this.#held, this.#passes] = [[], passing.has(this.#words[0] ?? "")];
    if (this.#passes) this.#emit(length);
    if (!this.#passes || this.#heldBytes < keptOfPassing)
      this.#held.push(this.#passes ? bytes.subarray(0, keptOfPassing) : bytes);
    this.#heldBytes += length;
    this.#place += length;
    if (!this.#passes && this.#heldBytes > longestDefinition)
      throw new Refusal(
        `the file holds a statement of more than ${longestDefinition / 1024 ** 2} MiB that is no INSERT`,
      );
  }

  #passOn(length: number): void {
    this.#emit(length);
    this.#place += length;
  }

  /** Neighbours go out together: a chunk for every token would cost more than all else. */
  #emit(length: number): void {
    if (this.#out.end !== this.#place) {
      this.#pushOut();
      this.#out.start = this.#place;
    }
    this.#out.end = this.#place + length;
  }

  #pushOut(): void {
    const { start, end } = this.#out;
    if (end > start) this.push(this.#bytes.subarray(start, end));
    this.#out = { start: this.#place, end: this.#place };
  }
}

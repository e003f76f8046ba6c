/**
 * A piece of SQL inside a migration file: the whole file, or a text within it (the body of a function, an
 * expression in such a body). Knows where in the file each of its places lies.
 */
import { type Place, SourceText } from "./sourceText";

export class Fragment {
  readonly source: SourceText;
  readonly #file: SourceText;
  readonly #toFile: (index: number) => number;

  private constructor(source: SourceText, file: SourceText, toFile: (index: number) => number) {
    this.source = source;
    this.#file = file;
    this.#toFile = toFile;
  }

  static ofFile(file: string, text: string): Fragment {
    const source = new SourceText(file, text);
    return new Fragment(source, source, (index) => index);
  }

  get file(): string {
    return this.#file.file;
  }

  /** A text within this one; `toOuter` turns an index in `text` into one of this fragment's text. */
  within(text: string, toOuter: (index: number) => number): Fragment {
    return new Fragment(new SourceText(this.file, text), this.#file, (index) => this.#toFile(toOuter(index)));
  }

  /** The place in the file of a UTF-16 index of this text. */
  placeOfIndex(index: number): Place {
    return this.#file.place(this.#toFile(index));
  }

  /** The place in the file of a UTF-8 byte offset of this text. */
  place(byteOffset: number): Place {
    return this.placeOfIndex(this.source.indexOfByte(byteOffset));
  }
}

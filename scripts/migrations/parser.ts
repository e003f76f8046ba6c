/**
 * PostgreSQL's own parser (libpg-query: the server's grammar compiled to WebAssembly): SQL text in, syntax
 * trees with places out. Nothing else in the project reads SQL.
 */
import { type Node, hasSqlDetails, loadModule, parsePlPgSQLSync, parseSync, scanSync } from "libpg-query";
import { messageOf } from "../contract/failure";
import type { SourceText } from "./sourceText";

export interface ParsedStatement {
  readonly node: Node;
  /** UTF-8 byte offsets in the parsed text: first byte of the statement, and the one after its last. */
  readonly start: number;
  readonly end: number;
}

/** The text is not SQL; `index` is the UTF-16 index of the place in the text that was parsed. */
export class SyntaxFault extends Error {
  readonly index: number;

  constructor(message: string, index: number) {
    super(message);
    this.name = "SyntaxFault";
    this.index = index;
  }
}

export interface Token {
  /** UTF-8 byte offsets in the scanned text. */
  readonly start: number;
  readonly end: number;
  /** As written. */
  readonly text: string;
  /** The grammar's name: `SCONST`, `IDENT`, `ASCII_44` for a comma. */
  readonly name: string;
}

/** Loads the WebAssembly module; everything else here needs it first. Cheap when it is loaded already. */
export const loadParser = loadModule;

/**
 * The statements of a text, in order.
 *
 * @throws SyntaxFault where the server would report a syntax error, and for texts that it could never run.
 */
export function parseStatements(source: SourceText): ParsedStatement[] {
  const nul = source.text.indexOf("\0");
  // The parser takes a C string: it would judge the part before a NUL and never see the rest.
  if (nul >= 0) throw new SyntaxFault("the text holds a NUL character", nul);
  if (/\p{Surrogate}/u.test(source.text)) throw new SyntaxFault("the text is not valid Unicode", 0);
  if (source.text === "") return [];
  const { stmts = [] } = guarded(source, () => parseSync(source.text));
  const size = Buffer.byteLength(source.text, "utf8");
  return stmts.map(({ stmt, stmt_location: start = 0, stmt_len: length }) => {
    if (stmt === undefined) throw new SyntaxFault("the parser returned a statement without a tree", 0);
    return { node: stmt, start, end: length === undefined ? size : start + length };
  });
}

/**
 * PL/pgSQL's tree of a `CREATE FUNCTION … LANGUAGE plpgsql` or `DO` statement, as libpg_query writes it
 * (`{ plpgsql_funcs: [{ PLpgSQL_function }] }`).
 *
 * @throws SyntaxFault without a place: the parser tells none here.
 */
export function parseProcedural(statement: string): unknown {
  try {
    return parsePlPgSQLSync(statement);
  } catch (error) {
    throw new SyntaxFault(messageOf(error), 0);
  }
}

/** The tokens of a text that parses, comments left out. */
export function scanTokens(text: string): Token[] {
  return scanSync(text)
    .tokens.filter((token) => token.tokenName !== "SQL_COMMENT" && token.tokenName !== "C_COMMENT")
    .map((token) => ({ start: token.start, end: token.end, text: token.text, name: token.tokenName }));
}

/** Where comments stand in a text that parses, in order: UTF-8 byte offsets. */
export function scanComments(text: string): Pick<Token, "start" | "end">[] {
  if (!/--|\/\*/.test(text)) return [];
  return scanSync(text)
    .tokens.filter((token) => token.tokenName === "SQL_COMMENT" || token.tokenName === "C_COMMENT")
    .map(({ start, end }) => ({ start, end }));
}

function guarded<T>(source: SourceText, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (hasSqlDetails(error)) {
      throw new SyntaxFault(error.message, source.indexOfCharacter(error.sqlDetails?.cursorPosition ?? 0));
    }
    // Thousands of nested expressions exhaust the stack of WebAssembly or of JSON.parse.
    throw new SyntaxFault(`too deeply nested to be parsed (${messageOf(error)})`, 0);
  }
}

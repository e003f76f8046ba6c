/**
 * What a PL/pgSQL body runs, in order: its SQL statements and expressions with their places, the texts that
 * it puts together at run time, and where a branch or a loop begins and ends.
 */
import { parseProcedural, scanTokens } from "./parser";
import { SourceText } from "./sourceText";

export type Step =
  /** SQL that the body runs. `index`: UTF-16 index in the body of the first character of `text`. */
  | { readonly kind: "sql"; readonly text: string; readonly index: number }
  /** An expression (`text` as `SELECT …`), for its function calls; `index` as if `SELECT ` stood in the body too. */
  | { readonly kind: "expression"; readonly text: string; readonly index: number }
  /** The expression whose value an EXECUTE runs. */
  | { readonly kind: "dynamic"; readonly text: string; readonly index: number }
  /** COMMIT or ROLLBACK. */
  | { readonly kind: "transaction"; readonly index: number }
  /** Code that may not run, or (`loop`) more than once, until the matching `leave`. */
  | { readonly kind: "enter"; readonly loop: boolean }
  | { readonly kind: "leave" };

/**
 * The steps of the body inside `statement` (a whole CREATE FUNCTION or DO).
 *
 * @throws SyntaxFault when PL/pgSQL's parser does not take it.
 */
export function proceduralSteps(statement: string, body: string): Step[] {
  const reader = new StepReader(body);
  reader.read(parseProcedural(statement), 1);
  return reader.steps;
}

/**
 * Does a trigger function (a whole CREATE FUNCTION) return NULL wherever it returns? Before a row is written that discards it.
 *
 * @throws SyntaxFault as `proceduralSteps`.
 */
export function alwaysReturnsNull(statement: string): boolean {
  const returns: string[] = [];
  const read = (tree: unknown): void => {
    if (Array.isArray(tree)) tree.forEach(read);
    else if (isRecord(tree)) {
      for (const [key, value] of Object.entries(tree)) {
        if (key === "PLpgSQL_stmt_return") returns.push(/"query":"(.*?)"/.exec(JSON.stringify(value))?.[1] ?? "a row");
        read(value);
      }
    }
  };
  read(parseProcedural(statement));
  return returns.length > 0 && returns.every((value) => value.toUpperCase() === "NULL");
}

const loops = new Set(
  ["loop", "while", "fori", "fors", "forc", "foreach_a", "dynfors"].map((name) => `PLpgSQL_stmt_${name}`),
);
const branches = new Set(["PLpgSQL_stmt_if", "PLpgSQL_stmt_case", "PLpgSQL_exception"]);
const transactionEnds = new Set(["PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback"]);

/** Where a statement's field of that name holds a text to be executed. */
const dynamicFields: Readonly<Record<string, string>> = {
  PLpgSQL_stmt_dynexecute: "query",
  PLpgSQL_stmt_dynfors: "query",
  PLpgSQL_stmt_return_query: "dynquery",
  PLpgSQL_stmt_open: "dynquery",
};

class StepReader {
  readonly steps: Step[] = [];
  readonly #body: string;
  readonly #lines: SourceText;

  constructor(body: string) {
    this.#body = body;
    this.#lines = new SourceText("", body);
  }

  read(tree: unknown, line: number): void {
    if (Array.isArray(tree)) for (const element of tree) this.read(element, line);
    else if (isRecord(tree)) for (const [key, value] of Object.entries(tree)) this.#readField(key, value, line);
  }

  #readField(key: string, value: unknown, line: number): void {
    if (!isRecord(value)) {
      this.read(value, line);
      return;
    }
    const own = typeof value["lineno"] === "number" ? value["lineno"] : line;
    if (key === "PLpgSQL_expr") this.#readExpression(value, own);
    else if (transactionEnds.has(key)) this.steps.push({ kind: "transaction", index: this.#statementIndex(own) });
    else if (loops.has(key) || branches.has(key) || "exceptions" in value) {
      this.steps.push({ kind: "enter", loop: loops.has(key) });
      this.#readStatement(key, value, own);
      this.steps.push({ kind: "leave" });
    } else this.#readStatement(key, value, own);
  }

  #readStatement(key: string, value: Record<string, unknown>, line: number): void {
    const dynamic = dynamicFields[key];
    for (const [field, child] of Object.entries(value)) {
      if (field === dynamic && isRecord(child)) this.#readDynamic(child["PLpgSQL_expr"], line);
      else this.#readField(field, child, line);
    }
  }

  #readDynamic(expression: unknown, line: number): void {
    const text = isRecord(expression) && typeof expression["query"] === "string" ? expression["query"] : "";
    this.steps.push({ kind: "dynamic", text: `SELECT ${text}`, index: this.#find(text, line) - selectLength });
  }

  /** `parseMode` says how PL/pgSQL reads the text (parser/parser.h, RawParseMode). */
  #readExpression(expression: Record<string, unknown>, line: number): void {
    const text = typeof expression["query"] === "string" ? expression["query"] : "";
    switch (expression["parseMode"]) {
      case 0:
        this.steps.push({ kind: "sql", text, index: this.#findStatement(text, line) });
        return;
      case 2:
        this.steps.push({ kind: "expression", text: `SELECT ${text}`, index: this.#find(text, line) - selectLength });
        return;
      default: {
        // An assignment (`target := value`): the target's subscripts may call functions as well.
        const [target, value] = splitAssignment(text);
        const index = this.#find(text, line);
        this.steps.push({ kind: "expression", text: `SELECT ${target}`, index: index - selectLength });
        this.steps.push({
          kind: "expression",
          text: `SELECT ${value}`,
          index: index + text.length - value.length - selectLength,
        });
      }
    }
  }

  /** PERFORM is kept as a SELECT. */
  #findStatement(text: string, line: number): number {
    if (this.#body.indexOf(text, this.#lines.indexOfLine(line)) >= 0 || !text.startsWith("SELECT ")) {
      return this.#find(text, line);
    }
    return this.#find(text.slice(selectLength), line) - selectLength;
  }

  /** An INTO is blanked out of the text, at the same length: then its first word tells the place. */
  #find(text: string, line: number): number {
    const start = this.#lines.indexOfLine(line);
    const whole = this.#body.indexOf(text, start);
    if (whole >= 0) return whole;
    const word = this.#body.indexOf(/^\S*/.exec(text)?.[0] ?? "", start);
    return word >= 0 ? word : start;
  }

  #statementIndex(line: number): number {
    const start = this.#lines.indexOfLine(line);
    return start + (/^\s*/.exec(this.#body.slice(start))?.[0].length ?? 0);
  }
}

const selectLength = "SELECT ".length;

function splitAssignment(text: string): [target: string, value: string] {
  let depth = 0;
  for (const token of scanTokens(text)) {
    if (token.text === "(" || token.text === "[") depth += 1;
    else if (token.text === ")" || token.text === "]") depth -= 1;
    else if (depth === 0 && (token.text === ":=" || token.text === "=")) {
      const source = new SourceText("", text);
      return [text.slice(0, source.indexOfByte(token.start)), text.slice(source.indexOfByte(token.end))];
    }
  }
  return ["NULL", text];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

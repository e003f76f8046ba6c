/** Every error that the program can say, from the places in its code that throw it: message, exit code, what to do. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { type ExitCode, exitCode } from "../../scripts/contract/failure";
import { markdownTable } from "./markdown";

export interface DeclaredError {
  /** What is filled in at run time stands in angle brackets. */
  readonly message: string;
  readonly exitCode: ExitCode;
  /** What to do about it; empty where the message itself says what is expected. */
  readonly hint: string;
}

/** The classes of scripts/contract/failure.ts, and commander's for the value of an option. */
const exitCodes: Readonly<Record<string, ExitCode>> = {
  Refusal: exitCode.refused,
  UsageError: exitCode.usage,
  InvalidArgumentError: exitCode.usage,
  Unavailable: exitCode.unreachable,
  Damage: exitCode.damaged,
};

/** @param folder the project's. Errors whose message is a platform's own words are not among them. */
export function declaredErrors(folder: string): DeclaredError[] {
  const files = ["scripts", "components"].flatMap((top) =>
    readdirSync(join(folder, top), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && !file.startsWith("rehearsal"))
      .map((file) => join(folder, top, file)),
  );
  const errors = files.flatMap((file) => errorsOf(readFileSync(file, "utf8")));
  const byText = new Map(errors.map((error) => [`${error.message}\0${error.exitCode}\0${error.hint}`, error]));
  return [...byText.values()].sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
}

/** The errors of one exit code: message and what to do, in alphabetical order of the words. */
export function errorTable(errors: readonly DeclaredError[]): string {
  return markdownTable(
    ["message", "what to do"],
    errors.map(({ message, hint }) => [escaped(message), escaped(hint)]),
  );
}

function sortKey({ message, hint }: DeclaredError): string {
  return `${message
    .replace(/<[^>]*>|[^\p{L}\p{N} ]/gu, "")
    .trim()
    .toLowerCase()}\0${message}\0${hint}`;
}

/** Messages are text: what Markdown would take as markup is none. */
function escaped(text: string): string {
  return text.replace(/[\\`*_[\]<>$~|]/g, (character) => `\\${character}`);
}

/** @param source TypeScript. */
export function errorsOf(source: string): DeclaredError[] {
  // Parsing takes its time, and most files throw nothing.
  if (!new RegExp(`new (?:${Object.keys(exitCodes).join("|")})\\(`).test(source)) return [];
  const file = ts.createSourceFile("source.ts", source, ts.ScriptTarget.Latest, true);
  const found: DeclaredError[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isNewExpression(node) && ts.isIdentifier(node.expression)) {
      const code = exitCodes[node.expression.text];
      const [message, options] = node.arguments ?? [];
      if (code !== undefined && message !== undefined) {
        const hints = textsOf(hintOf(options)) ?? [""];
        for (const text of (textsOf(message) ?? []).filter(saysSomething))
          for (const hint of hints) found.push({ message: text, exitCode: code, hint });
      }
    }
    node.forEachChild(visit);
  };
  visit(file);
  return found;
}

/** Whether there is a word that is not filled in. */
function saysSomething(message: string): boolean {
  return /\p{L}{3}/u.test(message.replace(/<[^>]*>/g, ""));
}

function hintOf(options: ts.Expression | undefined): ts.Expression | undefined {
  if (options === undefined || !ts.isObjectLiteralExpression(options)) return undefined;
  for (const property of options.properties) {
    if (property.name?.getText() !== "hint") continue;
    if (ts.isPropertyAssignment(property)) return property.initializer;
    if (ts.isShorthandPropertyAssignment(property)) return property.name;
  }
  return undefined;
}

/** What an expression can say, one text for each branch; undefined: its words come from elsewhere. */
function textsOf(node: ts.Expression | undefined): string[] | undefined {
  if (node === undefined) return undefined;
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isParenthesizedExpression(node)) return textsOf(node.expression);
  if (ts.isTemplateExpression(node)) {
    const spans = node.templateSpans.map(({ expression, literal }) => placeholder(expression) + literal.text);
    return [node.head.text + spans.join("")];
  }
  if (ts.isConditionalExpression(node)) {
    const branches = [node.whenTrue, node.whenFalse].flatMap((branch) => textsOf(branch) ?? []);
    return branches.length === 0 ? undefined : branches;
  }
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) {
    const [left, right] = [textsOf(node.left)?.[0], textsOf(node.right)?.[0]];
    return left === undefined || right === undefined ? undefined : [left + right];
  }
  if (ts.isIdentifier(node)) return textsOf(initializerOf(node));
  return undefined;
}

/** Of the nearest constant of that name in the blocks around it. */
function initializerOf(name: ts.Identifier): ts.Expression | undefined {
  for (let scope: ts.Node | undefined = name.parent; scope !== undefined; scope = scope.parent) {
    if (!ts.isBlock(scope) && !ts.isSourceFile(scope)) continue;
    for (const statement of scope.statements) {
      if (!ts.isVariableStatement(statement)) continue;
      for (const { name: declared, initializer } of statement.declarationList.declarations)
        if (ts.isIdentifier(declared) && declared.text === name.text) return initializer;
    }
  }
  return undefined;
}

/** A few words for what is filled in: `${store.url}` is `<store url>`. */
function placeholder(node: ts.Expression): string {
  const constant = ts.isIdentifier(node) ? initializerOf(node) : node;
  if (constant !== undefined && ts.isStringLiteralLike(constant)) return constant.text;
  if (constant !== undefined && ts.isConditionalExpression(constant)) {
    const branches = textsOf(constant)?.filter((text) => text !== "");
    if (branches?.length === 2 && textsOf(constant)?.length === 2) return `<${branches.join(" | ")}>`;
  }
  return `<${wordsOf(node)}>`;
}

function wordsOf(node: ts.Expression): string {
  if (ts.isIdentifier(node)) return spaced(node.text);
  if (ts.isNonNullExpression(node) || ts.isParenthesizedExpression(node)) return wordsOf(node.expression);
  if (ts.isElementAccessExpression(node)) return wordsOf(node.expression);
  if (ts.isBinaryExpression(node)) return wordsOf(node.left);
  if (ts.isPropertyAccessExpression(node)) {
    const owner = node.expression.kind === ts.SyntaxKind.ThisKeyword ? "" : wordsOf(node.expression);
    return node.name.text === "length" ? `number of ${owner}` : `${owner} ${spaced(node.name.text)}`.trim();
  }
  if (ts.isCallExpression(node)) return wordsOfCall(node);
  return "…";
}

/** `describeTarget(target)` is told as what it describes, any other call by what it is given. */
function wordsOfCall({ expression, arguments: [first] }: ts.CallExpression): string {
  const callee = expression.getText();
  if (callee === "messageOf") return "the error";
  if (callee === "codeOf") return "the error's code";
  const described = /^describe(\w+)$/.exec(callee)?.[1];
  if (described !== undefined) return spaced(described);
  if (ts.isPropertyAccessExpression(expression) && callee !== "JSON.stringify") return wordsOf(expression.expression);
  return first === undefined ? spaced(callee) : wordsOf(first);
}

function spaced(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
}

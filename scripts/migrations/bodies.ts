/** Bodies of functions and DO blocks: what they run is judged like the file's own statements. */
import type { Node } from "libpg-query";
import type { Fragment } from "./fragment";
import type { Inspector } from "./inspector";
import { SyntaxFault, type Token, parseStatements, scanTokens } from "./parser";
import { type Step, proceduralSteps } from "./plpgsql";
import type { Routine, Scope } from "./scope";
import { SourceText } from "./sourceText";
import { as, display, strings, writtenName } from "./syntaxTree";

/** Judges the body of a function or procedure that the set defines. */
export async function judgeRoutine(routine: Routine, caller: Inspector): Promise<void> {
  const { definition, fragment, start, end } = routine;
  // Whatever a called function makes is gone from view when it returns: it may not have run to its end.
  const scope = caller.scope.branch(false);
  const inspector = caller.with({ fragment, start, end, scope, inBody: true });
  const path = ownSearchPath(definition.options);
  const restore = path === undefined ? () => undefined : scope.setSearchPath(path);
  try {
    await judgeDefinition(definition, inspector);
  } finally {
    restore();
  }
}

async function judgeDefinition(definition: Routine["definition"], inspector: Inspector): Promise<void> {
  if (definition.sql_body !== undefined) {
    await judgeAtomicBody(definition.sql_body, inspector);
    return;
  }
  const words = strings(as(option(definition.options, "as"), "List")?.items);
  await judgeText(languageOf(definition), words[0] ?? "", inspector, () => {
    return `the function ${display(writtenName(strings(definition.funcname)))}`;
  });
}

/** In lower case. */
export function languageOf(definition: Routine["definition"]): string {
  return as(option(definition.options, "language"), "String")?.sval?.toLowerCase() ?? "sql";
}

/** Judges a DO block, which runs where it stands. */
export async function judgeProcedure(args: readonly Node[] | undefined, caller: Inspector): Promise<void> {
  const language = as(option(args, "language"), "String")?.sval ?? "plpgsql";
  const body = as(option(args, "as"), "String")?.sval ?? "";
  await judgeText(language, body, caller.with({ inBody: true }), () => "the DO block");
}

async function judgeText(language: string, body: string, inspector: Inspector, what: () => string): Promise<void> {
  const place = bodyOf(body, inspector);
  if (language.toLowerCase() === "plpgsql") await judgeProcedural(place, inspector, what());
  else if (language.toLowerCase() === "sql") await judgeSql(place, inspector, what());
  else inspector.report("unanalysable-function", `${what()} is written in ${language}`);
}

async function judgeAtomicBody(body: Node, inspector: Inspector): Promise<void> {
  const statements = as(body, "List")?.items;
  if (statements === undefined) {
    await inspector.judge(body);
    return;
  }
  for (const group of statements) for (const node of as(group, "List")?.items ?? [group]) await inspector.judge(node);
}

/** Judges SQL text: a body in the language SQL, a statement of a PL/pgSQL body, a constant that is executed. */
async function judgeSql(fragment: Fragment, inspector: Inspector, what: string): Promise<void> {
  let statements;
  try {
    statements = parseStatements(fragment.source);
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error;
    inspector.report("unparseable-body", `${what} cannot be read: ${error.message}`);
    return;
  }
  for (const { node, start, end } of statements) await inspector.with({ fragment, start, end }).judge(node);
}

async function judgeProcedural(body: Fragment, inspector: Inspector, what: string): Promise<void> {
  let steps: Step[];
  try {
    steps = proceduralSteps(inspector.text(), body.source.text);
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error;
    inspector.report("unparseable-body", `${what} cannot be read: ${error.message}`);
    return;
  }
  const scopes: Scope[] = [inspector.scope];
  for (const step of steps) {
    const current = inspector.with({ scope: scopes.at(-1) ?? inspector.scope });
    if (step.kind === "enter") scopes.push(current.scope.branch(step.loop));
    else if (step.kind === "leave") scopes.pop();
    else if (step.kind === "transaction") {
      current
        .with({ fragment: body, start: body.source.byteOfIndex(step.index) })
        .report("transaction-control", `${what} ends the transaction`);
    } else await judgeStep(step, body, current, what);
  }
}

type TextStep = Extract<Step, { readonly text: string }>;

async function judgeStep(step: TextStep, body: Fragment, inspector: Inspector, what: string): Promise<void> {
  const fragment = body.within(step.text, (index) => Math.max(0, step.index + index));
  if (step.kind !== "dynamic") {
    await judgeSql(fragment, inspector, what);
    return;
  }
  const constant = constantOf(fragment);
  const place = "SELECT ".length;
  if (constant === undefined) {
    inspector
      .with({ fragment, start: place })
      .report("dynamic-sql", `${what} puts a statement together at run time and executes it`);
    return;
  }
  // Written as a constant it can be read; every place in it is the constant's own.
  await judgeSql(
    fragment.within(constant, () => place),
    inspector,
    what,
  );
}

/** The text of an expression that is one string constant. */
function constantOf(expression: Fragment): string | undefined {
  try {
    const [statement] = parseStatements(expression.source);
    const targets = as(statement?.node, "SelectStmt")?.targetList;
    return targets?.length === 1 ? as(as(targets[0], "ResTarget")?.val, "A_Const")?.sval?.sval : undefined;
  } catch (error) {
    if (error instanceof SyntaxFault) return undefined;
    throw error;
  }
}

/** The body as a fragment: knows where in the statement each of its places is written. */
function bodyOf(body: string, inspector: Inspector): Fragment {
  const { fragment, start } = inspector.position;
  const statement = new SourceText("", inspector.text());
  const base = fragment.source.indexOfByte(start);
  const token = scanTokens(statement.text).find((candidate) => isQuoted(candidate, body));
  if (token === undefined) return fragment.within(body, () => base);
  const opening = base + statement.indexOfByte(token.start);
  const verbatim = token.text.indexOf(body);
  if (verbatim >= 0) return fragment.within(body, (index) => opening + verbatim + index);
  // Doubled quotes shift what follows on their line: every place is then its line's first character.
  const [read, written] = [new SourceText("", body), new SourceText("", token.text)];
  return fragment.within(body, (index) => opening + written.indexOfLine(read.lineOf(index)));
}

/** Dollar quotes hold a body as it is, plain quotes with its own quotes doubled. */
function isQuoted(token: Token, body: string): boolean {
  return (
    token.name === "SCONST" && body !== "" && token.text.replaceAll("''", "'").includes(body.replaceAll("''", "'"))
  );
}

/** `SET search_path = …` of the function; undefined: its caller's. */
function ownSearchPath(options: readonly Node[] | undefined): readonly string[] | undefined {
  const settings = (options ?? []).map((node) => as(as(node, "DefElem")?.arg, "VariableSetStmt"));
  const set = settings.find((one) => one?.name === "search_path");
  if (set === undefined || set.kind === "VAR_SET_CURRENT") return undefined;
  return (set.args ?? []).flatMap((word) => as(word, "A_Const")?.sval?.sval ?? "").filter((word) => word !== "$user");
}

function option(options: readonly Node[] | undefined, name: string): Node | undefined {
  return (options ?? []).map((node) => as(node, "DefElem")).find((element) => element?.defname === name)?.arg;
}

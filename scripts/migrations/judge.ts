/**
 * The static judge: PostgreSQL's own parser reads every migration of a set, in order, and what is not known
 * to be additive is refused. Comments in the SQL silence nothing; only the stack's config can override.
 */
import { judgeRoutine } from "./bodies";
import { judgeCall } from "./calls";
import { type Catalog, noCatalog } from "./catalog";
import { FileOutline } from "./fileOutline";
import type { Finding, Judgement } from "./finding";
import { Fragment } from "./fragment";
import { FollowedBodies } from "./followedBodies";
import { type Court, Inspector } from "./inspector";
import { type Opinion, squawkRules } from "./opinion";
import { judgeOperator } from "./operators";
import { type ParsedStatement, SyntaxFault, loadParser, parseStatements } from "./parser";
import { statementRules } from "./rules/index";
import { Scope } from "./scope";
import { as, relationName, visit } from "./syntaxTree";
import { planRun } from "./transactionMode";

export { type Finding, type Judgement, findingId, findingSchema, judgementSchema, summarizeFinding } from "./finding";
export { type Catalog, liveCatalog, noCatalog } from "./catalog";

export interface MigrationText {
  /** File name without its folder: what findings and overrides name. */
  readonly file: string;
  readonly sql: string;
}

/**
 * Judges a set of migrations in the order in which they will run. Without `catalog`, whatever depends on the
 * live database is refused. A file that does not parse is a finding too, never an exception.
 */
export async function judgeMigrations(
  files: readonly MigrationText[],
  catalog: Catalog = noCatalog,
  opinions: Opinions = new Map(),
): Promise<Judgement> {
  await loadParser();
  const findings = new Map<string, Finding>();
  const court: Court = {
    handlers: statementRules,
    catalog,
    findings,
    judgeCall,
    judgeOperator,
    judgeBody: judgeRoutine,
    followed: new FollowedBodies(),
  };
  const scope = new Scope(catalog.searchPath);
  for (const migration of files) {
    scope.startFile();
    await judgeFile(migration, court, scope, opinions.get(migration.file) ?? []);
  }
  const order = new Map(files.map(({ file }, place) => [file, place]));
  const sorted = [...findings.values()].sort(
    (a, b) => (order.get(a.file) ?? 0) - (order.get(b.file) ?? 0) || a.line - b.line || a.column - b.column,
  );
  return { verdict: sorted.some((finding) => finding.severity === "refuse") ? "refused" : "pass", findings: sorted };
}

/** What another linter says, by file. */
export type Opinions = ReadonlyMap<string, readonly Opinion[]>;

async function judgeFile(
  { file, sql }: MigrationText,
  court: Court,
  scope: Scope,
  opinions: readonly Opinion[],
): Promise<void> {
  const fragment = Fragment.ofFile(file, sql);
  let statements: readonly ParsedStatement[];
  const inspectorOf = (statement: ParsedStatement, statementIndex: number, outline: FileOutline): Inspector =>
    new Inspector(court, {
      fragment,
      scope,
      mode: "executed",
      start: statement.start,
      end: statement.end,
      outline,
      statementIndex,
      routines: [],
      inBody: false,
    });
  try {
    statements = parseStatements(fragment.source);
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error;
    const start = fragment.source.byteOfIndex(error.index);
    const nothing = { node: {}, start, end: start } as ParsedStatement;
    inspectorOf(nothing, 0, new FileOutline([])).report("unparseable", error.message);
    return;
  }
  const outline = new FileOutline(statements);
  for (const fault of planRun(statements).faults) {
    inspectorOf(fault.statement, 0, outline).report(fault.rule, fault.reason);
  }
  for (const [index, statement] of statements.entries()) {
    const inspector = inspectorOf(statement, index, outline);
    // Asked before the statement is judged: it may drop or rename the table.
    const own = isOfOwnTable(statement.node, scope);
    const before = new Set(court.findings.keys());
    await inspector.judge(statement.node);
    const of = [...court.findings].flatMap(([key, finding]) => (before.has(key) ? [] : [finding.rule]));
    if (own || isValidation(statement.node)) continue;
    for (const { rule, index: place, reason } of opinions) {
      const offset = fragment.source.byteOfIndex(place);
      if (offset < statement.start || offset >= statement.end) continue;
      // One finding for one thing: ours, which knows the set and the database.
      if (squawkRules[rule].some((same) => of.includes(same))) continue;
      inspector.report(`squawk/${rule}`, `squawk: ${reason}`, offset);
    }
  }
  informOfEnumValues(statements, (statement) => inspectorOf(statement, 0, outline));
}

/** Squawk knows one file: a table that an earlier one of the set made looks old to it. */
function isOfOwnTable(node: ParsedStatement["node"], scope: Scope): boolean {
  const { relation } = as(node, "AlterTableStmt") ?? as(node, "IndexStmt") ?? as(node, "ReindexStmt") ?? {};
  if (relation === undefined) return false;
  const name = relationName(relation);
  return scope.isCreatedTable(name) || scope.hasObject("materialized view", name);
}

/** What VALIDATE CONSTRAINT keeps waiting, `judgeValidation` knows: squawk takes the constraint of any table for this one's. */
function isValidation(node: ParsedStatement["node"]): boolean {
  const commands = as(node, "AlterTableStmt")?.cmds ?? [];
  return commands.length > 0 && commands.every((one) => as(one, "AlterTableCmd")?.subtype === "AT_ValidateConstraint");
}

/** PostgreSQL refuses a new enum value in the transaction that adds it (error 55P04): told by its literal. */
function informOfEnumValues(
  statements: readonly ParsedStatement[],
  inspectorOf: (statement: ParsedStatement) => Inspector,
): void {
  const added = new Set<string>();
  for (const statement of statements) {
    const change = as(statement.node, "AlterEnumStmt");
    if (change !== undefined) {
      if (change.oldVal === undefined && change.newVal !== undefined) added.add(change.newVal);
      continue;
    }
    if (added.size === 0) continue;
    visit(statement.node, (kind, value) => {
      const text = kind === "A_Const" ? (value as { sval?: { sval?: string } }).sval?.sval : undefined;
      if (text === undefined || !added.has(text)) return;
      inspectorOf(statement).report("enum-value-used", `may use the enum value '${text}' that this file adds`);
    });
  }
}

/**
 * One statement under judgement: where it stands, what is known, and what its rules may do: report, look
 * into nested statements and expressions, follow calls into bodies. Rules never see each other; they meet here.
 */
import type { Node } from "libpg-query";
import type { Catalog } from "./catalog";
import type { FileOutline } from "./fileOutline";
import type { Finding } from "./finding";
import type { FollowedBodies } from "./followedBodies";
import type { Fragment } from "./fragment";
import { type RuleId, ruleCatalog } from "./ruleCatalog";
import type { Routine, Scope } from "./scope";
import { type NodeKind, type NodeOf, type WrittenName, unwrap, visit, writtenName, strings } from "./syntaxTree";

/** Judges one kind of statement, or another node that acts. */
export type Handler<K extends NodeKind> = (node: NodeOf<K>, inspector: Inspector) => void | Promise<void>;

export type Handlers = { readonly [K in NodeKind]?: Handler<K> };

/**
 * `executed`: the migration itself runs the code, so every function that it calls must be known.
 * `attached`: the code is only stored (trigger, default, policy, view) and runs with the application's statements.
 */
export type Mode = "executed" | "attached";

/** What all inspectors of one judgement share. */
export interface Court {
  readonly handlers: Handlers;
  readonly catalog: Catalog;
  readonly findings: Map<string, Finding>;
  readonly followed: FollowedBodies;
  /** Judges a call of the named function. */
  judgeCall(name: WrittenName, call: NodeOf<"FuncCall">, inspector: Inspector): Promise<void>;
  /** Judges the use of an operator. */
  judgeOperator(operator: WrittenName, offset: number | undefined, inspector: Inspector): Promise<void>;
  /** Judges the body of a function of the set. */
  judgeBody(routine: Routine, inspector: Inspector): Promise<void>;
}

interface Position {
  readonly fragment: Fragment;
  readonly scope: Scope;
  readonly mode: Mode;
  /** UTF-8 byte offsets of the statement in the fragment. */
  readonly start: number;
  readonly end: number;
  /** What the file makes anew, and how far in it we are. */
  readonly outline: FileOutline;
  /** Index of the file's statement that is being judged. */
  readonly statementIndex: number;
  /** Bodies that are being followed: recursion ends there. */
  readonly routines: readonly Routine[];
  /** In a body `SELECT … INTO` sets variables, and a `SET` may belong to the function. */
  readonly inBody: boolean;
}

/** Kinds that act wherever they stand: at the top, in a WITH clause, inside EXPLAIN. */
const actingKinds: ReadonlySet<NodeKind> = new Set(["InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"] as const);

/** Functions that call each other: deeper than anybody writes, and what the stack holds. */
const deepestCall = 100;

export class Inspector {
  readonly #court: Court;
  readonly position: Position;

  constructor(court: Court, position: Position) {
    this.#court = court;
    this.position = position;
  }

  get scope(): Scope {
    return this.position.scope;
  }

  get catalog(): Catalog {
    return this.#court.catalog;
  }

  get mode(): Mode {
    return this.position.mode;
  }

  /** The same statement seen otherwise; or another one within it. */
  with(changes: Partial<Position>): Inspector {
    return new Inspector(this.#court, { ...this.position, ...changes });
  }

  attached(): Inspector {
    return this.with({ mode: "attached" });
  }

  /** A SET of the search path; undefined: it cannot be told to what. In a body it may not run, or end with it. */
  changeSearchPath(path: readonly string[] | undefined): void {
    this.scope.setSearchPath(this.position.inBody ? undefined : path);
  }

  /** Does the file itself, in a later statement of its own, make an object of this key? */
  makesLater(key: string): boolean {
    const { outline, statementIndex, inBody } = this.position;
    return !inBody && outline.makesLater(key, statementIndex);
  }

  /** The statement's own text. */
  text(): string {
    return this.position.fragment.source.sliceBytes(this.position.start, this.position.end);
  }

  /** Reports at a byte offset of the fragment, by default the statement's first byte. One place, one report. */
  report(rule: RuleId, reason: string, offset: number = this.position.start): void {
    const { routines, fragment } = this.position;
    const { line, column, excerpt } = fragment.place(offset);
    const live = routines.at(-1)?.live;
    const told = live === undefined ? reason : `${reason}, in the body of ${live}`;
    const { family, severity, saferWay } = ruleCatalog[rule];
    const { file } = fragment;
    const key = JSON.stringify([file, line, column, rule, told]);
    if (this.#court.findings.has(key)) return;
    this.#court.findings.set(key, { file, rule, family, severity, line, column, excerpt, reason: told, saferWay });
  }

  /** Judges a whole statement; what no rule knows is refused. */
  async judge(node: Node): Promise<void> {
    const { kind, value } = unwrap(node);
    const handler = this.#court.handlers[kind] as Handler<NodeKind> | undefined;
    if (handler !== undefined) await handler(value, this);
    else this.report("unknown-statement", `${statementWords(kind)} is not known to be additive`);
  }

  /** Looks at everything below a tree: statements that change rows in it, and the functions that it calls. */
  async inspect(tree: unknown): Promise<void> {
    const found: (() => Promise<void>)[] = [];
    visit(tree, (kind, value) => {
      if (actingKinds.has(kind)) {
        found.push(() => this.judge({ [kind]: value } as Node));
        return false;
      }
      if (kind === "FuncCall") {
        const call = value as NodeOf<"FuncCall">;
        found.push(() => this.#court.judgeCall(writtenName(strings(call.funcname)), call, this));
      }
      const operator = operatorOf(kind, value);
      if (operator !== undefined) {
        const { location } = value as NodeOf<"A_Expr">;
        found.push(() => this.#court.judgeOperator(operator, location, this));
      }
      return true;
    });
    for (const judgeOne of found) await judgeOne();
  }

  /** Judges a call that is not wrapped as a node: CALL, and functions named without arguments. */
  async call(call: NodeOf<"FuncCall">): Promise<void> {
    await this.#court.judgeCall(writtenName(strings(call.funcname)), call, this);
    await this.inspect(call.args);
  }

  /** Judges the body of a function, unless it is being judged already or was in this situation. */
  async judgeBody(routine: Routine): Promise<void> {
    const { routines, mode, scope } = this.position;
    if (routines.some(({ id }) => id === routine.id)) return;
    // What a live function does is told at each place that calls it.
    const situation = `${mode} ${scope.situation} ${routine.live === undefined ? "" : JSON.stringify(routine.fragment.placeOfIndex(0))}`;
    const followed = this.#court.followed.follow(routine, situation);
    if (followed === "known") return;
    if (followed === "too-often" || routines.length >= deepestCall) {
      this.report("unanalysable-function", "calls functions more often, or more deeply, than can be followed");
      return;
    }
    await this.#court.judgeBody(routine, this.with({ routines: [...routines, routine] }));
  }
}

/** The operator that an expression names; LIKE, BETWEEN and the like are PostgreSQL's own. */
function operatorOf(kind: NodeKind, value: object): WrittenName | undefined {
  if (kind === "SubLink") {
    const { operName } = value as NodeOf<"SubLink">;
    return operName === undefined ? undefined : writtenName(strings(operName));
  }
  if (kind !== "A_Expr") return undefined;
  const { kind: form, name } = value as NodeOf<"A_Expr">;
  return /^AEXPR_OP(_ANY|_ALL)?$/.test(form ?? "") ? writtenName(strings(name)) : undefined;
}

/** `AlterSystemStmt` as "ALTER SYSTEM". */
function statementWords(kind: string): string {
  return kind
    .replace(/Stmt$/, "")
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .toUpperCase();
}

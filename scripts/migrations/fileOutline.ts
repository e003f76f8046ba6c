/** What a file makes at its top level, so that a drop that only makes room for its successor can be told. */
import type { DefElem, FunctionParameter, Node, TypeName } from "libpg-query";
import type { ParsedStatement } from "./parser";
import { type WrittenName, as, display, relationName, strings, typeNameOf, writtenName } from "./syntaxTree";

export class FileOutline {
  /** Key of an object to the index of the last statement that makes it. */
  readonly #made = new Map<string, number>();

  constructor(statements: readonly ParsedStatement[]) {
    statements.forEach((statement, index) => {
      for (const key of keysMadeBy(statement.node)) this.#made.set(key, index);
    });
  }

  /** Does a statement from `index` on make an object of this key? */
  makesLater(key: string, index: number): boolean {
    return (this.#made.get(key) ?? -1) >= index;
  }
}

/** The key of an object that belongs to a table: policy, trigger, rule, constraint. */
export function partKey(kind: "policy" | "trigger" | "rule" | "constraint", table: WrittenName, part: string): string {
  return `${kind} ${part} on ${display(table)}`;
}

export function viewKey(name: WrittenName): string {
  return `view ${display(name)}`;
}

export function typeKey(name: WrittenName): string {
  return `type ${display(name)}`;
}

/** That row level security of a table is switched on. */
export function rowSecurityKey(table: WrittenName): string {
  return `row security ${display(table)}`;
}

/** That a function, of whatever types, gets a search path of its own. */
export function searchPathKey(routine: WrittenName): string {
  return `search path ${display(routine)}`;
}

/** Do these options of a function set its search path? */
export function setsSearchPath(options: readonly DefElem[]): boolean {
  return options.some(({ arg }) => {
    const set = as(arg, "VariableSetStmt");
    return set?.name === "search_path" && (set.kind === "VAR_SET_VALUE" || set.kind === "VAR_SET_CURRENT");
  });
}

/** A function with its input types: another signature is another function. */
export function functionKey(name: WrittenName, inputs: readonly (TypeName | undefined)[]): string {
  return `function ${display(name)}(${inputs.map(typeWords).join(", ")})`;
}

/** The types that tell functions of one name apart. */
export function inputTypes(parameters: readonly Node[] | undefined): (TypeName | undefined)[] {
  return (parameters ?? [])
    .map((parameter) => as(parameter, "FunctionParameter"))
    .filter((parameter): parameter is FunctionParameter => isInput(parameter))
    .map((parameter) => parameter.argType);
}

function isInput(parameter: FunctionParameter | undefined): parameter is FunctionParameter {
  return parameter !== undefined && parameter.mode !== "FUNC_PARAM_OUT" && parameter.mode !== "FUNC_PARAM_TABLE";
}

function typeWords(type: TypeName | undefined): string {
  return `${typeNameOf(type).name}${"[]".repeat(type?.arrayBounds?.length ?? 0)}`;
}

function keysMadeBy(node: Node): string[] {
  const policy = as(node, "CreatePolicyStmt");
  if (policy !== undefined) return [partKey("policy", relationName(policy.table), policy.policy_name ?? "")];
  const trigger = as(node, "CreateTrigStmt");
  if (trigger !== undefined) return [partKey("trigger", relationName(trigger.relation), trigger.trigname ?? "")];
  const rule = as(node, "RuleStmt");
  if (rule !== undefined) return [partKey("rule", relationName(rule.relation), rule.rulename ?? "")];
  const view = as(node, "ViewStmt");
  if (view !== undefined) return [viewKey(relationName(view.view))];
  const routine = as(node, "CreateFunctionStmt");
  if (routine !== undefined) {
    return [functionKey(writtenName(strings(routine.funcname)), inputTypes(routine.parameters))];
  }
  const type = as(node, "CreateEnumStmt")?.typeName ?? as(node, "CreateDomainStmt")?.domainname;
  if (type !== undefined) return [typeKey(writtenName(strings(type)))];
  const change = as(node, "AlterFunctionStmt");
  if (change !== undefined) {
    const actions = (change.actions ?? []).flatMap((action) => as(action, "DefElem") ?? []);
    return setsSearchPath(actions) ? [searchPathKey(writtenName(strings(change.func?.objname)))] : [];
  }
  return alterKeys(node);
}

function alterKeys(node: Node): string[] {
  const alter = as(node, "AlterTableStmt");
  return (alter?.cmds ?? []).flatMap((command) => {
    const { subtype, def } = as(command, "AlterTableCmd") ?? {};
    if (subtype === "AT_EnableRowSecurity") return [rowSecurityKey(relationName(alter?.relation))];
    const constraint = as(def, "Constraint");
    return constraint?.conname === undefined
      ? []
      : [partKey("constraint", relationName(alter?.relation), constraint.conname)];
  });
}

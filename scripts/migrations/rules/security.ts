/** What opens data to more people: rights for everyone, policies without a condition, functions and roles with powers. */
import type { CreateFunctionStmt, DefElem, GrantStmt, Node } from "libpg-query";
import { rowSecurityKey, searchPathKey, setsSearchPath } from "../fileOutline";
import type { Handlers, Inspector } from "../inspector";
import { type WrittenName, as, display, relationName, strings, visit, writtenName } from "../syntaxTree";
import { judgeRoutineSettings } from "./settings";

export const securityRules: Handlers = {
  GrantStmt: (grant, inspector) => {
    if (grant.is_grant !== true) inspector.report("revoke-right", "takes a right away");
    else judgeGrant(grant, inspector);
  },
  GrantRoleStmt: (grant, inspector) => {
    if (grant.is_grant !== true) {
      inspector.report("revoke-right", "takes a role away");
      return;
    }
    const roles = (grant.granted_roles ?? []).map((node) => as(node, "AccessPriv")?.priv_name ?? "");
    const everyone = namesEveryone(grant.grantee_roles);
    if (everyone !== undefined) {
      inspector.report("grant-to-everyone", `gives ${everyone} whatever ${roles.join(", ")} may do`);
    }
    const powers = roles.filter((role) => powerfulRoles.has(role));
    if (powers.length > 0) inspector.report("role-powers", `makes somebody a member of ${powers.join(", ")}`);
  },
  AlterDefaultPrivilegesStmt: (alter, inspector) => {
    if (alter.action?.is_grant !== true) inspector.report("revoke-right", "takes a default right away");
    else judgeGrant(alter.action, inspector);
  },

  CreatePolicyStmt: async (create, inspector) => {
    const table = relationName(create.table);
    await inspector.attached().inspect([create.qual, create.with_check]);
    inspector.scope.addObject("policy", table, create.policy_name);
    // A restrictive policy only takes away.
    if (create.permissive !== true || inspector.scope.isFreeTable(table)) return;
    judgePolicy(
      [create.qual, create.with_check],
      create.roles,
      `${create.policy_name ?? ""} on ${display(table)}`,
      inspector,
    );
  },
  AlterPolicyStmt: async (alter, inspector) => {
    const table = relationName(alter.table);
    await inspector.attached().inspect([alter.qual, alter.with_check]);
    if (inspector.scope.isFreeTable(table)) return;
    judgePolicy(
      [alter.qual, alter.with_check],
      alter.roles,
      `${alter.policy_name ?? ""} on ${display(table)}`,
      inspector,
    );
  },

  CreateRoleStmt: (create, inspector) => judgeRole(create.options, create.role ?? "", inspector),
  AlterRoleStmt: (alter, inspector) => {
    judgeRole(alter.options, alter.role?.rolename ?? "", inspector);
    inspector.report("alter-role-setting", "changes what a role may do or how it logs in");
  },

  AlterFunctionStmt: (alter, inspector) => {
    const name = writtenName(strings(alter.func?.objname));
    const actions = optionsOf(alter.actions);
    judgeRoutineSettings(actions, `the function ${display(name)}`, inspector);
    const resets = actions.some((action) => resetsSearchPath(action));
    if (!isDefiner(actions) && !resets) return;
    if (!setsSearchPath(actions)) judgeDefiner(name, resets && !isDefiner(actions), inspector);
  },
};

/**
 * With which settings and rights a function runs: one that runs with its owner's rights looks names up where the caller says,
 * unless it says itself.
 */
export function judgeNewRoutine(create: CreateFunctionStmt, inspector: Inspector): void {
  const options = optionsOf(create.options);
  judgeRoutineSettings(options, `the function ${display(writtenName(strings(create.funcname)))}`, inspector);
  // The names in a body of BEGIN ATOMIC are resolved when it is made.
  if (!isDefiner(options) || setsSearchPath(options) || create.sql_body !== undefined) return;
  judgeDefiner(writtenName(strings(create.funcname)), false, inspector);
}

/** Options of a view that decide with whose rights it reads. */
export function judgeViewOptions(
  options: readonly Node[] | undefined,
  set: boolean,
  what: string,
  inspector: Inspector,
  offset: number,
): void {
  for (const option of optionsOf(options)) {
    if (option.defname !== "security_invoker" && option.defname !== "security_barrier") continue;
    if (set && isOn(option)) continue;
    inspector.report("view-runs-as-owner", `${option.defname} of ${what} is off from now on`, offset);
  }
}

/** CREATE OR REPLACE VIEW drops the options that it does not name (PostgreSQL's view.c, DefineVirtualRelation). */
export async function judgeReplacedView(
  view: WrittenName,
  options: readonly Node[] | undefined,
  inspector: Inspector,
): Promise<void> {
  const schema = inspector.scope.schemaOf(view);
  if (schema === undefined || optionsOf(options).some(({ defname }) => defname === "security_invoker")) return;
  if (!(await inspector.catalog.isInvokerView(schema, view.name))) return;
  inspector.report("view-runs-as-owner", `replaces the view ${display(view)}, which asks for its reader's rights`);
}

function judgeDefiner(name: WrittenName, resets: boolean, inspector: Inspector): void {
  if (inspector.makesLater(searchPathKey(name))) return;
  const effect = resets ? "loses its search path" : "runs with its owner's rights and its caller's search path";
  inspector.report("definer-search-path", `the function ${display(name)} ${effect}`);
}

/** Kinds whose rights give access to rows. */
const kindsWithRows: ReadonlySet<string> = new Set(["OBJECT_TABLE", "OBJECT_COLUMN"]);

function judgeGrant(grant: GrantStmt, inspector: Inspector): void {
  const everyone = namesEveryone(grant.grantees);
  if (everyone === undefined || !kindsWithRows.has(grant.objtype ?? "OBJECT_TABLE")) return;
  if (grant.targtype !== "ACL_TARGET_OBJECT") {
    inspector.report("grant-to-everyone", `gives ${everyone} rights to tables that it does not name`);
    return;
  }
  const tables = (grant.objects ?? []).map((node) => relationName(as(node, "RangeVar")));
  const open = tables.filter((table) => !isGuarded(table, inspector));
  if (open.length > 0)
    inspector.report("grant-to-everyone", `gives ${everyone} rights to ${open.map(display).join(", ")}`);
}

/** A table or view of the set: new, and its rows are behind policies or nobody has any yet. */
function isGuarded(table: WrittenName, inspector: Inspector): boolean {
  const { scope } = inspector;
  if (!scope.isFreeTable(table)) return false;
  return scope.hasObject("row security", table) || inspector.makesLater(rowSecurityKey(table));
}

const anonymousRoles: ReadonlySet<string> = new Set(["anon", "public"]);

/** PUBLIC, or Supabase's role of whoever has not logged in. */
function namesEveryone(grantees: readonly Node[] | undefined): string | undefined {
  const roles = (grantees ?? []).map((node) => as(node, "RoleSpec"));
  if (roles.some((role) => role?.roletype === "ROLESPEC_PUBLIC")) return "PUBLIC";
  return roles.find((role) => anonymousRoles.has(role?.rolename ?? ""))?.rolename;
}

/** Roles that no policy holds back anyway. */
const unboundRoles: ReadonlySet<string> = new Set(["postgres", "service_role", "supabase_admin"]);

/** PostgreSQL manual, "22.5 Predefined Roles": those that read or write everything; and Supabase's own. */
const powerfulRoles: ReadonlySet<string> = new Set([
  ...["pg_read_all_data", "pg_write_all_data", "pg_read_server_files", "pg_write_server_files"],
  ...["pg_execute_server_program", "postgres", "service_role", "supabase_admin"],
]);

function judgePolicy(
  conditions: readonly (Node | undefined)[],
  roles: readonly Node[] | undefined,
  what: string,
  inspector: Inspector,
): void {
  const named = (roles ?? []).map((node) => as(node, "RoleSpec")?.rolename ?? "");
  if (named.length > 0 && named.every((role) => unboundRoles.has(role))) return;
  if (!conditions.some((condition) => condition !== undefined && isAlwaysTrue(condition))) return;
  inspector.report("open-policy", `the policy ${what} lets every row pass`);
}

/**
 * True whatever the row and whoever asks: `true`, `1 = 1`, `… OR true`, `'t'::boolean`, `id = id`. What depends on nothing
 * counts as true unless it is plainly false: nobody writes a condition for that.
 */
function isAlwaysTrue(condition: Node): boolean {
  const combined = as(condition, "BoolExpr");
  if (combined?.boolop === "OR_EXPR") return (combined.args ?? []).some(isAlwaysTrue);
  if (combined?.boolop === "AND_EXPR") return (combined.args ?? []).every(isAlwaysTrue);
  const comparison = as(condition, "A_Expr");
  if (comparison?.kind === "AEXPR_OP" && strings(comparison.name).at(-1) === "=") {
    const [left, right] = [comparison.lexpr, comparison.rexpr].map(withoutPlaces);
    return left === right;
  }
  return dependsOnNothing(condition) && !isPlainlyFalse(condition);
}

function dependsOnNothing(condition: Node): boolean {
  let constant = true;
  visit(condition, (kind) => {
    if (varyingKinds.has(kind)) constant = false;
  });
  return constant;
}

/** Columns, tables, functions, `current_user` and the like. */
const varyingKinds: ReadonlySet<string> = new Set([
  "ColumnRef",
  "RangeVar",
  "FuncCall",
  "SQLValueFunction",
  "ParamRef",
]);

function isPlainlyFalse(condition: Node): boolean {
  const constant = as(condition, "A_Const");
  if (constant !== undefined) return constant.boolval?.boolval !== true && !isTrueWord(constant.sval?.sval);
  const cast = as(condition, "TypeCast")?.arg;
  if (cast !== undefined) return isPlainlyFalse(cast);
  const negated = as(condition, "BoolExpr");
  return negated?.boolop === "NOT_EXPR" && (negated.args ?? []).every((argument) => !isPlainlyFalse(argument));
}

function withoutPlaces(tree: Node | undefined): string {
  return JSON.stringify(tree, (key, value: unknown) => (key === "location" ? undefined : value)) ?? "";
}

function isTrueWord(word: string | undefined): boolean {
  return word !== undefined && ["t", "true", "y", "yes", "on", "1"].includes(word.toLowerCase());
}

/** Who may replicate reads every row. */
const powerfulOptions: ReadonlySet<string> = new Set(["superuser", "bypassrls", "isreplication"]);

function judgeRole(options: readonly Node[] | undefined, role: string, inspector: Inspector): void {
  const powers = optionsOf(options).filter(({ defname }) => powerfulOptions.has(defname ?? ""));
  const given = powers.filter((option) => isOn(option)).map(({ defname }) => defname?.replace(/^is/, ""));
  if (given.length > 0) inspector.report("role-powers", `gives the role ${role} ${given.join(" and ")}`);
}

function optionsOf(options: readonly Node[] | undefined): DefElem[] {
  return (options ?? []).flatMap((node) => as(node, "DefElem") ?? []);
}

function isDefiner(options: readonly DefElem[]): boolean {
  return options.some((option) => option.defname === "security" && isOn(option));
}

/** Without a value an option is on. */
function isOn({ arg }: DefElem): boolean {
  const flag = as(arg, "Boolean");
  if (flag !== undefined) return flag.boolval === true;
  const word = as(arg, "String")?.sval;
  if (word !== undefined) return isTrueWord(word);
  return arg === undefined || as(arg, "Integer")?.ival !== undefined;
}

function resetsSearchPath({ arg }: DefElem): boolean {
  const set = as(arg, "VariableSetStmt");
  if (set === undefined) return false;
  return set.kind === "VAR_RESET_ALL" || (set.name === "search_path" && /RESET|DEFAULT/.test(set.kind ?? ""));
}

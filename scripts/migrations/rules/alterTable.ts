/** ALTER TABLE (and VIEW, INDEX, SEQUENCE, TYPE): one small rule a command; unknown commands are refused. */
import type { AlterTableCmd, AlterTableStmt, ColumnDef, Constraint, Node, RangeVar } from "libpg-query";
import { isUnlimitedText, keepsEveryValue, parseTypeName, rewritesEveryRow } from "../columnTypes";
import { partKey } from "../fileOutline";
import type { Handlers, Inspector } from "../inspector";
import { scanTokens } from "../parser";
import { type WrittenName, as, display, relationName, strings, typeNameOf } from "../syntaxTree";
import { judgeColumnLocks, judgeConstraintLocks, judgeValidation, requiredByCheck, requiredColumn } from "./locks";
import { judgeViewOptions } from "./security";
import { judgeSequenceOptions } from "./sequences";

export const alterTableRules: Handlers = {
  AlterTableStmt: async (alter, inspector) => {
    const places = commandPlaces(alter, inspector);
    for (const [index, node] of (alter.cmds ?? []).entries()) {
      const command = as(node, "AlterTableCmd");
      if (command === undefined) continue;
      await judgeCommand({ command, alter, offset: places[index] ?? inspector.position.start, inspector });
    }
  },
};

interface Alteration {
  readonly command: AlterTableCmd;
  readonly alter: AlterTableStmt;
  /** Byte offset of the command in its fragment. */
  readonly offset: number;
  readonly inspector: Inspector;
}

type CommandRule = (alteration: Alteration, table: WrittenName) => void | Promise<void>;

const passes: CommandRule = () => undefined;

/** Commands that lose nothing and hide nothing: storage, planner and replication details, validation. */
const commandRules: { readonly [K in NonNullable<AlterTableCmd["subtype"]>]?: CommandRule } = {
  AT_ValidateConstraint: ({ command, inspector, offset }, table) =>
    judgeValidation(command.name ?? "", table, inspector, offset),
  AT_SetStatistics: passes,
  AT_SetOptions: passes,
  AT_ResetOptions: passes,
  AT_SetRelOptions: judgeOptions,
  AT_ResetRelOptions: judgeOptions,
  AT_SetStorage: passes,
  AT_SetCompression: passes,
  AT_ClusterOn: passes,
  AT_DropCluster: passes,
  AT_SetLogged: reports("long-lock", (_, table) => `writes every row of ${display(table)} anew`),
  AT_SetTableSpace: reports("long-lock", (_, table) => `copies ${display(table)} to another tablespace`),
  AT_SetAccessMethod: reports("long-lock", (_, table) => `writes every row of ${display(table)} anew`),
  AT_ReplicaIdentity: passes,
  AT_EnableTrig: passes,
  AT_EnableTrigAll: passes,
  AT_EnableTrigUser: passes,
  AT_EnableAlwaysTrig: passes,
  AT_EnableRowSecurity: ({ inspector }, table) => inspector.scope.addObject("row security", table),
  AT_ForceRowSecurity: passes,
  AT_AddIdentity: passes,
  AT_AddOf: passes,
  AT_DropOf: passes,
  AT_AddColumn: addColumn,
  AT_AddConstraint: addConstraint,
  AT_AlterColumnType: alterColumnType,
  AT_AttachPartition: attachPartition,
  AT_AddInherit: addInheritance,
  AT_DropConstraint: dropConstraint,
  AT_DropColumn: dropColumn,
  AT_AlterConstraint: alterConstraint,
  AT_ColumnDefault: changeDefault,
  AT_SetNotNull: async ({ command, inspector, offset }, table) => {
    if (isNewColumn(table, command.name, inspector)) {
      requireNewColumn(table, command.name, inspector, offset);
      return;
    }
    inspector.scope.addObject("not null", table, command.name);
    if (await requiredByCheck(table, command.name ?? "", inspector)) {
      inspector.report(
        "checked-not-null",
        `makes ${column(table, command.name)} refuse NULL, as a constraint does`,
        offset,
      );
      return;
    }
    inspector.report("set-not-null", `makes ${column(table, command.name)} refuse NULL`, offset);
  },
  AT_SetIdentity: ({ command, inspector, offset }) => {
    judgeSequenceOptions(as(command.def, "List")?.items, "an identity column", inspector, offset);
  },
  AT_DropNotNull: ({ command, inspector, offset }, table) => {
    if (inspector.scope.dropObject("required column", table, command.name)) return;
    inspector.report("drop-not-null", `lets ${column(table, command.name)} be NULL`, offset);
  },
  AT_ChangeOwner: reports("change-owner", (_, table) => `changes the owner of ${display(table)}`),
  AT_DropIdentity: reports(
    "drop-identity",
    (alteration, table) => `takes the identity from ${named(alteration, table)}`,
  ),
  AT_DropExpression: reports(
    "drop-generated",
    (alteration, table) => `${named(alteration, table)} is no longer generated`,
  ),
  AT_SetExpression: reports(
    "alter-generated",
    (alteration, table) => `recomputes every value of ${named(alteration, table)}`,
  ),
  AT_SetUnLogged: reports("set-unlogged", (_, table) => `makes ${display(table)} unlogged`),
  AT_DetachPartition: reports(
    "detach-partition",
    (alteration, table) => `detaches ${partition(alteration)} from ${display(table)}`,
  ),
  AT_DetachPartitionFinalize: reports(
    "detach-partition",
    (alteration, table) => `detaches ${partition(alteration)} from ${display(table)}`,
  ),
  AT_DropInherit: reports("drop-inheritance", (_, table) => `takes ${display(table)} out of its parent`),
  AT_DisableTrig: reports(
    "disable-trigger",
    (alteration, table) => `disables the trigger ${alteration.command.name ?? ""} on ${display(table)}`,
  ),
  AT_DisableTrigAll: reports(
    "disable-trigger",
    (_, table) => `disables every trigger on ${display(table)}, foreign keys too`,
  ),
  AT_DisableTrigUser: reports("disable-trigger", (_, table) => `disables every trigger of ${display(table)}`),
  AT_EnableReplicaTrig: reports(
    "disable-trigger",
    (alteration, table) =>
      `the trigger ${alteration.command.name ?? ""} on ${display(table)} no longer fires for the application`,
  ),
  AT_DisableRule: reports(
    "disable-trigger",
    (alteration, table) => `disables the rule ${alteration.command.name ?? ""} on ${display(table)}`,
  ),
  AT_DisableRowSecurity: reports(
    "disable-row-security",
    (_, table) => `switches row level security off for ${display(table)}`,
  ),
  AT_NoForceRowSecurity: reports(
    "disable-row-security",
    (_, table) => `lets the owner pass by row level security on ${display(table)}`,
  ),
};

async function judgeCommand(alteration: Alteration): Promise<void> {
  const { command, alter, inspector, offset } = alteration;
  const table = relationName(alter.relation);
  if (inspector.scope.isFreeTable(table)) {
    await judgeOwnTable(alteration);
    return;
  }
  const rule = command.subtype === undefined ? undefined : commandRules[command.subtype];
  if (rule !== undefined) await rule(alteration, table);
  else {
    const words = command.subtype?.replace("AT_", "") ?? "this command";
    inspector.report("unknown-statement", `ALTER of ${display(table)}: ${words} is not known to be additive`, offset);
  }
}

/** A table of the set may be altered at will, unless that ties existing rows to it. */
async function judgeOwnTable({ command, alter, inspector }: Alteration): Promise<void> {
  await inspector.inspect([command.def]);
  if (command.subtype === "AT_EnableRowSecurity") {
    inspector.scope.addObject("row security", relationName(alter.relation));
  } else if (command.subtype === "AT_DisableRowSecurity") {
    inspector.scope.dropObject("row security", relationName(alter.relation));
  }
  if (command.subtype !== "AT_AttachPartition") return;
  const child = as(command.def, "PartitionCmd")?.name;
  if (!inspector.scope.isFreeTable(relationName(child))) inspector.scope.entangle(relationName(alter.relation));
}

async function addColumn({ command, alter, inspector, offset }: Alteration, table: WrittenName): Promise<void> {
  const definition = as(command.def, "ColumnDef");
  if (definition === undefined || alter.objtype === "OBJECT_TYPE") return;
  const name = definition.colname ?? "";
  await inspector.inspect([definition]);
  if (isRequired(definition)) {
    inspector.report(
      "required-column",
      `${column(table, name)} must be written, but the running application does not know it`,
      offset,
    );
  }
  for (const constraint of constraintsOf(definition)) judgeReference(constraint, table, true, inspector, offset);
  judgeColumnLocks(definition, table, inspector, offset);
  // With IF NOT EXISTS the column may be an old one, with values.
  if (command.missing_ok === true) return;
  inspector.scope.addObject("column", table, name);
  if (isFilled(definition)) inspector.scope.addObject("filled column", table, name);
  if (refusesNull(definition)) inspector.scope.addObject("required column", table, name);
  if (definition.typeName !== undefined) inspector.scope.setColumnType(table, name, definition.typeName);
}

const serialTypes = new Set(["serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"]);

function isRequired(definition: ColumnDef): boolean {
  return refusesNull(definition) && !isFilled(definition);
}

function refusesNull(definition: ColumnDef): boolean {
  return constraintsOf(definition).some(({ contype }) => contype === "CONSTR_NOTNULL" || contype === "CONSTR_PRIMARY");
}

/** By itself, when a statement does not name it. */
function isFilled(definition: ColumnDef): boolean {
  const fills = ["CONSTR_DEFAULT", "CONSTR_GENERATED", "CONSTR_IDENTITY"];
  return (
    constraintsOf(definition).some(({ contype }) => fills.includes(contype ?? "")) ||
    serialTypes.has(typeNameOf(definition.typeName).name)
  );
}

async function changeDefault({ command, inspector, offset }: Alteration, table: WrittenName): Promise<void> {
  const { scope } = inspector;
  await inspector.attached().inspect([command.def]);
  if (command.def !== undefined && as(command.def, "A_Const")?.isnull !== true) {
    scope.addObject("filled column", table, command.name);
  } else if (!isNewColumn(table, command.name, inspector)) {
    inspector.report("drop-default", `takes the default from ${column(table, command.name)}`, offset);
  } else if (scope.dropObject("filled column", table, command.name)) {
    if (scope.hasObject("required column", table, command.name)) {
      requireNewColumn(table, command.name, inspector, offset);
    }
  }
}

/** A column of the set refuses NULL from now on: the running application does not write it. */
function requireNewColumn(table: WrittenName, name: string | undefined, inspector: Inspector, offset: number): void {
  inspector.scope.addObject("required column", table, name);
  if (inspector.scope.hasObject("filled column", table, name)) return;
  const what = `${column(table, name)} must be written, but the running application does not know it`;
  inspector.report("required-column", what, offset);
}

function constraintsOf(definition: ColumnDef): Constraint[] {
  return (definition.constraints ?? []).flatMap((node) => as(node, "Constraint") ?? []);
}

async function addConstraint({ command, inspector, offset }: Alteration, table: WrittenName): Promise<void> {
  const constraint = as(command.def, "Constraint");
  if (constraint === undefined) return;
  await inspector.inspect([constraint.raw_expr, constraint.exclusions, constraint.where_clause]);
  const { conname, indexname } = constraint;
  if (conname !== undefined) inspector.scope.addObject("constraint", table, conname);
  // An index that becomes a constraint takes its name (ALTER TABLE, "ADD table_constraint_using_index").
  if (conname !== undefined && indexname !== undefined && conname !== indexname) {
    inspector.report("rename-part", `renames the index ${indexname} to ${conname}`, offset);
  }
  const columns = strings(constraint.fk_attrs);
  const fresh = columns.length > 0 && columns.every((name) => isNewColumn(table, name, inspector));
  judgeReference(constraint, table, fresh, inspector, offset);
  judgeConstraintLocks(constraint, table, inspector, offset);
  const required = constraint.contype === "CONSTR_NOTNULL" ? strings(constraint.keys)[0] : requiredColumn(constraint);
  if (required === undefined) return;
  if (isNewColumn(table, required, inspector)) requireNewColumn(table, required, inspector, offset);
  else if (constraint.contype === "CONSTR_NOTNULL") {
    inspector.report("set-not-null", `makes ${column(table, required)} refuse NULL`, offset);
  }
}

/** A foreign key of an existing table: what happens to its rows when the parent's go? */
function judgeReference(
  constraint: Constraint,
  table: WrittenName,
  newColumn: boolean,
  inspector: Inspector,
  offset: number,
): void {
  if (constraint.contype !== "CONSTR_FOREIGN") return;
  const parent = relationName(constraint.pktable);
  inspector.scope.entangle(parent);
  if (constraint.fk_del_action === "c") {
    const reason = `deleting a row of ${display(parent)} deletes rows of ${display(table)}`;
    inspector.report(newColumn ? "references-cascade" : "cascading-foreign-key", reason, offset);
  } else if (constraint.fk_del_action === "n" || constraint.fk_del_action === "d") {
    inspector.report(
      "references-cascade",
      `deleting a row of ${display(parent)} overwrites a column of ${display(table)}`,
      offset,
    );
  }
}

async function alterColumnType({ command, inspector, offset }: Alteration, table: WrittenName): Promise<void> {
  const name = command.name ?? "";
  const definition = as(command.def, "ColumnDef");
  const target = definition?.typeName;
  await inspector.inspect([definition?.raw_default]);
  if (target === undefined || isNewColumn(table, name, inspector)) return;
  const present = inspector.scope.columnType(table, name) ?? (await presentType(table, name, inspector));
  const what = column(table, name);
  const words = typeNameOf(target).name;
  if (!isPlainCast(definition?.raw_default, name, target)) {
    inspector.report("narrow-type", `rewrites every value of ${what} with an expression of its own`, offset);
  } else if (present === undefined) {
    if (isUnlimitedText(target)) inspector.report("change-type", `turns ${what} into ${words}`, offset);
    else inspector.report("narrow-type", `turns ${what} into ${words}, and its present type is unknown`, offset);
  } else if (keepsEveryValue(present, target) && rewritesEveryRow(present, target)) {
    const reason = `turns ${what} from ${typeNameOf(present).name} into ${words}, writing every row anew`;
    inspector.report("rewrites-table", reason, offset);
  } else if (keepsEveryValue(present, target)) {
    inspector.report("change-type", `widens ${what} from ${typeNameOf(present).name} to ${words}`, offset);
  } else {
    const from = typeNameOf(present).name;
    inspector.report("narrow-type", `turns ${what} from ${from} into ${words}: not every value fits unchanged`, offset);
  }
  inspector.scope.setColumnType(table, name, target);
}

async function presentType(
  table: WrittenName,
  name: string,
  inspector: Inspector,
): Promise<ReturnType<typeof parseTypeName>> {
  const schema = inspector.scope.schemaOf(table);
  if (schema === undefined) return undefined;
  const text = await inspector.catalog.columnType(schema, table.name, name);
  return text === undefined ? undefined : parseTypeName(text);
}

/** No USING, or one that says what the server would do anyway: the column, perhaps cast to the new type. */
function isPlainCast(using: Node | undefined, name: string, target: NonNullable<ColumnDef["typeName"]>): boolean {
  if (using === undefined) return true;
  const cast = as(using, "TypeCast");
  const reference = as(cast === undefined ? using : cast.arg, "ColumnRef");
  if (strings(reference?.fields).at(-1) !== name) return false;
  return cast === undefined || sameType(cast.typeName, target);
}

function sameType(a: ColumnDef["typeName"], b: ColumnDef["typeName"]): boolean {
  return withoutPlaces(a) === withoutPlaces(b);
}

function withoutPlaces(tree: unknown): string {
  return JSON.stringify(tree, (key, value: unknown) => (key === "location" ? undefined : value));
}

function attachPartition({ command, alter, inspector, offset }: Alteration, table: WrittenName): void {
  const child = relationName(as(command.def, "PartitionCmd")?.name);
  inspector.scope.entangle(child);
  if (alter.objtype !== "OBJECT_INDEX") {
    inspector.report("attach-partition", `attaches ${display(child)} to ${display(table)}`, offset);
  }
}

function addInheritance({ command, inspector }: Alteration): void {
  inspector.scope.entangle(relationName(as(command.def, "RangeVar")));
}

async function dropConstraint({ command, inspector, offset }: Alteration, table: WrittenName): Promise<void> {
  const name = command.name ?? "";
  const what = `the constraint ${name} of ${display(table)}`;
  if (inspector.scope.dropObject("constraint", table, name)) return;
  if (await saysNotNullAgain(table, name, inspector)) {
    inspector.report("replace-object", `drops ${what}, which says what NOT NULL says`, offset);
    return;
  }
  if (command.behavior === "DROP_CASCADE") {
    inspector.report("drop-cascade", `drops ${what} and whatever depends on it`, offset);
  } else if (inspector.makesLater(partKey("constraint", table, name))) {
    inspector.report("replace-object", `replaces ${what}`, offset);
  } else inspector.report("drop-constraint", `drops ${what}`, offset);
}

/** A constraint `CHECK (column IS NOT NULL)` of the live database, on a column that is NOT NULL there or by this set. */
async function saysNotNullAgain(table: WrittenName, constraint: string, inspector: Inspector): Promise<boolean> {
  const schema = inspector.scope.schemaOf(table);
  if (schema === undefined) return false;
  const checked = await inspector.catalog.checkedColumn(schema, table.name, constraint);
  return checked !== undefined && (checked.notNull || inspector.scope.hasObject("not null", table, checked.column));
}

function dropColumn({ command, alter, inspector, offset }: Alteration, table: WrittenName): void {
  const name = command.name ?? "";
  if (inspector.scope.dropObject("column", table, name)) return;
  if (alter.objtype === "OBJECT_TYPE") {
    inspector.report(
      "drop-attribute",
      `drops the attribute ${name} of the type ${display(table)} with its values`,
      offset,
    );
  } else inspector.report("drop-column", `drops ${column(table, name)} with its values`, offset);
}

function alterConstraint({ command, inspector, offset }: Alteration, table: WrittenName): void {
  const change = as(command.def, "ATAlterConstraint");
  if (change?.alterEnforceability !== true || change.is_enforced === true) return;
  inspector.report(
    "drop-constraint",
    `the constraint ${change.conname ?? ""} of ${display(table)} is no longer enforced`,
    offset,
  );
}

function judgeOptions({ command, inspector, offset }: Alteration, table: WrittenName): void {
  const set = command.subtype === "AT_SetRelOptions";
  judgeViewOptions(as(command.def, "List")?.items, set, `the view ${display(table)}`, inspector, offset);
}

function reports(
  rule: Parameters<Inspector["report"]>[0],
  reason: (alteration: Alteration, table: WrittenName) => string,
): CommandRule {
  return (alteration, table) => alteration.inspector.report(rule, reason(alteration, table), alteration.offset);
}

function isNewColumn(table: WrittenName, name: string | undefined, inspector: Inspector): boolean {
  return name !== undefined && inspector.scope.hasObject("column", table, name);
}

function column(table: WrittenName, name: string | undefined): string {
  return `${display(table)}.${name ?? ""}`;
}

function named({ command }: Alteration, table: WrittenName): string {
  return column(table, command.name);
}

function partition({ command }: Alteration): string {
  return display(relationName(as(command.def, "PartitionCmd")?.name));
}

/**
 * Where each command starts, told by the commas between them: the tree keeps no place of a command. Empty
 * where the count does not fit.
 */
function commandPlaces(alter: AlterTableStmt, inspector: Inspector): number[] {
  const { start } = inspector.position;
  const text = inspector.text();
  const tokens = scanTokens(text);
  const first = firstCommandToken(tokens, alter.relation, start);
  const places: number[] = [];
  let depth = 0;
  let opens = true;
  for (const token of tokens.slice(first)) {
    if (opens) places.push(start + token.start);
    opens = depth === 0 && token.text === ",";
    if (token.text === "(" || token.text === "[") depth += 1;
    else if (token.text === ")" || token.text === "]") depth -= 1;
  }
  return places.length === (alter.cmds ?? []).length ? places : [];
}

/** Behind the table's name: `ALTER TABLE ONLY "a"."b" *`. */
function firstCommandToken(
  tokens: readonly { readonly start: number; readonly text: string }[],
  relation: RangeVar | undefined,
  start: number,
): number {
  let index = tokens.findIndex((token) => start + token.start >= (relation?.location ?? 0));
  while (tokens[index + 1]?.text === ".") index += 2;
  index += 1;
  while (tokens[index]?.text === "*" || tokens[index]?.text === ")") index += 1;
  return index;
}

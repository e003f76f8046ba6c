/** Changes of existing objects other than tables: names, schemas, types, domains, owners, rights, publications. */
import type { Node, RenameStmt } from "libpg-query";
import type { Handlers, Inspector } from "../inspector";
import { viewKey } from "../fileOutline";
import { type WrittenName, as, display, relationName, strings, writtenName } from "../syntaxTree";

export const changeRules: Handlers = {
  RenameStmt: rename,

  AlterObjectSchemaStmt: (alter, inspector) => {
    const name = alter.relation === undefined ? objectName(alter.object) : relationName(alter.relation);
    inspector.scope.dropObject("schema", { schema: "", name: alter.newschema ?? "" });
    if (alter.relation !== undefined && inspector.scope.isFreeTable(name)) {
      inspector.scope.dropTable(name);
      inspector.scope.addTable({ schema: alter.newschema, name: name.name }, false, false);
      return;
    }
    const rule = inspector.makesLater(viewKey(name)) ? "rename-with-view" : "set-schema";
    inspector.report(rule, `moves ${display(name)} to the schema ${alter.newschema ?? ""}`);
  },

  AlterOwnerStmt: (alter, inspector) => {
    inspector.report("change-owner", `changes the owner of ${display(objectName(alter.object))}`);
  },
  ReassignOwnedStmt: (_, inspector) =>
    inspector.report("reassign-owned", "gives everything that a role owns to another"),

  AlterEnumStmt: (alter, inspector) => {
    const type = display(writtenName(strings(alter.typeName)));
    if (alter.oldVal !== undefined) {
      inspector.report("alter-enum-value", `renames the value '${alter.oldVal}' of ${type}`);
    }
  },

  AlterDomainStmt: async (alter, inspector) => {
    const domain = display(writtenName(strings(alter.typeName)));
    await inspector.inspect([alter.def]);
    if (inspector.scope.hasObject("type", writtenName(strings(alter.typeName)))) return;
    // parsenodes.h, AlterDomainStmt: T default, N drop NOT NULL, O set NOT NULL, C/X add/drop constraint, V validate.
    if (alter.subtype === "O") inspector.report("set-not-null", `makes the domain ${domain} refuse NULL`);
    else if (alter.subtype === "C" && as(alter.def, "Constraint")?.skip_validation !== true)
      inspector.report("constraint-scans-table", `checks every value of ${domain} while nobody can write its tables`);
    else if (alter.subtype === "X")
      inspector.report("drop-constraint", `drops the constraint ${alter.name ?? ""} of ${domain}`);
    else if (alter.subtype === "T" && alter.def === undefined)
      inspector.report("drop-default", `takes the default from ${domain}`);
  },

  AlterExtensionStmt: (alter, inspector) => {
    const name = alter.extname ?? "";
    if (inspector.scope.hasObject("extension", { schema: "", name })) return;
    inspector.report("unanalysable-function", `runs the script that updates the extension ${name}`);
  },

  AlterPublicationStmt: (alter, inspector) => {
    if (alter.action === "AP_AddObjects") return;
    if ((alter.pubobjects ?? []).length === 0) return;
    inspector.report("drop-object", `takes tables out of the publication ${alter.pubname ?? ""}`);
  },
};

/** Renaming these breaks no statement of the application (ON CONFLICT ON CONSTRAINT aside, which it names). */
const harmlessRenames = new Set([
  "OBJECT_INDEX",
  "OBJECT_POLICY",
  "OBJECT_TRIGGER",
  "OBJECT_RULE",
  "OBJECT_STATISTIC_EXT",
]);

function rename(statement: RenameStmt, inspector: Inspector): void {
  const type = statement.renameType ?? "OBJECT_TABLE";
  const relation = relationName(statement.relation);
  const { scope } = inspector;
  if (statement.relation !== undefined && scope.isFreeTable(relation)) {
    if (type === "OBJECT_TABLE") scope.renameTable(relation, statement.newname ?? "");
    return;
  }
  if (type === "OBJECT_COLUMN" && scope.dropObject("column", relation, statement.subname)) {
    scope.addObject("column", relation, statement.newname);
    return;
  }
  const rule = harmlessRenames.has(type)
    ? "rename-part"
    : hasViewInItsPlace(statement, inspector)
      ? "rename-with-view"
      : "rename";
  const kind = type.replace("OBJECT_", "").replace("TABCONSTRAINT", "CONSTRAINT").toLowerCase();
  const object =
    statement.relation === undefined ? (statement.subname ?? display(objectName(statement.object))) : display(relation);
  const what =
    statement.relation === undefined || statement.subname === undefined ? object : `${statement.subname} of ${object}`;
  inspector.report(rule, `renames the ${kind} ${what} to ${statement.newname ?? ""}`);
}

/** Expand and contract: a view of the old name, made in the same file, so that nobody ever misses it. */
function hasViewInItsPlace({ renameType, relation }: RenameStmt, inspector: Inspector): boolean {
  const moves = renameType === "OBJECT_TABLE" || renameType === "OBJECT_VIEW";
  return moves && inspector.makesLater(viewKey(relationName(relation)));
}

function objectName(object: Node | undefined): WrittenName {
  const routine = as(object, "ObjectWithArgs");
  const single = as(object, "String")?.sval;
  if (single !== undefined) return { schema: undefined, name: single };
  return writtenName(strings(routine === undefined ? as(object, "List")?.items : routine.objname));
}

/** DROP: what the set did not make itself is somebody's data, or something that the running application uses. */
import type { DropStmt, Node } from "libpg-query";
import { functionKey, inputTypes, partKey, typeKey, viewKey } from "../fileOutline";
import type { Handlers, Inspector } from "../inspector";
import type { RuleId } from "../ruleCatalog";
import type { ObjectKind } from "../scope";
import { type WrittenName, as, display, strings, typeNameOf, writtenName } from "../syntaxTree";

export const dropRules: Handlers = {
  DropStmt: (drop, inspector) => {
    for (const object of drop.objects ?? []) judgeDrop(drop, object, inspector);
  },
  DropdbStmt: (drop, inspector) => inspector.report("drop-database", `drops the database ${drop.dbname ?? ""}`),
  DropOwnedStmt: (_, inspector) => inspector.report("drop-owned", "drops everything that a role owns"),
  DropRoleStmt: (_, inspector) => inspector.report("drop-role", "drops a role"),
  DropTableSpaceStmt: (drop, inspector) =>
    inspector.report("drop-object", `drops the tablespace ${drop.tablespacename ?? ""}`),
  DropUserMappingStmt: (_, inspector) => inspector.report("drop-object", "drops a user mapping"),
  DropSubscriptionStmt: (drop, inspector) =>
    inspector.report("drop-object", `drops the subscription ${drop.subname ?? ""}`),
};

interface Dropping {
  readonly kind: ObjectKind;
  readonly rule: RuleId;
  /** Refused with CASCADE under this rule; undefined: nothing can depend on such an object. */
  readonly cascade?: RuleId;
  /** Making it again in the same file only replaces it; the key under which the outline knows it. */
  readonly replacement?: (name: WrittenName, part: string | undefined, object: Node) => string;
}

const droppings: { readonly [K in NonNullable<DropStmt["removeType"]>]?: Dropping } = {
  OBJECT_FOREIGN_TABLE: { kind: "foreign table", rule: "drop-object", cascade: "drop-cascade" },
  OBJECT_MATVIEW: { kind: "materialized view", rule: "drop-materialized-view" },
  OBJECT_VIEW: { kind: "view", rule: "drop-view", cascade: "drop-cascade", replacement: viewKey },
  OBJECT_INDEX: { kind: "index", rule: "drop-index", cascade: "drop-cascade" },
  OBJECT_SEQUENCE: { kind: "sequence", rule: "drop-sequence" },
  OBJECT_TYPE: { kind: "type", rule: "drop-type", cascade: "drop-type-cascade", replacement: typeKey },
  OBJECT_DOMAIN: { kind: "type", rule: "drop-type", cascade: "drop-type-cascade", replacement: typeKey },
  OBJECT_SCHEMA: { kind: "schema", rule: "drop-schema" },
  OBJECT_EXTENSION: { kind: "extension", rule: "drop-extension" },
  OBJECT_FUNCTION: { kind: "function", rule: "drop-function", cascade: "drop-cascade", replacement: routineKey },
  OBJECT_PROCEDURE: { kind: "function", rule: "drop-function", cascade: "drop-cascade", replacement: routineKey },
  OBJECT_ROUTINE: { kind: "function", rule: "drop-function", cascade: "drop-cascade", replacement: routineKey },
  OBJECT_AGGREGATE: { kind: "function", rule: "drop-function", cascade: "drop-cascade" },
  OBJECT_TRIGGER: {
    kind: "trigger",
    rule: "drop-trigger",
    replacement: (table, part) => partKey("trigger", table, part ?? ""),
  },
  OBJECT_EVENT_TRIGGER: { kind: "other", rule: "drop-trigger" },
  OBJECT_RULE: { kind: "rule", rule: "drop-object", replacement: (table, part) => partKey("rule", table, part ?? "") },
  OBJECT_POLICY: {
    kind: "policy",
    rule: "drop-policy",
    replacement: (table, part) => partKey("policy", table, part ?? ""),
  },
};

/** Kinds that belong to a table: the last part of the name is theirs. */
const partKinds: ReadonlySet<ObjectKind> = new Set(["trigger", "rule", "policy"] as const);

function judgeDrop(drop: DropStmt, object: Node, inspector: Inspector): void {
  const type = drop.removeType ?? "OBJECT_TABLE";
  if (type === "OBJECT_TABLE") {
    const table = writtenName(strings(as(object, "List")?.items));
    if (!inspector.scope.dropTable(table)) {
      inspector.report("drop-table", `drops the table ${display(table)} with its rows`);
    }
    return;
  }
  const dropping: Dropping = droppings[type] ?? { kind: "other", rule: "drop-object" };
  const { name, part } = droppedName(object, dropping.kind);
  const words = type.replace("OBJECT_", "").replace("MATVIEW", "MATERIALIZED_VIEW").replaceAll("_", " ").toLowerCase();
  const what = part === undefined ? `the ${words} ${display(name)}` : `the ${words} ${part} on ${display(name)}`;

  if (part !== undefined && inspector.scope.isFreeTable(name)) return;
  if (inspector.scope.dropObject(dropping.kind, name, part ?? signature(object, dropping.kind))) return;
  if (drop.behavior === "DROP_CASCADE" && dropping.cascade !== undefined) {
    inspector.report(dropping.cascade, `drops ${what} and whatever depends on it`);
  } else if (dropping.replacement !== undefined && inspector.makesLater(dropping.replacement(name, part, object))) {
    inspector.report("replace-object", `replaces ${what}`);
  } else if (dropping.kind === "index" && drop.concurrent !== true) {
    inspector.report("drop-index-blocks-writers", `drops ${what} while nobody can use its table`);
  } else inspector.report(dropping.rule, `drops ${what}`);
}

function droppedName(object: Node, kind: ObjectKind): { name: WrittenName; part?: string } {
  const type = as(object, "TypeName");
  if (type !== undefined) return { name: typeNameOf(type) };
  const routine = as(object, "ObjectWithArgs");
  if (routine !== undefined) return { name: writtenName(strings(routine.objname)) };
  const single = as(object, "String")?.sval;
  // Schemas and extensions lie in no schema.
  if (single !== undefined) return { name: { schema: "", name: single } };
  const parts = strings(as(object, "List")?.items);
  const last = parts.at(-1);
  if (!partKinds.has(kind) || last === undefined) return { name: writtenName(parts) };
  return { name: writtenName(parts.slice(0, -1)), part: last };
}

function routineKey(name: WrittenName, _: string | undefined, object: Node): string {
  const routine = as(object, "ObjectWithArgs");
  return functionKey(name, inputTypes(routine?.objfuncargs));
}

/** Functions of one name are told apart by their input types. */
function signature(object: Node, kind: ObjectKind): string | undefined {
  if (kind !== "function") return undefined;
  return functionKey({ schema: undefined, name: "" }, inputTypes(as(object, "ObjectWithArgs")?.objfuncargs));
}

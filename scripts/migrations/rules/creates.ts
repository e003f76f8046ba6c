/** CREATE: additive. What is certainly new is noted, so that the set may change or drop it again. */
import type { CreateStmt, Node } from "libpg-query";
import type { Handlers, Inspector } from "../inspector";
import { judgeReplacedView, judgeViewOptions } from "./security";
import { aggregateName } from "../calls";
import { operatorName } from "../operators";
import { type WrittenName, as, display, relationName, strings, writtenName } from "../syntaxTree";

export const createRules: Handlers = {
  CreateStmt: createTable,

  CreateForeignTableStmt: async (create, inspector) => {
    await inspector.attached().inspect([create.base?.tableElts, create.base?.constraints]);
    if (create.base?.if_not_exists === true) return;
    inspector.scope.addObject("foreign table", relationName(create.base?.relation));
  },

  CreateTableAsStmt: async (create, inspector) => {
    const source = create.query;
    const runs = create.into?.skipData === true ? inspector.attached() : inspector;
    if (as(source, "ExecuteStmt") !== undefined && source !== undefined) await inspector.judge(source);
    else await runs.inspect([source]);
    if (create.if_not_exists === true) return;
    const relation = create.into?.rel;
    if (create.objtype === "OBJECT_MATVIEW") inspector.scope.addObject("materialized view", relationName(relation));
    else inspector.scope.addTable(relationName(relation), relation?.relpersistence === "t", false);
  },

  ViewStmt: async (create, inspector) => {
    const view = relationName(create.view);
    await inspector.attached().inspect([create.query]);
    judgeViewOptions(create.options, true, `the view ${display(view)}`, inspector, inspector.position.start);
    if (create.replace === true) await judgeReplacedView(view, create.options, inspector);
    if (create.replace !== true) inspector.scope.addObject("view", relationName(create.view));
  },

  CreateSeqStmt: (create, inspector) => {
    if (create.if_not_exists !== true) inspector.scope.addObject("sequence", relationName(create.sequence));
  },

  CreateSchemaStmt: async (create, inspector) => {
    if (create.if_not_exists !== true && create.schemaname !== undefined) {
      inspector.scope.addObject("schema", { schema: "", name: create.schemaname });
    }
    for (const element of create.schemaElts ?? []) await judgeInSchema(element, create.schemaname, inspector);
  },

  CreateEnumStmt: (create, inspector) => addType(create.typeName, inspector),
  CreateRangeStmt: (create, inspector) => addType(create.typeName, inspector),
  CompositeTypeStmt: (create, inspector) => inspector.scope.addObject("type", relationName(create.typevar)),
  CreateDomainStmt: async (create, inspector) => {
    await inspector.attached().inspect(create.constraints);
    addType(create.domainname, inspector);
  },

  /** Operators, aggregates, base types, text search parts: they run functions from now on. */
  DefineStmt: async (create, inspector) => {
    for (const option of (create.definition ?? []).map((node) => as(node, "DefElem"))) {
      const named = as(option?.arg, "TypeName")?.names;
      if (named !== undefined) await attachFunction(writtenName(strings(named)), inspector);
    }
    if (create.kind === "OBJECT_OPERATOR") {
      inspector.scope.addObject("other", operatorName(writtenName(strings(create.defnames))));
    }
    if (create.kind === "OBJECT_AGGREGATE") {
      inspector.scope.addObject("other", aggregateName(writtenName(strings(create.defnames))));
    }
    if (create.kind === "OBJECT_TYPE") addType(create.defnames, inspector);
  },
  CreateCastStmt: async (create, inspector) => {
    await attachFunction(writtenName(strings(create.func?.objname)), inspector);
  },

  CreateExtensionStmt: (create, inspector) => {
    const name = create.extname ?? "";
    if (create.if_not_exists !== true) inspector.scope.addObject("extension", { schema: "", name });
    inspector.scope.addExtension(name);
  },
};

async function createTable(create: CreateStmt, inspector: Inspector): Promise<void> {
  const table = relationName(create.relation);
  const temporary = create.relation?.relpersistence === "t" || table.schema === "pg_temp";
  await inspector.attached().inspect([create.tableElts, create.constraints]);
  // The bounds of a partition are computed at once.
  await inspector.inspect([create.partbound]);
  if (create.relation?.relpersistence === "u") inspector.report("unlogged-table", `${display(table)} is unlogged`);
  // Temporary tables are the session's own, whether this statement makes them or an earlier one did.
  if (create.if_not_exists === true && !temporary) return;
  const parents = (create.inhRelations ?? []).map((node) => relationName(as(node, "RangeVar")));
  // A partition of an existing table receives the application's rows at once.
  const entangled = create.partbound !== undefined && !parents.every((parent) => inspector.scope.isFreeTable(parent));
  inspector.scope.addTable(table, temporary, entangled);
}

/** The elements of CREATE SCHEMA go to the new schema, not to the first one of the search path. */
async function judgeInSchema(element: Node, schema: string | undefined, inspector: Inspector): Promise<void> {
  const restore = inspector.scope.setSearchPath(schema === undefined ? undefined : [schema]);
  await inspector.judge(element);
  restore();
}

function addType(name: readonly Node[] | undefined, inspector: Inspector): void {
  inspector.scope.addObject("type", writtenName(strings(name)));
}

/** Something stored runs this function from now on: its body counts if the set defines it. */
export async function attachFunction(name: WrittenName, inspector: Inspector): Promise<boolean> {
  inspector.scope.attach(name);
  const routines = inspector.scope.routines(name);
  for (const routine of routines) await inspector.attached().judgeBody(routine);
  return routines.length > 0;
}

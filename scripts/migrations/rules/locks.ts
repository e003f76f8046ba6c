/**
 * Locks that make writers, or readers, wait for as long as a table is large. Refused where PostgreSQL has a way around
 * them (manual, "13.3.1 Table-Level Locks", "ALTER TABLE", "CREATE INDEX"); tables of the set are nobody's yet.
 */
import type { ColumnDef, Constraint, Node } from "libpg-query";
import { isSteadyBuiltin } from "../builtinFunctions";
import type { Handlers, Inspector } from "../inspector";
import {
  type WrittenName,
  as,
  display,
  hasOption,
  relationName,
  strings,
  typeNameOf,
  visit,
  writtenName,
} from "../syntaxTree";

export const lockRules: Handlers = {
  IndexStmt: async (create, inspector) => {
    const table = relationName(create.relation);
    await inspector.inspect([create.indexParams, create.whereClause]);
    if (create.concurrent === true) {
      if (create.idxname === undefined || create.if_not_exists !== true) {
        inspector.report("repeatable-index", `builds an index on ${display(table)} outside a transaction`);
      }
    } else if (!isOwn(table, inspector) && !(await isParentOnly(create.relation?.inh, table, inspector))) {
      inspector.report("index-blocks-writers", `builds an index on ${display(table)} while nobody can write to it`);
    }
    if (create.idxname === undefined || create.if_not_exists === true) return;
    inspector.scope.addObject("index", { schema: create.relation?.schemaname, name: create.idxname });
  },

  ReindexStmt: (reindex, inspector) => {
    const name = relationName(reindex.relation);
    if (hasOption(reindex.params, "concurrently")) return;
    if (isOwn(name, inspector) || inspector.scope.hasObject("index", name)) return;
    const what = reindex.relation === undefined ? (reindex.name ?? "the database") : display(name);
    inspector.report("reindex-blocks-writers", `rebuilds indexes of ${what} while nobody can write`);
  },

  VacuumStmt: (vacuum, inspector) => {
    if (!hasOption(vacuum.options, "full")) return;
    const tables = (vacuum.rels ?? []).map((node) => relationName(as(node, "VacuumRelation")?.relation));
    const what = tables.length === 0 ? "every table" : tables.map(display).join(", ");
    inspector.report("vacuum-full", `writes ${what} anew while nobody can read`);
  },

  ClusterStmt: (cluster, inspector) => {
    const table = relationName(cluster.relation);
    if (cluster.relation !== undefined && isOwn(table, inspector)) return;
    const what = cluster.relation === undefined ? "every clustered table" : display(table);
    inspector.report("vacuum-full", `writes ${what} anew while nobody can read`);
  },

  RefreshMatViewStmt: (refresh, inspector) => {
    const view = relationName(refresh.relation);
    if (inspector.scope.hasObject("materialized view", view)) return;
    if (refresh.skipData === true) inspector.report("truncate", `empties the materialized view ${display(view)}`);
    else if (refresh.concurrent !== true) {
      inspector.report("refresh-blocks-readers", `computes ${display(view)} anew while nobody can read it`);
    }
  },

  LockStmt: (lock, inspector) => {
    const tables = (lock.relations ?? []).map((node) => relationName(as(node, "RangeVar")));
    const others = tables.filter((table) => !isOwn(table, inspector));
    // lockdefs.h: modes from ShareLock (5) on keep writers waiting.
    if (others.length === 0 || (lock.mode ?? 0) < 5) return;
    inspector.report("long-lock", `locks ${others.map(display).join(", ")} until the file is done`);
  },
};

/** What adding this column to an existing table does while the table is locked. */
export function judgeColumnLocks(
  definition: ColumnDef,
  table: WrittenName,
  inspector: Inspector,
  offset: number,
): void {
  const what = `${display(table)}.${definition.colname ?? ""}`;
  const constraints = (definition.constraints ?? []).flatMap((node) => as(node, "Constraint") ?? []);
  const filled = constraints.find(({ contype }) => contype === "CONSTR_DEFAULT")?.raw_expr;
  const writes = (why: string): void =>
    inspector.report("rewrites-table", `${what}: ${why} writes every row of the table anew`, offset);
  if (filled !== undefined && !isSteady(filled)) writes("a default that differs from row to row");
  if (typeNameOf(definition.typeName).name.includes("serial")) writes("numbering the rows there are");
  for (const constraint of constraints) {
    if (constraint.contype === "CONSTR_IDENTITY") writes("numbering the rows there are");
    if (constraint.contype === "CONSTR_GENERATED" && constraint.generated_kind !== "v") writes("a stored expression");
    if (constraint.contype === "CONSTR_UNIQUE" || constraint.contype === "CONSTR_PRIMARY") {
      inspector.report("constraint-builds-index", `builds the index of ${what} while nobody can write`, offset);
    }
    if (constraint.contype === "CONSTR_CHECK") {
      inspector.report("long-lock", `reads all of ${display(table)} to check ${what}`, offset);
    }
    if (constraint.contype !== "CONSTR_FOREIGN") continue;
    const parent = display(relationName(constraint.pktable));
    // Without a default every value is NULL, and the server skips the check (parse_utilcmd.c, skipValidation).
    if (filled === undefined) {
      inspector.report("reference-locks-parent", `locks ${display(table)} and ${parent} for a moment`, offset);
    } else scans(`checks every row of ${display(table)} against ${parent}`, inspector, offset);
  }
}

/** What adding this constraint to an existing table does while the table is locked. */
export function judgeConstraintLocks(
  constraint: Constraint,
  table: WrittenName,
  inspector: Inspector,
  offset: number,
): void {
  const { contype, conname, indexname } = constraint;
  const later = constraint.skip_validation === true || constraint.is_enforced === false;
  if (contype === "CONSTR_FOREIGN" || contype === "CONSTR_CHECK") {
    if (!later) scans(`checks every row of ${display(table)}`, inspector, offset);
    else if (conname !== undefined) inspector.scope.addObject("unchecked constraint", table, conname);
    const column = requiredColumn(constraint);
    if (column === undefined) return;
    if (!later) inspector.scope.addObject("checked column", table, column);
    else if (conname !== undefined) inspector.scope.noteRequired(table, conname, column);
  } else if ((contype === "CONSTR_UNIQUE" || contype === "CONSTR_PRIMARY") && indexname === undefined) {
    inspector.report("constraint-builds-index", `builds an index on ${display(table)} while nobody can write`, offset);
  } else if (contype === "CONSTR_EXCLUSION") {
    inspector.report("long-lock", `builds the index of an exclusion constraint on ${display(table)}`, offset);
  }
}

/** VALIDATE CONSTRAINT takes a lock that writers do not notice, unless the file holds a stronger one already. */
export function judgeValidation(name: string, table: WrittenName, inspector: Inspector, offset: number): void {
  if (inspector.scope.dropObject("unchecked constraint", table, name)) {
    inspector.report("validate-in-same-file", `checks every row of ${display(table)} for ${name}`, offset);
  }
  const column = inspector.scope.requiredBy(table, name);
  if (column !== undefined) inspector.scope.addObject("checked column", table, column);
}

/** A checked constraint says already that the column is never NULL: SET NOT NULL then neither scans nor breaks anything. */
export async function requiredByCheck(table: WrittenName, column: string, inspector: Inspector): Promise<boolean> {
  if (inspector.scope.hasObject("checked column", table, column)) return true;
  const schema = inspector.scope.schemaOf(table);
  return schema !== undefined && (await inspector.catalog.isCheckedNotNull(schema, table.name, column));
}

function scans(reason: string, inspector: Inspector, offset: number): void {
  inspector.report("constraint-scans-table", `${reason} while nobody can write`, offset);
}

/** That of `CHECK (column IS NOT NULL)`, and nothing else. */
export function requiredColumn(constraint: Constraint): string | undefined {
  const test = as(constraint.raw_expr, "NullTest");
  return test?.nulltesttype === "IS_NOT_NULL" ? strings(as(test.arg, "ColumnRef")?.fields).at(-1) : undefined;
}

/** One value for all rows: no function in it that may answer otherwise the next time. */
function isSteady(expression: Node): boolean {
  let steady = true;
  visit(expression, (kind, value) => {
    if (kind !== "FuncCall") return;
    const name = writtenName(strings((value as { funcname?: Node[] }).funcname));
    if (name.schema !== undefined && name.schema !== "pg_catalog") steady = false;
    else if (!isSteadyBuiltin(name.name)) steady = false;
  });
  return steady;
}

/** `CREATE INDEX ON ONLY` of a partitioned table builds nothing: the partitions' own indexes are attached to it. */
async function isParentOnly(inherits: boolean | undefined, table: WrittenName, inspector: Inspector): Promise<boolean> {
  const schema = inspector.scope.schemaOf(table);
  if (inherits === true || schema === undefined) return false;
  return inspector.catalog.isPartitioned(schema, table.name);
}

function isOwn(table: WrittenName, inspector: Inspector): boolean {
  return inspector.scope.isCreatedTable(table) || inspector.scope.hasObject("materialized view", table);
}

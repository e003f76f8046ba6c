/** Statements that change rows: only rows that nobody had before this set, and columns that it added, may change. */
import type { Node, RangeVar, ResTarget } from "libpg-query";
import type { Handlers, Inspector } from "../inspector";
import { type WrittenName, as, display, relationName } from "../syntaxTree";

export const rowRules: Handlers = {
  SelectStmt: async (select, inspector) => {
    await inspector.inspect([select]);
    const into = select.intoClause?.rel;
    if (into !== undefined && !inspector.position.inBody) {
      inspector.scope.addTable(relationName(into), into.relpersistence === "t", false);
    }
  },

  InsertStmt: async (insert, inspector) => {
    const table = relationName(insert.relation);
    refuseCatalogWrites(table, insert.relation, inspector);
    await inspector.inspect([insert.selectStmt, insert.withClause, insert.onConflictClause, insert.returningClause]);
    if (insert.onConflictClause?.action !== "ONCONFLICT_UPDATE" || inspector.scope.isFreeTable(table)) return;
    if (fillsNewColumns(table, insert.onConflictClause.targetList, inspector)) return;
    inspector.report(
      "upsert-overwrites",
      `ON CONFLICT DO UPDATE overwrites existing rows of ${display(table)}`,
      insert.onConflictClause.location,
    );
  },

  UpdateStmt: async (update, inspector) => {
    const table = relationName(update.relation);
    await inspector.inspect([
      update.targetList,
      update.whereClause,
      update.fromClause,
      update.withClause,
      update.returningClause,
    ]);
    if (inspector.scope.isFreeTable(table)) return;
    if (fillsNewColumns(table, update.targetList, inspector)) {
      inspector.report("backfill", `fills columns of ${display(table)} that this set adds`, placeOf(update, inspector));
      return;
    }
    const extent = update.whereClause === undefined ? "every row" : "existing rows";
    inspector.report("update", `overwrites values in ${extent} of ${display(table)}`, placeOf(update, inspector));
  },

  DeleteStmt: async (remove, inspector) => {
    const table = relationName(remove.relation);
    await inspector.inspect([remove.whereClause, remove.usingClause, remove.withClause, remove.returningClause]);
    if (inspector.scope.isFreeTable(table)) return;
    const extent = remove.whereClause === undefined ? "every row" : "rows";
    inspector.report("delete", `deletes ${extent} of ${display(table)}`, placeOf(remove, inspector));
  },

  MergeStmt: async (merge, inspector) => {
    const table = relationName(merge.relation);
    refuseCatalogWrites(table, merge.relation, inspector);
    await inspector.inspect([
      merge.sourceRelation,
      merge.joinCondition,
      merge.mergeWhenClauses,
      merge.withClause,
      merge.returningClause,
    ]);
    if (inspector.scope.isFreeTable(table)) return;
    const clauses = (merge.mergeWhenClauses ?? []).map((clause) => as(clause, "MergeWhenClause"));
    const changes = clauses.filter(
      (clause) => clause?.commandType === "CMD_UPDATE" || clause?.commandType === "CMD_DELETE",
    );
    if (changes.length === 0) return;
    const fills = changes.every(
      (clause) => clause?.commandType === "CMD_UPDATE" && fillsNewColumns(table, clause.targetList, inspector),
    );
    const verb = changes.some((clause) => clause?.commandType === "CMD_DELETE") ? "deletes" : "overwrites";
    if (fills)
      inspector.report("backfill", `fills columns of ${display(table)} that this set adds`, placeOf(merge, inspector));
    else inspector.report("merge", `MERGE ${verb} existing rows of ${display(table)}`, placeOf(merge, inspector));
  },

  TruncateStmt: (truncate, inspector) => {
    const tables = (truncate.relations ?? []).map((relation) => relationName(as(relation, "RangeVar")));
    const others = tables.filter((table) => !inspector.scope.isFreeTable(table));
    if (others.length === 0) return;
    const cascade = truncate.behavior === "DROP_CASCADE" ? " and of every table that references it" : "";
    inspector.report("truncate", `removes every row of ${others.map(display).join(", ")}${cascade}`);
  },

  CopyStmt: async (copy, inspector) => {
    const table = relationName(copy.relation);
    if (copy.is_program === true) inspector.report("server-program", "COPY … PROGRAM runs a program on the server");
    else if (copy.is_from === true && copy.filename === undefined) {
      inspector.report("copy-from-client", `COPY ${display(table)} FROM STDIN waits for data that a file cannot send`);
    } else if (copy.filename !== undefined) {
      const does = copy.is_from === true ? "FROM reads" : "TO writes";
      inspector.report("server-file", `COPY … ${does} the server's file ${copy.filename}`);
    }
    if (copy.is_from === true) refuseCatalogWrites(table, copy.relation, inspector);
    if (copy.query !== undefined) await inspector.inspect([copy.query]);
    await inspector.inspect(copy.whereClause);
  },
};

/** The statement may be nested, and the tree tells only its table's place: the keyword stands right before it. */
function placeOf(statement: { relation?: RangeVar }, inspector: Inspector): number {
  const { start, fragment } = inspector.position;
  const table = statement.relation?.location;
  if (table === undefined) return start;
  const before = fragment.source.sliceBytes(start, table).slice(-keywordReach);
  const keyword = /(?:delete\s+from|update|merge\s+into)(?:\s|\bonly\b|\()*$/i.exec(before)?.[0];
  return keyword === undefined ? table : table - Buffer.byteLength(keyword, "utf8");
}

/** Characters before a table's name in which its keyword is looked for. */
const keywordReach = 100;

/** Are all assigned columns ones that the set added (and so without old values)? */
function fillsNewColumns(table: WrittenName, targets: readonly Node[] | undefined, inspector: Inspector): boolean {
  const columns = (targets ?? []).map((target) => as(target, "ResTarget")).map(assignedColumn);
  return (
    columns.length > 0 &&
    columns.every((column) => column !== undefined && inspector.scope.hasObject("column", table, column))
  );
}

function assignedColumn(target: ResTarget | undefined): string | undefined {
  return target?.name;
}

function refuseCatalogWrites(table: WrittenName, relation: RangeVar | undefined, inspector: Inspector): void {
  if (table.schema !== "pg_catalog" && !(table.schema === undefined && table.name.startsWith("pg_"))) return;
  inspector.report("catalog-write", `writes into the system catalog ${table.name}`, relation?.location);
}

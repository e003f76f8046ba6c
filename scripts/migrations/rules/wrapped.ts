/** Statements that carry another one: EXPLAIN runs it, PREPARE keeps it, a cursor reads it. */
import type { Handlers } from "../inspector";

export const wrappedRules: Handlers = {
  ExplainStmt: async (explain, inspector) => {
    if (explain.query !== undefined) await inspector.judge(explain.query);
  },
  PrepareStmt: async (prepare, inspector) => {
    if (prepare.query !== undefined) await inspector.judge(prepare.query);
    inspector.scope.prepare(prepare.name ?? "");
  },
  ExecuteStmt: async (execute, inspector) => {
    await inspector.inspect(execute.params);
    if (inspector.scope.isPrepared(execute.name ?? "")) return;
    inspector.report("unknown-prepared-statement", `executes ${execute.name ?? ""}, which this file does not prepare`);
  },
  DeclareCursorStmt: async (declare, inspector) => {
    if (declare.query !== undefined) await inspector.judge(declare.query);
  },
  ReturnStmt: (statement, inspector) => inspector.inspect([statement.returnval]),
};

/** Code that is stored or run: functions, DO blocks, CALL, triggers, rules. Bodies count when they run. */
import type { CreateTrigStmt } from "libpg-query";
import { functionKey, inputTypes } from "../fileOutline";
import { judgeProcedure, languageOf } from "../bodies";
import type { Handlers, Inspector } from "../inspector";
import { SyntaxFault } from "../parser";
import { alwaysReturnsNull } from "../plpgsql";
import { type WrittenName, display, relationName, strings, typeNameOf, writtenName } from "../syntaxTree";
import { attachFunction } from "./creates";
import { judgeNewRoutine } from "./security";

export const routineRules: Handlers = {
  CreateFunctionStmt: async (create, inspector) => {
    const name = writtenName(strings(create.funcname));
    const { fragment, start, end, inBody } = inspector.position;
    await inspector.attached().inspect(create.parameters);
    judgeNewRoutine(create, inspector);
    if (inBody) {
      // Defined by code that runs later: its body cannot be told apart from one that is called.
      await inspector.attached().judgeBody({ id: idOf(inspector), definition: create, fragment, start, end });
      return;
    }
    const routine = { id: idOf(inspector), definition: create, fragment, start, end };
    inspector.scope.addRoutine(name, routine);
    if (create.replace !== true) {
      inspector.scope.addObject(
        "function",
        name,
        functionKey({ schema: undefined, name: "" }, inputTypes(create.parameters)),
      );
      return;
    }
    // A trigger function is only there to be attached, and what is replaced may be attached already.
    const returns = typeNameOf(create.returnType).name;
    if (returns === "trigger" || returns === "event_trigger" || inspector.scope.isAttached(name)) {
      await inspector.attached().judgeBody(routine);
    }
  },

  DoStmt: (block, inspector) => judgeProcedure(block.args, inspector),

  CallStmt: async (call, inspector) => {
    if (call.funccall !== undefined) await inspector.call(call.funccall);
  },

  CreateTrigStmt: async (create, inspector) => {
    const table = relationName(create.relation);
    await inspector.attached().inspect([create.whenClause]);
    await attachOrInform(
      writtenName(strings(create.funcname)),
      `the trigger ${create.trigname ?? ""} on ${display(table)}`,
      inspector,
    );
    if (discardsRows(create, inspector)) {
      const what = `the trigger ${create.trigname ?? ""} discards what the application writes to ${display(table)}`;
      inspector.report("rule-changes-rows", what);
    }
    if (create.replace !== true) inspector.scope.addObject("trigger", table, create.trigname);
  },

  CreateEventTrigStmt: (create, inspector) =>
    attachOrInform(writtenName(strings(create.funcname)), `the event trigger ${create.trigname ?? ""}`, inspector),

  RuleStmt: async (create, inspector) => {
    const table = relationName(create.relation);
    const own = inspector.scope.isFreeTable(table) || inspector.scope.hasObject("view", table);
    if (create.event !== "CMD_SELECT" && create.instead === true && !own) {
      const effect = (create.actions ?? []).length === 0 ? "discards" : "replaces";
      inspector.report("rule-changes-rows", `${effect} what the application writes to ${display(table)}`);
    }
    await inspector.attached().inspect([create.whereClause]);
    for (const action of create.actions ?? []) await inspector.attached().judge(action);
    if (create.replace !== true) inspector.scope.addObject("rule", table, create.rulename);
  },
};

/** BEFORE a row of an existing table, a function of the set that only ever returns NULL (catalog/pg_trigger.h: 2 is BEFORE). */
function discardsRows({ relation, row, timing, funcname }: CreateTrigStmt, inspector: Inspector): boolean {
  if (row !== true || timing !== 2 || inspector.scope.isFreeTable(relationName(relation))) return false;
  return inspector.scope.routines(writtenName(strings(funcname))).some(({ definition, fragment, start, end }) => {
    try {
      return languageOf(definition) === "plpgsql" && alwaysReturnsNull(fragment.source.sliceBytes(start, end));
    } catch (error) {
      if (error instanceof SyntaxFault) return false; // told where its body is judged
      throw error;
    }
  });
}

/** Its place: one statement defines one function. */
function idOf({ position: { fragment, start } }: Inspector): string {
  const { line, column } = fragment.place(start);
  return `${fragment.file}:${line}:${column}`;
}

async function attachOrInform(name: WrittenName, what: string, inspector: Inspector): Promise<void> {
  if (await attachFunction(name, inspector)) return;
  inspector.report("unseen-function", `${what} runs ${display(name)}(), which this set does not define`);
}

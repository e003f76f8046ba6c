/** Code that is stored or run: functions, DO blocks, CALL, triggers, rules. Bodies count when they run. */
import { functionKey, inputTypes } from "../fileOutline";
import { judgeProcedure } from "../bodies";
import type { Handlers, Inspector } from "../inspector";
import { type WrittenName, display, relationName, strings, typeNameOf, writtenName } from "../syntaxTree";
import { attachFunction } from "./creates";
import { judgeNewDefiner } from "./security";

export const routineRules: Handlers = {
  CreateFunctionStmt: async (create, inspector) => {
    const name = writtenName(strings(create.funcname));
    const { fragment, start, end, inBody } = inspector.position;
    await inspector.attached().inspect(create.parameters);
    judgeNewDefiner(create, inspector);
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

/** Its place: one statement defines one function. */
function idOf({ position: { fragment, start } }: Inspector): string {
  const { line, column } = fragment.place(start);
  return `${fragment.file}:${line}:${column}`;
}

async function attachOrInform(name: WrittenName, what: string, inspector: Inspector): Promise<void> {
  if (await attachFunction(name, inspector)) return;
  inspector.report("unseen-function", `${what} runs ${display(name)}(), which this set does not define`);
}

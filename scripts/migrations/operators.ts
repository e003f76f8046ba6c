/** Operators run functions: those of PostgreSQL itself only compute, another one runs what somebody defined. */
import type { Inspector } from "./inspector";
import { judgeLiveRoutines } from "./liveRoutines";
import { type WrittenName, display } from "./syntaxTree";

/** Read from PostgreSQL 17.10: SELECT DISTINCT oprname FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace. */
const builtin = new Set(
  `!! !~ !~* !~~ !~~* # ## #- #> #>> % & && &< &<| &> * *< *<= *<> *= *> *>= + - -> ->> -|- / < <-> << <<= <<| <= <> <@ <^
  = > >= >> >>= >^ ? ?# ?& ?- ?-| ?| ?|| @ @-@ @> @? @@ @@@ ^ ^@ | |&> |/ |>> || ||/ ~ ~* ~<=~ ~<~ ~= ~>=~ ~>~ ~~ ~~*`.split(
    /\s+/,
  ),
);

/** The name under which the scope knows an operator that the set made. */
export function operatorName(operator: WrittenName): WrittenName {
  return { schema: operator.schema, name: `operator ${operator.name}` };
}

/** Judges one use of an operator by code that the migration runs. */
export async function judgeOperator(
  operator: WrittenName,
  offset: number | undefined,
  inspector: Inspector,
): Promise<void> {
  if (inspector.mode === "attached" || inspector.scope.hasObject("other", operatorName(operator))) return;
  if (operator.schema === "pg_catalog" || (operator.schema === undefined && builtin.has(operator.name))) return;
  const schemas = operator.schema === undefined ? inspector.scope.searchPath : [operator.schema];
  const live = await inspector.catalog.operatorRoutines(schemas, operator.name);
  await judgeLiveRoutines(live, [], inspector, offset ?? inspector.position.start);
  if (live.length > 0) return;
  const what = `the operator ${display(operator)}, which neither PostgreSQL nor this set defines`;
  inspector.report("unknown-function", `runs ${what}: nobody sees what it does`, offset);
}

/**
 * Calls of functions. What the migration runs must be known: a function of PostgreSQL that only reads and
 * computes, or one whose body the set itself defines.
 */
import type { FuncCall, Node } from "libpg-query";
import { extensionsWith, isHarmlessBuiltin } from "./builtinFunctions";
import type { Inspector } from "./inspector";
import { judgeLiveRoutines } from "./liveRoutines";
import type { RuleId } from "./ruleCatalog";
import { type WrittenName, as, display, strings, writtenName } from "./syntaxTree";

/** Functions of PostgreSQL that act, and the rule that says why they are refused. */
const actingFunctions: readonly (readonly [pattern: RegExp, rule: RuleId, effect: string])[] = [
  [/^setval$/, "sequence-restart", "moves a sequence to another value"],
  [/^lo_(unlink|truncate|truncate64|put)$|^lowrite$/, "drop-large-object", "removes or overwrites large objects"],
  [/^lo_export$|^lo_import$|^pg_read_(binary_)?file$|^pg_ls_|^pg_file_/, "server-file", "touches files of the server"],
  [/^(query|cursor)_to_xml|^ts_stat$|^ts_rewrite$|^dblink/, "dynamic-sql", "runs a text as SQL"],
  [/^pg_(try_)?advisory_(un)?lock/, "session-lock", "takes or gives back a lock of the session"],
  [/^pg_(terminate|cancel)_backend$/, "session-lock", "ends other sessions"],
];

/** Judges one call, executed or attached; its arguments are looked at by whoever found it. */
export async function judgeCall(name: WrittenName, call: FuncCall, inspector: Inspector): Promise<void> {
  if (isBuiltinName(name) && judgeActing(name, call, inspector)) return;
  if (inspector.mode === "attached") inspector.scope.attach(name);
  const routines = inspector.scope.routines(name);
  for (const routine of routines) await inspector.judgeBody(routine);
  if (inspector.mode === "attached" || isKnown(name, inspector)) return;
  const schemas = name.schema === undefined ? inspector.scope.searchPath : [name.schema];
  const live = await inspector.catalog.routines(schemas, name.name);
  const offset = call.location ?? inspector.position.start;
  await judgeLiveRoutines(live, routines, inspector, offset);
  if (routines.length + live.length > 0) return;
  inspector.report(
    "unknown-function",
    `runs ${display(name)}(), which neither PostgreSQL nor this set defines: nobody sees what it does`,
    call.location,
  );
}

/** Functions that act, told by name; `true`: there is nothing more to say about this call. */
function judgeActing(name: WrittenName, call: FuncCall, inspector: Inspector): boolean {
  if (name.name === "set_config") {
    judgeSetConfig(call, inspector);
    return true;
  }
  const acting = actingFunctions.find(([pattern]) => pattern.test(name.name));
  if (acting === undefined || isHarmlessBuiltin(name.name)) return false;
  if (name.name === "setval" && isOwnSequence(call.args?.[0], inspector)) return true;
  const [, rule, effect] = acting;
  inspector.report(rule, `${name.name}() ${effect}`, call.location);
  return true;
}

/** A sequence of the set, or that of a serial or identity column of a table of the set: nobody has a value of it yet. */
function isOwnSequence(argument: Node | undefined, { scope }: Inspector): boolean {
  const text = textOf(argument);
  if (text !== undefined) {
    const sequence = nameOf(text);
    if (scope.hasObject("sequence", sequence)) return true;
    const places = [...sequence.name.matchAll(/_/g)].map(({ index }) => index);
    const tables = places.map((end) => ({ ...sequence, name: sequence.name.slice(0, end) }));
    return sequence.name.endsWith("_seq") && tables.some((table) => scope.isFreeTable(table));
  }
  const call = as(argument, "FuncCall");
  const table = strings(call?.funcname).at(-1) === "pg_get_serial_sequence" ? textOf(call?.args?.[0]) : undefined;
  return table !== undefined && scope.isFreeTable(nameOf(table));
}

/** Of a string constant, also one cast to `regclass`. */
function textOf(argument: Node | undefined): string | undefined {
  return as(as(argument, "TypeCast")?.arg ?? argument, "A_Const")?.sval?.sval;
}

/** `app.clients` or `"Clients"`, as `regclass` reads it. */
function nameOf(text: string): WrittenName {
  const parts = text.match(/"(?:[^"]|"")*"|[^.]+/g) ?? [];
  const unquoted = (part: string): string => part.slice(1, -1).replaceAll('""', '"');
  return writtenName(parts.map((part) => (part.startsWith('"') ? unquoted(part) : part.toLowerCase())));
}

/** pg_dump writes `SELECT pg_catalog.set_config('search_path', '', false)`. */
function judgeSetConfig(call: FuncCall, inspector: Inspector): void {
  const [setting, value] = (call.args ?? []).map((argument) => as(argument, "A_Const")?.sval);
  const name = setting?.sval;
  // The tree leaves out the text of an empty string.
  if (name === "search_path") inspector.changeSearchPath(value === undefined ? undefined : pathOf(value.sval ?? ""));
  else if (name === undefined || !harmlessConfig.test(name)) {
    inspector.report(
      "session-setting",
      `set_config() changes ${name ?? "a setting that cannot be told"}`,
      call.location,
    );
  }
}

/** The schemas of `a, "b"`; one that does not exist for the empty path. */
function pathOf(value: string): string[] {
  return value.split(",").map((schema) => schema.trim().replace(/^"(.*)"$/, "$1"));
}

/** Custom settings (`app.user_id`, `request.jwt.claims`) and timeouts. */
const harmlessConfig = /^[a-z_]+\.|^(lock|statement|idle_in_transaction_session)_timeout$/i;

/** The name under which the scope knows an aggregate that the set made: what it runs was judged there. */
export function aggregateName(aggregate: WrittenName): WrittenName {
  return { schema: aggregate.schema, name: `aggregate ${aggregate.name}` };
}

function isKnown(name: WrittenName, inspector: Inspector): boolean {
  if (inspector.scope.hasObject("other", aggregateName(name))) return true;
  if (isBuiltinName(name) && isHarmlessBuiltin(name.name)) return true;
  return extensionsWith(name.name).some((extension) => inspector.scope.hasExtension(extension));
}

/** PostgreSQL looks an unqualified name up in pg_catalog first. */
function isBuiltinName(name: WrittenName): boolean {
  return name.schema === undefined || name.schema === "pg_catalog";
}

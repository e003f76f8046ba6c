/**
 * Functions that the live database defines: what they do is judged like the set's own bodies, and told at the place that
 * calls them.
 */
import { isHarmlessOfExtension } from "./builtinFunctions";
import type { LiveRoutine } from "./catalog";
import { inputTypes } from "./fileOutline";
import type { Inspector } from "./inspector";
import { SyntaxFault, parseStatements } from "./parser";
import type { Routine } from "./scope";
import { SourceText } from "./sourceText";
import { as, typeNameOf } from "./syntaxTree";

/**
 * Judges what a call may run of these, all overloads but those that the set itself defines anew.
 *
 * @param offset of the call in the inspector's fragment.
 */
export async function judgeLiveRoutines(
  found: readonly LiveRoutine[],
  replaced: readonly Routine[],
  inspector: Inspector,
  offset: number,
): Promise<void> {
  const known = new Set(replaced.map(({ definition }) => signatureOf(definition.parameters)));
  for (const live of found) {
    if (live.definition !== null) await judgeDefinition(live, live.definition, known, inspector, offset);
    else if (!isHarmless(live)) {
      const of = live.extension === null ? "" : ` of the extension ${live.extension}`;
      const what = `${live.schema}.${live.name}()${of}`;
      inspector.report("unanalysable-function", `runs ${what}, which is written in ${live.language}`, offset);
    }
  }
}

async function judgeDefinition(
  live: LiveRoutine,
  text: string,
  known: ReadonlySet<string>,
  inspector: Inspector,
  offset: number,
): Promise<void> {
  const caller = inspector.position.fragment;
  const call = caller.source.indexOfByte(offset);
  const fragment = caller.within(text, () => call);
  const name = `the live function ${live.schema}.${live.name}()`;
  try {
    const [statement] = parseStatements(new SourceText("", text));
    const definition = as(statement?.node, "CreateFunctionStmt");
    if (statement === undefined || definition === undefined) throw new SyntaxFault("no function", 0);
    if (known.has(signatureOf(definition.parameters))) return;
    const { start, end } = statement;
    await inspector.judgeBody({ id: `live ${live.id}`, live: name, definition, fragment, start, end });
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error;
    inspector.report("unparseable-body", `${name} cannot be read: ${error.message}`, offset);
  }
}

/** Of C, or PostgreSQL's own code: nobody can read it, but an extension says of its functions what they do. */
function isHarmless({ extension, language, name, volatile }: LiveRoutine): boolean {
  if (extension === null || !["c", "internal"].includes(language)) return false;
  return !volatile || isHarmlessOfExtension(extension, name);
}

function signatureOf(parameters: Routine["definition"]["parameters"]): string {
  return inputTypes(parameters)
    .map((type) => `${typeNameOf(type).name}${"[]".repeat(type?.arrayBounds?.length ?? 0)}`)
    .join();
}

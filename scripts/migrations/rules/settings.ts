/** Session settings, and statements that change settings of roles, databases and the server. */
import type { DefElem, VariableSetStmt } from "libpg-query";
import type { Handlers, Inspector } from "../inspector";
import { as } from "../syntaxTree";

export const settingRules: Handlers = {
  VariableSetStmt: judgeSet,
  AlterSystemStmt: (_, inspector) => inspector.report("alter-setting", "changes a setting of the whole server"),
  AlterDatabaseSetStmt: (alter, inspector) => judgeStoredSet(alter.setstmt, "new sessions of the database", inspector),
  AlterRoleSetStmt: (alter, inspector) => judgeStoredSet(alter.setstmt, "new sessions of a role", inspector),
};

function judgeStoredSet(statement: VariableSetStmt | undefined, whose: string, inspector: Inspector): void {
  const name = statement?.name ?? "a setting";
  if (statement !== undefined && isProtectedSet(statement)) {
    inspector.report("session-setting", `sets ${name} for ${whose}`);
  } else inspector.report("alter-role-setting", `changes ${name} for ${whose}`);
}

/** The settings that a function runs with (`CREATE FUNCTION … SET`). */
export function judgeRoutineSettings(options: readonly DefElem[], what: string, inspector: Inspector): void {
  for (const { arg } of options) {
    const set = as(arg, "VariableSetStmt");
    if (set === undefined || !isProtectedSet(set)) continue;
    inspector.report("session-setting", `${what} runs with ${set.name ?? ""} set`);
  }
}

/** To a value of its own: back to the default is harmless. */
function isProtectedSet(statement: VariableSetStmt): boolean {
  return statement.kind === "VAR_SET_VALUE" && protectedSettings.has((statement.name ?? "").toLowerCase());
}

/** Settings that would switch off triggers, durability or checks, or change how this very text is read. */
const protectedSettings = new Set([
  "session_replication_role",
  "event_triggers",
  "standard_conforming_strings",
  "synchronous_commit",
  "allow_system_table_mods",
  "ignore_system_indexes",
  "zero_damaged_pages",
  "ignore_checksum_failure",
]);

function judgeSet(statement: VariableSetStmt, inspector: Inspector): void {
  const name = (statement.name ?? "").toLowerCase();
  const resets = statement.kind === "VAR_RESET" || statement.kind === "VAR_SET_DEFAULT";
  if (name === "search_path" || statement.kind === "VAR_RESET_ALL") {
    const reset = resets || statement.kind === "VAR_RESET_ALL";
    inspector.changeSearchPath(reset ? inspector.catalog.searchPath : writtenPath(statement));
  }
  if (resets || statement.kind === "VAR_RESET_ALL") return;
  if (protectedSettings.has(name)) inspector.report("session-setting", `sets ${name}`);
  else if (name === "client_encoding" && !isUtf8(statement)) inspector.report("session-setting", `sets ${name}`);
}

/** `"$user"` counts only where such a schema exists: what the default path knows and a SET cannot tell. */
function writtenPath(statement: VariableSetStmt): string[] {
  return words(statement).filter((word) => word !== "$user");
}

function isUtf8(statement: VariableSetStmt): boolean {
  return words(statement).every((word) => /^utf-?8$/i.test(word));
}

function words(statement: VariableSetStmt): string[] {
  return (statement.args ?? []).flatMap((node) => as(node, "A_Const")?.sval?.sval ?? []);
}

/**
 * What a server's error means to whoever runs a command: a right that is missing, something busy, a server
 * that went away, a page that cannot be read. Everything else a server refuses is a bug of ours.
 */
import { DatabaseError } from "pg";
import { Damage, type Failure, Refusal, Unavailable, codeOf, messageOf } from "../contract/failure";
import { isConnectionLoss } from "./connect";
import { readOnlyHint } from "./identity";

/** Undefined: the error is not the database's, or it is our own mistake. */
export function databaseFailure(error: unknown): Failure | undefined {
  const code = codeOf(error);
  if (isHiddenByPolicy(error))
    return new Refusal(`rows would be hidden: ${messageOf(error)}`, {
      cause: error,
      hint: "use a role with BYPASSRLS, or the owner and ALTER TABLE … NO FORCE ROW LEVEL SECURITY",
    });
  if (code === "42501")
    return new Refusal(`the database refused: ${messageOf(error)}`, {
      cause: error,
      hint: "give the address's role that right; all that are needed: docs/backup-role.sql",
    });
  if (code === "25006")
    return new Unavailable(`the database takes no writes: ${messageOf(error)}`, { cause: error, hint: readOnlyHint });
  if (code === "55P03") {
    return new Unavailable("a table stays locked by another session (lock_timeout 10 s)", {
      cause: error,
      hint: "a running migration holds ACCESS EXCLUSIVE: wait for it to end, then try again",
    });
  }
  // Undefined table and a definition that went with it: XX000 has no code of its own for that.
  if (
    code === "42P01" ||
    (code === "XX000" && /cache lookup failed|could not open relation with OID/.test(messageOf(error)))
  ) {
    return new Unavailable(`a table was dropped meanwhile; run again: ${messageOf(error)}`, { cause: error });
  }
  // data_corrupted, index_corrupted.
  if (code === "XX001" || code === "XX002") {
    return new Damage(`the database is damaged: ${messageOf(error)}`, {
      cause: error,
      hint: "do not write to it; compare it with the last good backup, and restore that beside it (db:restore)",
    });
  }
  if (code === "40P01")
    return new Unavailable(`another session and this one waited for each other: ${messageOf(error)}`, { cause: error });
  // Class 53: insufficient resources (connections, disk, memory); PostgreSQL manual, appendix A.
  if (code?.startsWith("53") === true)
    return new Unavailable(`the database has no room for this: ${messageOf(error)}`, { cause: error });
  if (code === "55006") return new Unavailable(`another session uses it: ${messageOf(error)}`, { cause: error });
  if (code === "57014") return new Unavailable(`the statement was cancelled: ${messageOf(error)}`, { cause: error });
  if (isConnectionLoss(error))
    return new Unavailable(`the connection to the database was lost: ${messageOf(error)}`, { cause: error });
  return undefined;
}

/** Row security that is not to filter and would: an error of its own by the routine that raises it (`row_security = off`). */
function isHiddenByPolicy(error: unknown): boolean {
  return error instanceof DatabaseError && error.routine === "check_enable_rls";
}

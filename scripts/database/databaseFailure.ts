/**
 * What a server's error means to whoever runs a command: a right that is missing, something busy, a server
 * that went away. Everything else a server refuses is a bug of ours.
 */
import { type Failure, Refusal, Unavailable, codeOf, messageOf } from "../contract/failure";
import { isConnectionLoss } from "./connect";

/** Undefined: the error is not the database's, or it is our own mistake. */
export function databaseFailure(error: unknown): Failure | undefined {
  const code = codeOf(error);
  if (code === "42501")
    return new Refusal(`the database refused: ${messageOf(error)}`, { cause: error, hint: "see docs/backup-role.sql" });
  if (code === "55P03") {
    return new Unavailable("a table stays locked by another session (lock_timeout 10 s)", {
      cause: error,
      hint: "a running migration holds ACCESS EXCLUSIVE: wait for it to end, then try again",
    });
  }
  // Class 53: insufficient resources (connections, disk, memory); PostgreSQL manual, appendix A.
  if (code?.startsWith("53") === true)
    return new Unavailable(`the database has no room for this: ${messageOf(error)}`, { cause: error });
  if (code === "57014") return new Unavailable(`the statement was cancelled: ${messageOf(error)}`, { cause: error });
  if (isConnectionLoss(error))
    return new Unavailable(`the connection to the database was lost: ${messageOf(error)}`, { cause: error });
  return undefined;
}

/** A session on a database's server that is not in the database itself: whoever renames one must not be in it. */
import type { Client } from "pg";
import { Refusal, Unavailable } from "../contract/failure";
import { connect } from "./connect";
import { type DatabaseTarget, describeTarget, withDatabase } from "./target";

/** What initdb makes on every server (PostgreSQL manual, "23.3 Template Databases"). */
const everywhere = ["postgres", "template1"];

/**
 * The caller ends it.
 *
 * @throws Refusal when the role may not connect to any other database of the server.
 */
export async function connectOutside(target: DatabaseTarget): Promise<Client> {
  let refusal: unknown;
  for (const database of everywhere.filter((name) => name !== target.database)) {
    try {
      return await connect(withDatabase(target, database));
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof Unavailable)) throw error;
      refusal = error;
    }
  }
  throw new Refusal(
    `role ${target.user} can connect to no other database on the server of ${describeTarget(target)}: a database cannot be renamed from within`,
    { cause: refusal },
  );
}

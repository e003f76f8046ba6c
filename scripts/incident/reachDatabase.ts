/** Whether the live database is there: reachable, gone from a server that answers, or not to be told. */
import { Unavailable, codeOf } from "../contract/failure";
import { withConnection } from "../database/connect";
import { describeIdentity, readIdentity } from "../database/identity";
import { type DatabaseTarget, describeTarget } from "../database/target";
import type { Assessment } from "./assessment";

/** PostgreSQL's `invalid_catalog_name`: the server answers, and has no such database. */
const noSuchDatabase = "3D000";

/** @throws what is no trouble of reaching it, such as a wrong password. */
export async function reachDatabase(live: DatabaseTarget): Promise<Assessment["database"]> {
  try {
    const identity = await withConnection(live, (client) => readIdentity(client, live));
    return { state: "reachable", identity, detail: describeIdentity(identity) };
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    const isGone = codeOf(error.cause) === noSuchDatabase;
    return {
      state: isGone ? "gone" : "unreachable",
      identity: null,
      detail: isGone ? `${describeTarget(live)} does not exist` : error.message,
    };
  }
}

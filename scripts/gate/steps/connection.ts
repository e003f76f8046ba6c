/** Gate step: can the database be reached, read whole and dumped, and is it the one that the store belongs to? */
import { demandIdentity, readRecipients } from "../../backup/ageKeys";
import { demandLockBudget, demandReadable } from "../../backup/source";
import { withConnection } from "../../database/connect";
import { describeIdentity, majorOf, readIdentity } from "../../database/identity";
import { findPostgres } from "../../database/postgresPrograms";
import { listProtectedTables } from "../../database/tables";
import { demandOwnStore } from "../../store/storeIdentity";
import type { GateStep } from "../context";

export const connectionStep: GateStep = {
  name: "connection",
  async run({ target, store }, state) {
    await demandIdentity(await readRecipients(), "the gate reads its encrypted backup back");
    return withConnection(target, async (client) => {
      const identity = await readIdentity(client, target);
      const programs = findPostgres({ atLeast: majorOf(identity.serverVersion), use: "client" });
      const tables = await listProtectedTables(client);
      demandReadable(tables, target.user);
      await demandLockBudget(client);
      if (store !== undefined)
        await demandOwnStore(store, { systemIdentifier: identity.systemIdentifier, name: identity.database });
      state.identity = identity;
      return {
        summary: `${describeIdentity(identity)}, ${tables.length} tables readable as ${target.user}`,
        evidence: [`client programs ${programs.version} in ${programs.binDir}`],
      };
    });
  },
};

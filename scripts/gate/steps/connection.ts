/** Gate step: can the database be reached, read whole and dumped, is it the one that the store belongs to, and is it the same time there? */
import type { Client } from "pg";
import { demandIdentity, readRecipients } from "../../backup/ageKeys";
import { demandLockBudget, demandReadable } from "../../backup/source";
import { demandSameClock } from "../../database/clock";
import { withConnection } from "../../database/connect";
import { describeIdentity, majorOf, readIdentity } from "../../database/identity";
import { findPostgres } from "../../database/postgresPrograms";
import { listProtectedTables } from "../../database/tables";
import { pendingMigrations } from "../../migrations/pending";
import type { OperationSettings } from "../../settings";
import { demandOwnStore } from "../../store/storeIdentity";
import { demandKnownTables } from "../../verification/tablePolicies";
import type { GateStep } from "../context";

export const connectionStep: GateStep = {
  name: "connection",
  async run({ target, store, settings }, state) {
    await demandIdentity(await readRecipients(), "the gate reads its encrypted backup back");
    return withConnection(target, async (client) => {
      await demandSameClock(client);
      const identity = await readIdentity(client, target);
      const programs = findPostgres({ atLeast: majorOf(identity.serverVersion), use: "client" });
      const tables = await listProtectedTables(client);
      demandReadable(tables, target.user);
      demandKnownTables(settings.tables, tables, await tablesToCome(client, settings));
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

/** Names of the settings that a pending migration speaks of: it may be what makes the table. */
async function tablesToCome(client: Client, { tables, migrations }: OperationSettings): Promise<string[]> {
  if (migrations === undefined || Object.keys(tables).length === 0) return [];
  const { pending } = await pendingMigrations(client, migrations);
  return Object.keys(tables).filter((name) => pending.some(({ sql }) => sql.includes(name.split(".").at(-1)!)));
}

/** `db:test-connection`: reaches the database and shows which one it is. */
import type { Command } from "commander";
import { withConnection } from "../database/connect";
import { describeIdentity, readIdentity } from "../database/identity";
import { displayName } from "../database/sqlText";
import { listProtectedTables, unreadableTables } from "../database/tables";
import { targetFromEnvironment } from "../database/target";
import { Refusal } from "../contract/failure";
import { printResult } from "./session";

export function configure(command: Command): void {
  command
    .option("--prod", "use DATABASE_URL_PROD instead of DATABASE_URL")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { prod?: boolean; json?: boolean }) => {
      const target = targetFromEnvironment(options.prod === true ? "DATABASE_URL_PROD" : "DATABASE_URL");
      const started = performance.now();
      const { identity, tables } = await withConnection(target, async (client) => ({
        identity: await readIdentity(client, target),
        tables: await listProtectedTables(client),
      }));
      const milliseconds = Math.round(performance.now() - started);
      const unreadable = unreadableTables(tables).map(displayName);
      if (unreadable.length > 0) {
        throw new Refusal(
          `connected to ${describeIdentity(identity)}, but ${target.user} cannot read every row of ${unreadable.length} table(s)`,
          {
            details: unreadable,
            hint: "give the role the rights of docs/backup-role.sql",
          },
        );
      }
      printResult(
        options.json === true,
        { verdict: "pass", identity, user: target.user, tables: tables.length, milliseconds },
        `connected to ${describeIdentity(identity)} as ${target.user} in ${milliseconds} ms; ${tables.length} tables, all readable`,
      );
    });
}

/** `db:restore`: restores a backup into a new database beside the live one, and proves it equal to the backup. */
import type { Command } from "commander";
import { listSuspects, readManifest, resolveBackup } from "../backup/manifest";
import { withConnection } from "../database/connect";
import { describeIdentity, readIdentity } from "../database/identity";
import { targetFromEnvironment } from "../database/target";
import { besideName, restoreBeside } from "../restore/restoreBeside";
import { findMissingRoles } from "../restore/restoreBackup";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .argument("<backup>", "a backup's name, or latest")
    .option("--database <name>", "name of the new database")
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action(async (wanted: string, options: { database?: string; yes?: boolean; json?: boolean }) => {
      const store = storeFromEnvironment();
      const live = targetFromEnvironment("DATABASE_URL");
      const manifest = await readManifest(store, await resolveBackup(store, wanted));
      const database = options.database ?? besideName(live.database, manifest.name);
      const identity = await withConnection(live, (client) => readIdentity(client, live));
      const suspect = (await listSuspects(store)).has(manifest.name)
        ? "; it is SUSPECT: taken after a release whose verification failed"
        : "";
      const missing = await findMissingRoles(live, manifest.roles);
      const roles =
        missing.length === 0
          ? ""
          : `,\nand creates the roles that its server lacks, without login: ${missing.join(", ")}`;
      await confirm(
        `restores ${manifest.name} of ${describeIdentity(manifest.database)}, taken ${manifest.snapshot.takenAt}${suspect},\n` +
          `into the new database ${database} beside ${describeIdentity(identity)}, which is not touched${roles}`,
        options.yes === true,
      );
      const restored = await restoreBeside({
        store,
        manifest,
        live,
        database,
        signal: interrupted,
        onProgress: progress,
      });
      printResult(
        options.json === true,
        { backup: manifest.name, host: identity.host, port: identity.port, ...restored },
        `restored: ${manifest.name} is database ${database} on ${identity.host}:${identity.port}, ${restored.rows} rows of ${restored.tables} tables equal to the backup`,
      );
    });
}

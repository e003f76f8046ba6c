/** `db:compare-counts`: row counts now against those of the newest receipt's backup, or of a named one. */
import type { Command } from "commander";
import { type Manifest, readManifest, resolveBackup } from "../backup/manifest";
import { exitCode } from "../contract/failure";
import { withConnection } from "../database/connect";
import { readIdentity } from "../database/identity";
import { targetFromEnvironment } from "../database/target";
import { listReceipts, readReceipt } from "../record/receipt";
import { renderTable } from "../report/table";
import { type OperationSettings, readOperationSettings } from "../settings";
import type { Store } from "../store/store";
import { demandOwnStore } from "../store/storeIdentity";
import { compareCounts } from "../verification/countComparison";
import { printResult } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .option("--backup <name>", "compare with this backup; default: that of the newest receipt, else the newest")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { backup?: string; json?: boolean }) => {
      const target = targetFromEnvironment("DATABASE_URL");
      const store = storeFromEnvironment();
      const identity = await withConnection(target, (client) => readIdentity(client, target));
      await demandOwnStore(store, { systemIdentifier: identity.systemIdentifier, name: identity.database });
      const { manifest, tables } = await chooseBasis(store, options.backup);
      const comparison = await compareCounts(target, manifest, tables);
      const failures = comparison.filter(({ failure }) => failure !== null);
      const table = renderTable(comparison, [
        { title: "TABLE", value: (row) => row.table },
        { title: "BEFORE", value: (row) => row.before },
        { title: "NOW", value: (row) => row.now ?? "gone" },
        { title: "DIFFERENCE", value: (row) => (row.now === null ? "" : row.now - row.before) },
        { title: "FINDING", value: (row) => row.failure ?? "" },
      ]);
      const verdict = failures.length === 0 ? "pass" : "fail";
      printResult(
        options.json === true,
        { verdict, backup: manifest.name, coverage: "count", tables: comparison },
        `${table}\n\n${verdict.toUpperCase()} against ${manifest.name} (coverage: count; equal counts do not prove that no row was lost: db:verify:post-deploy does)`,
      );
      process.exitCode = verdict === "pass" ? exitCode.pass : exitCode.refused;
    });
}

async function chooseBasis(
  store: Store,
  backup: string | undefined,
): Promise<{ manifest: Manifest; tables: OperationSettings["tables"] }> {
  const runId = backup === undefined ? (await listReceipts(store)).at(-1) : undefined;
  if (runId === undefined) {
    return {
      manifest: await readManifest(store, await resolveBackup(store, backup ?? "latest")),
      tables: readOperationSettings(undefined).tables,
    };
  }
  const receipt = await readReceipt(store, runId);
  return { manifest: await readManifest(store, receipt.backup), tables: receipt.settings.tables };
}

/** Gate step: the backup that this release can be brought back to. */
import { createBackup } from "../../backup/createBackup";
import type { GateStep } from "../context";
import { startScratch } from "../scratch";
import { withoutStore } from "./withoutStore";

export const backupStep: GateStep = {
  name: "backup",
  async run(context, state) {
    const { store, target, runId, signal, onProgress } = context;
    if (store === undefined) return withoutStore;
    const { reference, manifest } = await createBackup({
      ...{ target, store, tier: "predeploy", runId, signal, onProgress },
      onSource: (source) => {
        if (context.settings.verification.depth === 4) state.scratch = startScratch(context, source);
      },
    });
    state.backup = { ...reference, lsn: manifest.snapshot.lsn, takenAt: manifest.snapshot.takenAt };
    const bytes = manifest.archives.reduce((sum, archive) => sum + archive.bytes, 0);
    const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
    return {
      summary: `${reference.name}: ${rows} rows of ${manifest.tables.length} tables in ${(bytes / 1e6).toFixed(1)} MB`,
      evidence: [
        `snapshot ${manifest.snapshot.id} at ${manifest.snapshot.takenAt}, LSN ${manifest.snapshot.lsn}`,
        ...manifest.tables.map(
          (table) => `${table.schema}.${table.name}: ${table.rows} rows, ${table.coverage} ${table.checksum}`,
        ),
      ],
    };
  },
};

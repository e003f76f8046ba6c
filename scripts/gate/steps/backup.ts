/** Gate step: the backup that this release can be brought back to. */
import { createBackup } from "../../backup/createBackup";
import type { Manifest } from "../../backup/manifest";
import type { Store } from "../../store/store";
import type { GateContext, GateState, GateStep, StepResult } from "../context";
import { type Reusable, type ReusableBackup, findReusableBackup } from "../reusableBackup";
import { startScratch } from "../scratch";
import { withoutStore } from "./withoutStore";

export const backupStep: GateStep = {
  name: "backup",
  async run(context, state) {
    const { store, target, settings, runId, signal, onProgress } = context;
    if (store === undefined) return withoutStore;
    const found = settings.gate.backup === "reuse" ? await reusable(context, store, state) : undefined;
    if (found?.reference !== undefined) return reuse(found, state);
    const { reference, manifest } = await createBackup({
      ...{ target, store, tier: "predeploy", runId, signal, onProgress },
      onSource: (source) => {
        if (settings.verification.depth === 4) state.scratch = startScratch(context, source);
      },
    });
    const { lsn, takenAt } = manifest.snapshot;
    state.backup = { ...reference, lsn, takenAt, rpoSeconds: null };
    const bytes = manifest.archives.reduce((sum, archive) => sum + archive.bytes, 0);
    const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
    return {
      summary: `${reference.name}: ${rows} rows of ${manifest.tables.length} tables in ${(bytes / 1e6).toFixed(1)} MB`,
      evidence: [...(found === undefined ? [] : [`none reused: ${found.why}`]), ...evidenceOf(manifest)],
    };
  },
};

function evidenceOf({ snapshot, tables }: Manifest): string[] {
  return [
    `snapshot ${snapshot.id} at ${snapshot.takenAt}, LSN ${snapshot.lsn}`,
    ...tables.map(
      (table) =>
        `${table.schema}.${table.name}: ${table.rows} rows, ${table.coverage} ${table.checksum ?? "(encrypted)"}`,
    ),
  ];
}

function reusable({ target, settings }: GateContext, store: Store, { identity }: GateState): Promise<Reusable> {
  if (identity === undefined) throw new Error("the backup needs the step connection before it");
  return findReusableBackup({ store, target, settings: settings.gate }, identity);
}

function reuse({ reference, manifest, ageSeconds }: ReusableBackup, state: GateState): StepResult {
  const { lsn, takenAt } = manifest.snapshot;
  const rpoSeconds = Math.max(0, Math.round(ageSeconds));
  state.backup = { ...reference, lsn, takenAt, rpoSeconds };
  return {
    summary: `${reference.name} is reused: it lacks the writes of the last ${rpoSeconds} s before this gate (RPO)`,
    evidence: evidenceOf(manifest),
  };
}

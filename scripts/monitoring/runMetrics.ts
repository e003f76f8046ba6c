/** What a gate, a backup and the verification after a release tell CloudWatch of themselves, wherever they run. */
import { messageOf } from "../contract/failure";
import { type Metric, emitMetrics } from "./emitMetrics";

const count = (name: string, value: number): Metric => ({ name, unit: "Count", value });
const seconds = (name: string, value: number): Metric => ({ name, unit: "Seconds", value });

export function gateMetrics(gate: {
  readonly verdict: "pass" | "halt";
  readonly steps: readonly { readonly seconds: number }[];
}): Metric[] {
  const all = gate.steps.reduce((sum, step) => sum + step.seconds, 0);
  return [count("GatePassed", gate.verdict === "pass" ? 1 : 0), seconds("GateSeconds", all)];
}

/** @param backup undefined: it failed, or did not verify. A figure that was not measured is left out. */
export function backupMetrics(
  backup: { readonly depth: number; readonly bytes: number; readonly restoreSeconds: number | null } | undefined,
): Metric[] {
  if (backup === undefined) return [count("BackupVerified", 0)];
  return [
    count("BackupVerified", backup.depth >= 4 ? 1 : 0),
    { name: "BackupArchiveBytes", unit: "Bytes", value: backup.bytes },
    ...(backup.restoreSeconds === null ? [] : [seconds("BackupRestoreSeconds", backup.restoreSeconds)]),
  ];
}

export function releaseMetrics({ verdict }: { readonly verdict: "pass" | "fail" }): Metric[] {
  return [count("ReleaseVerified", verdict === "pass" ? 1 : 0)];
}

/** Never throws: that a figure could not be told changes nothing of what it is of. */
export async function tellMetrics(
  metrics: readonly Metric[],
  onProgress: (line: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  try {
    await emitMetrics(metrics, new Date(), process.env, undefined, { signal });
  } catch (error) {
    onProgress(`WARNING: metrics were not told: ${messageOf(error)}`);
  }
}

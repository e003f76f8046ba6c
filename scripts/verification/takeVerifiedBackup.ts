/** A backup and its verification in one: the scratch server starts while the backup is still being taken. */
import { type BackupOptions, type FinishedBackup, createBackup } from "../backup/createBackup";
import { type ScratchDatabase, closeScratch, openScratchDatabase } from "../scratch/scratchServer";
import type { Depth, VerificationResult } from "./verificationResult";
import { verifyBackup } from "./verifyBackup";

export interface VerifiedBackup extends FinishedBackup {
  readonly verification: VerificationResult;
}

/** @throws what `createBackup` and `verifyBackup` throw; the scratch server ends in every case. */
export async function takeVerifiedBackup(options: BackupOptions & { readonly depth: Depth }): Promise<VerifiedBackup> {
  const { store, runId, depth, signal } = options;
  let scratch: Promise<ScratchDatabase> | undefined;
  try {
    const finished = await createBackup({
      ...options,
      onSource: (source) => {
        if (depth !== 4) return;
        const lifetime = { kind: "process" } as const;
        scratch = openScratchDatabase(source, { runId, lifetime, ...(signal === undefined ? {} : { signal }) });
        scratch.catch(() => undefined); // told by the verification
      },
    });
    const { result } = await verifyBackup({
      ...{ store, backup: finished.reference, depth, runId },
      ...(scratch === undefined ? {} : { scratch }),
      ...(options.jobs === undefined ? {} : { jobs: options.jobs }),
      ...(signal === undefined ? {} : { signal }),
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    });
    return { ...finished, verification: result };
  } finally {
    const opened = await scratch?.catch(() => undefined);
    if (opened !== undefined) await closeScratch(opened.place);
  }
}

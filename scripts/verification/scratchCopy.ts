/** The restored copy of a backup that a receipt speaks of: the still-living one, or restored again from its backup. */
import { type BackupReference, oldestServer, readManifest } from "../backup/manifest";
import type { DatabaseTarget } from "../database/target";
import { restoreBackup } from "../restore/restoreBackup";
import {
  type ScratchPlace,
  closeScratch,
  isScratchAlive,
  openScratchDatabase,
  scratchTarget,
} from "../scratch/scratchServer";
import type { Store } from "../store/store";

/** A backup, and where a restored copy of it is, if there is one. */
export interface CopiedBackup {
  readonly runId: string;
  readonly backup: BackupReference;
  readonly scratch: ScratchPlace | null;
}

export class ScratchCopy {
  private restored: ScratchPlace | undefined;

  constructor(
    private readonly store: Store,
    private readonly receipt: CopiedBackup,
    private readonly options: { signal?: AbortSignal; onProgress?: (line: string) => void } = {},
  ) {}

  /**
   * A copy that is restored again ends with this process, also when nobody closes it.
   *
   * @throws Damage when the backup can no longer be restored.
   */
  async open(): Promise<DatabaseTarget> {
    if (this.receipt.scratch !== null && (await isScratchAlive(this.receipt.scratch)))
      return scratchTarget(this.receipt.scratch);
    const why = this.receipt.scratch === null ? "no scratch copy is kept" : "the scratch server is gone";
    this.options.onProgress?.(`${why}: restoring ${this.receipt.backup.name} again`);
    const manifest = await readManifest(this.store, this.receipt.backup);
    const scratch = await openScratchDatabase(
      { ...manifest, major: oldestServer(manifest) },
      {
        runId: `${this.receipt.runId}_again_${process.pid}`,
        lifetime: { kind: "process" },
        ...(this.options.signal === undefined ? {} : { signal: this.options.signal }),
      },
    );
    this.restored = scratch.place;
    await restoreBackup({ store: this.store, manifest, target: scratch.target, ...this.options });
    return scratch.target;
  }

  /** Ends a copy that this object restored; the receipt's own lives on. */
  async close(): Promise<void> {
    if (this.restored !== undefined) await closeScratch(this.restored);
  }

  /** Ends the receipt's own copy too: it is spent once the receipt is closed. */
  async spend(): Promise<void> {
    await this.close();
    if (this.receipt.scratch !== null) await closeScratch(this.receipt.scratch);
  }
}

/**
 * A restore under a raised write fence: what is about to become the live database holds the rights of its backup, so the
 * fence is raised and proven in it first. Until it has taken its place nobody else changes the fence.
 */
import { Refusal } from "../contract/failure";
import { isFenced, readMaintenance, takeMaintenanceTurn } from "../control/maintenance";
import { fenceDatabase, proveFence, readFencedRoles } from "../control/writeFence";
import { type DatabaseIdentity, isSameDatabase } from "../database/identity";
import type { StatementSession } from "../database/writeGrants";
import type { Store } from "../store/store";

export interface KeptFence {
  /**
   * Raises the fence in the session's transaction, which the caller commits.
   *
   * @throws Refusal when a role could write there all the same.
   */
  raiseIn(session: StatementSession): Promise<void>;
  /** When the restored database has taken its place, or will not. */
  end(): Promise<void>;
}

/** Whether a fence of the live database is recorded. */
export async function isFenceRecorded(options: {
  readonly store: Store;
  readonly identity: DatabaseIdentity;
}): Promise<boolean> {
  const record = await readMaintenance(options.store);
  return isFenced(record) && isSameDatabase(record.database, options.identity);
}

/** @returns undefined where no fence of the live database is recorded. @throws Unavailable when another run changes it. */
export async function keepFence(options: {
  readonly store: Store;
  /** Of the live database. */
  readonly identity: DatabaseIdentity;
  readonly runId: string;
  readonly onProgress?: (line: string) => void;
}): Promise<KeptFence | undefined> {
  const { store, runId, onProgress } = options;
  if (!(await isFenceRecorded(options))) return undefined;
  const turn = await takeMaintenanceTurn(store, runId, (current) => {
    if (!isFenced(current)) throw new Refusal("the write fence was lifted meanwhile: nothing was changed");
    return current;
  });
  const unheldBySession: string[] = [];
  return {
    raiseIn: async (session) => {
      const fenced = await readFencedRoles(session, turn.before.roles);
      const { revoked, unheld } = await fenceDatabase(session, fenced, turn);
      const proof = await proveFence(session, fenced, revoked, unheld);
      if (proof.findings.length > 0)
        throw new Refusal("the write fence does not hold in the restored database: nothing was changed", {
          details: proof.findings.slice(0, 20),
        });
      unheldBySession.push(...unheld);
      onProgress?.(
        `write fence: ${revoked.length} right(s) taken away in what was restored, ${proof.refused} write(s) tried, all refused`,
      );
    },
    end: () => turn.end({ unheld: [...new Set([...turn.before.unheld, ...unheldBySession])] }),
  };
}

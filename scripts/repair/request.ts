/** What somebody asks a repair for: of which release, and which columns. */
import { readManifest, resolveBackup } from "../backup/manifest";
import { readFreezes } from "../control/freeze";
import { UsageError } from "../contract/failure";
import type { TrustedReceipt } from "../record/receipt";
import { chooseReceipt } from "../release/postDeploy";
import type { OperationSettings } from "../settings";
import type { Store } from "../store/store";
import type { RepairBasis } from "./repair";

/**
 * The receipt that was asked for, else the one whose failed verification froze releases, else the newest open one.
 *
 * @throws UsageError when several freezes name several receipts, or the store holds none.
 */
export async function chooseLossReceipt(store: Store, runId: string | undefined): Promise<TrustedReceipt> {
  if (runId !== undefined) return chooseReceipt({ store, runId });
  const frozen = (await readFreezes(store)).flatMap((freeze) => freeze.runId ?? []);
  if (frozen.length > 1)
    throw new UsageError(`releases are frozen by ${frozen.length} receipts: expected --receipt ${frozen.join(" or ")}`);
  return chooseReceipt({ store, ...(frozen[0] === undefined ? {} : { runId: frozen[0] }) });
}

/** A backup instead of a receipt: what is lost since it was taken, whatever lost it. @throws UsageError for no backup's name. */
export async function basisOfBackup(
  store: Store,
  name: string,
  settings: OperationSettings,
): Promise<{ receipt: RepairBasis; receiptSha256: null }> {
  const reference = await resolveBackup(store, name);
  const { database } = await readManifest(store, reference);
  const backup = { ...reference, depth: 0, restoreSeconds: null, rpoSeconds: null };
  const receipt = {
    runId: name,
    releaseVersion: "",
    stack: "",
    database,
    backup,
    scratch: null,
    settings,
    migrations: [],
  };
  return { receipt, receiptSha256: null };
}

/**
 * `public.clients:email,phone`: names as they are, without quotes. A table may be named several times.
 *
 * @throws UsageError for anything else.
 */
export function parseColumns(texts: readonly string[]): Record<string, string[]> {
  const columns: Record<string, string[]> = {};
  for (const text of texts) {
    const split = text.lastIndexOf(":");
    const table = text.slice(0, Math.max(split, 0));
    const names = text
      .slice(split + 1)
      .split(",")
      .filter((name) => name !== "");
    if (!table.includes(".") || names.length === 0)
      throw new UsageError(`--columns: found ${text}: expected <schema>.<table>:<column>,<column>`);
    columns[table] = [...(columns[table] ?? []), ...names];
  }
  return columns;
}

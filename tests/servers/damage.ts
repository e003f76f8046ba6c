/** A CRM with a verified backup, and the ways in which tests damage it. */
import type { Client } from "pg";
import type { BackupReference } from "../../scripts/backup/manifest";
import { type DatabaseTarget, targetFromEnvironment } from "../../scripts/database/target";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import type { Depth } from "../../scripts/verification/verificationResult";
import { takeVerifiedBackup } from "../../scripts/verification/takeVerifiedBackup";
import { freshCrm, freshStore } from "./crm";

export interface ProtectedCrm {
  readonly url: string;
  readonly client: Client;
  readonly live: DatabaseTarget;
  readonly store: Store;
  readonly address: string;
  /** The name of the first backup. */
  readonly backup: string;
  /** Takes another one, in a later second than the one before: names tell seconds. */
  back(depth: Depth): Promise<BackupReference>;
}

/** @param clients as `freshCrm`; default 200: 600 tasks, 1,000 messages. */
export async function protectedCrm(depth: Depth = 4, clients = 200): Promise<ProtectedCrm> {
  const { url, client } = await freshCrm(clients);
  const address = freshStore();
  const store = openStore(address);
  const live = targetFromEnvironment("DATABASE_URL", { DATABASE_URL: url });
  let taken = 0;
  const back = async (to: Depth): Promise<BackupReference> => {
    const runId = `20260101T00000${++taken}Z-test`;
    return (await takeVerifiedBackup({ store, target: live, tier: "manual", depth: to, runId })).reference;
  };
  const { name } = await back(depth);
  return { url, client, live, store, address, backup: name, back };
}

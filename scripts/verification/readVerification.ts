/** The verifications that a backup passed, as they were recorded. */
import { Damage } from "../contract/failure";
import { readDocument } from "../store/documents";
import { parseVerificationKey, verificationsPrefix } from "../store/layout";
import type { Store } from "../store/store";
import { type Depth, type VerificationResult, verificationResultSchema } from "./verificationResult";

/** The newest one of that depth or a greater one. @throws Damage when there is none that can be read. */
export async function readVerification(store: Store, backup: string, depth: Depth): Promise<VerificationResult> {
  const keys = (await store.list(`${verificationsPrefix}${backup}/`)).map(({ key }) => key);
  const newest = keys.findLast((key) => (parseVerificationKey(key)?.depth ?? 0) >= depth);
  const found = newest === undefined ? undefined : await readDocument(store, newest, verificationResultSchema);
  if (found === undefined) throw new Damage(`${store.url}: the verification of ${backup} at depth ${depth} is gone`);
  return found;
}

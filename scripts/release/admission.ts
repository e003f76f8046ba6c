/**
 * What lets a release step run: the lease names a receipt, the receipt is the one that the gate wrote, it is
 * for this version and this database, and nothing is frozen. Checked again by every step.
 */
import { readFreeze } from "../control/freeze";
import { currentReceipt, readLease } from "../control/lease";
import { Refusal, UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import { describeIdentity, isSameDatabase, readIdentity } from "../database/identity";
import type { DatabaseTarget } from "../database/target";
import { type TrustedReceipt, readReceipt } from "../record/receipt";
import type { Store } from "../store/store";

/** Who asks to release what. */
export interface ReleaseRequest {
  readonly releaseVersion: string;
  /** `project/stack`, or who releases by hand. */
  readonly stack: string;
}

/**
 * @throws Refusal when there is no valid receipt for this version and stack, or releases are frozen.
 * @throws Damage when the receipt is not the one that the gate wrote.
 */
export async function demandReceipt(
  store: Store,
  target: DatabaseTarget,
  { releaseVersion, stack }: ReleaseRequest,
): Promise<TrustedReceipt> {
  const freeze = await readFreeze(store);
  if (freeze?.state === "active") {
    throw new Refusal(`releases are frozen since ${freeze.at}: ${freeze.reason}`, {
      hint: "see: npm run deploy:unfreeze -- --help",
    });
  }
  const named = await demandNamed(store);
  const receipt = await readReceipt(store, named.runId, named.sha256);
  if (receipt.releaseVersion !== releaseVersion) {
    throw new Refusal(
      `the receipt ${receipt.runId} is for version ${JSON.stringify(receipt.releaseVersion)}, not ${JSON.stringify(releaseVersion)}`,
      { hint: "run the gate for this version" },
    );
  }
  if (receipt.stack !== stack) {
    throw new Refusal(`the receipt ${receipt.runId} is of ${receipt.stack}, not of ${stack}`, {
      hint: "run the gate for this stack",
    });
  }
  const identity = await withConnection(target, (client) => readIdentity(client, target));
  if (!isSameDatabase(identity, receipt.database)) {
    throw new Refusal(
      `${target.source}: found ${describeIdentity(identity)}: the receipt ${receipt.runId} guards ${describeIdentity(receipt.database)}`,
    );
  }
  return { receipt, receiptSha256: named.sha256 };
}

/**
 * The release that the lease admits, for who applies a step of it by hand.
 *
 * @throws Refusal when no gate has passed.
 */
export async function admittedRelease(store: Store): Promise<ReleaseRequest> {
  const { runId, sha256 } = await demandNamed(store);
  const { releaseVersion, stack } = await readReceipt(store, runId, sha256);
  return { releaseVersion, stack };
}

async function demandNamed(store: Store): Promise<{ readonly runId: string; readonly sha256: string }> {
  const named = currentReceipt(await readLease(store));
  if (named !== undefined) return named;
  throw new Refusal("no gate has passed: the lease names no receipt, or it has expired", {
    hint: "run the gate first: npm run gate (pulumi up does)",
  });
}

/** @throws UsageError when `DBPROTECT_RELEASE_VERSION` is not set. */
export function releaseVersionFromEnvironment(env: NodeJS.ProcessEnv = process.env): string {
  const version = env["DBPROTECT_RELEASE_VERSION"];
  if (version !== undefined && version !== "") return version;
  throw new UsageError("DBPROTECT_RELEASE_VERSION is not set: expected the version to release, such as a git SHA");
}

/**
 * Gate step: what an earlier run released and nobody verified yet is compared with the live database now,
 * before a new fingerprint could make the loss look normal.
 */
import { Refusal } from "../../contract/failure";
import { readTrustedReceipt } from "../../record/receipt";
import { listOpenReceipts } from "../../record/releaseEvents";
import { summarize, verifyReceipt } from "../../verification/verifyReceipt";
import type { GateStep } from "../context";
import { withoutStore } from "./withoutStore";

/** At preview: only looks. */
export const openReceiptsLook: GateStep = {
  name: "open-receipts",
  async run({ store }) {
    if (store === undefined) return withoutStore;
    const open = await listOpenReceipts(store);
    if (open.length === 0) return { summary: "no open receipt" };
    return {
      summary: `${open.length} open receipt(s), verified by the next full gate: ${open.join(", ")}`,
      evidence: open,
    };
  },
};

export const openReceiptsStep: GateStep = {
  name: "open-receipts",
  async run({ store, target, signal, onProgress }) {
    if (store === undefined) return withoutStore;
    const evidence: string[] = [];
    for (const runId of await listOpenReceipts(store)) {
      const trusted = await readTrustedReceipt(store, runId);
      const verification = await verifyReceipt({ store, ...trusted, live: target, signal, onProgress });
      if (verification.comparison.verdict === "fail") {
        throw new Refusal(`the release of receipt ${runId} lost data: ${verification.findings[0] ?? ""}`, {
          hint: "releases are frozen now: repair the rows, then run npm run deploy:unfreeze",
          details: verification.findings,
        });
      }
      evidence.push(`${runId}: ${summarize(verification.comparison)}`);
    }
    return {
      summary: evidence.length === 0 ? "no open receipt" : `${evidence.length} open receipt(s) verified and closed`,
      evidence,
    };
  },
};

/** Gate step: accepts the environment as it is and writes the receipt that releases must show. */
import { readManifest } from "../../backup/manifest";
import { withoutCredentials } from "../../contract/redaction";
import { demandSameClock } from "../../database/clock";
import { withConnection } from "../../database/connect";
import { acceptEnvironment } from "../../environment/acceptEnvironment";
import { writeReceipt } from "../../record/receipt";
import { describeRto, overTarget, readExpectedRto } from "../../verification/expectedRto";
import type { GateStep } from "../context";
import { overriddenVariables } from "../overrides";
import { withoutStore } from "./withoutStore";

export const receiptStep: GateStep = {
  name: "receipt",
  async run({ target, store, settings, runId, releaseVersion, stack, addresses }, state) {
    if (store === undefined) return withoutStore;
    const { identity, backup, verification, scratch, usedOverrides } = state;
    if (identity === undefined || backup === undefined || verification === undefined) {
      throw new Error("the receipt needs the steps connection, backup and verification before it");
    }
    // It may have been set since: the lease that is passed now would end by another clock than that of the release.
    await withConnection(target, demandSameClock);
    const { name: snapshot } = await acceptEnvironment({
      store,
      settings: settings.environment,
      runId,
      overridden: overriddenVariables(usedOverrides),
    });
    const { databaseBytes } = await readManifest(store, backup);
    const expectedRto = await readExpectedRto(store, databaseBytes);
    const over = expectedRto === undefined ? undefined : overTarget(expectedRto, settings.rtoMinutes);
    const warnings = [...store.warnings, ...(over === undefined ? [] : [over])];
    state.receiptSha256 = await writeReceipt(store, {
      schemaVersion: 1,
      runId,
      releaseVersion,
      stack,
      database: identity,
      backup: {
        tier: backup.tier,
        name: backup.name,
        depth: verification.depth,
        restoreSeconds: verification.restoreSeconds,
        rpoSeconds: backup.rpoSeconds,
      },
      expectedRto: expectedRto ?? null,
      scratch: (await scratch)?.place ?? null,
      migrations: state.migrations ?? [],
      trial: state.trial ?? null,
      restorePoint: state.restorePoint ?? null,
      recoveryPoint: { lsn: backup.lsn, utc: backup.takenAt },
      rollback: state.rollback ?? { railway: null, vercel: null },
      baseline: [...(state.baseline ?? [])],
      steps: state.reports,
      warnings,
      overrides: usedOverrides,
      settings,
      // A verification that has credentials of its own takes the addresses from its environment.
      addresses: { appUrl: bare(addresses.appUrl), frontendUrl: bare(addresses.frontendUrl) },
      at: new Date().toISOString(),
    });
    return {
      summary: `receipt ${runId}${warnings.length === 0 ? "" : ", with warnings"}`,
      evidence: [
        `SHA-256 ${state.receiptSha256}`,
        `environment ${snapshot}`,
        ...(expectedRto === undefined ? [] : [`expected RTO: ${describeRto(expectedRto, databaseBytes)}`]),
        ...warnings.map((line) => `WARNING ${line}`),
      ],
    };
  },
};

function bare(address: string | undefined): string | null {
  return address === undefined ? null : withoutCredentials(address);
}

/** Receipts as a gate leaves them, for tests of what comes after it. */
import type { z } from "zod";
import { type Receipt, receiptSchema } from "../../scripts/record/receipt";

/** @param facts what the test is about; everything else is of a release without anything special. */
export function receiptOf(facts: Partial<z.input<typeof receiptSchema>> & Pick<Receipt, "runId">): Receipt {
  return receiptSchema.parse({
    schemaVersion: 1,
    releaseVersion: "v1",
    stack: "crm/test",
    database: { host: "h", port: 5432, database: "crm", systemIdentifier: "1", serverVersion: 170_000 },
    backup: { tier: "predeploy", name: "backup_20260101_000000", depth: 4, restoreSeconds: 1, rpoSeconds: null },
    expectedRto: null,
    scratch: null,
    migrations: [],
    trial: null,
    restorePoint: null,
    rollback: { railway: null, vercel: null },
    recoveryPoint: { lsn: "0/0", utc: "2026-01-01T00:00:00Z" },
    steps: [],
    warnings: [],
    overrides: [],
    settings: {},
    addresses: { appUrl: null, frontendUrl: null },
    at: "2026-01-01T00:00:00Z",
    ...facts,
  });
}

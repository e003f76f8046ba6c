/** Gate step: the pending migrations, judged by PostgreSQL's own parser before anything runs them. */
import { withConnection } from "../../database/connect";
import { findingId, liveCatalog, summarizeFinding } from "../../migrations/judge";
import { pendingMigrations } from "../../migrations/pending";
import { judgeTwice } from "../../migrations/secondOpinion";
import type { GateStep } from "../context";

export const migrationsStep: GateStep = {
  name: "migrations",
  async run({ settings, target }, state) {
    const configured = settings.migrations;
    if (configured === undefined) return { summary: "no migrations configured" };
    return withConnection(target, async (client) => {
      const { pending, outOfOrder, unknownApplied } = await pendingMigrations(client, configured);
      const judgement = await judgeTwice(pending, await liveCatalog(client));
      state.migrations = pending.map(({ file, sha256 }) => {
        const own = judgement.findings.filter((finding) => finding.file === file);
        return { file, sha256, findings: own.map(({ rule, reason }) => ({ rule, reason })) };
      });
      const bare = configured.rollbackScript === "ignore" ? [] : pending.filter((one) => one.hasRollback === false);
      const halts = configured.rollbackScript === "halt";
      const refused = judgement.findings.filter(({ severity }) => severity === "refuse");
      return {
        summary:
          refused.length === 0
            ? `${pending.length} pending migration(s), nothing destructive`
            : `${refused.length} destructive statement(s) in ${pending.length} pending migration(s)`,
        evidence: [
          ...pending.map(({ file }) => `pending: ${file}`),
          ...(halts ? [] : bare.map(({ file }) => `WARNING: ${withoutRollback(file)}`)),
          ...outOfOrder.map(({ file }) => `out of order: ${file} is older than the newest applied one`),
          ...unknownApplied.map((version) => `applied but without a file: ${version}`),
        ],
        findings: [
          ...refused.map((finding) => ({ id: findingId(finding), message: summarizeFinding(finding) })),
          ...(halts ? bare.map(({ file }) => ({ id: `${file}:no-rollback`, message: withoutRollback(file) })) : []),
        ],
        hint: "make the migration additive (expand, release, contract later)",
      };
    });
  },
};

function withoutRollback(file: string): string {
  return `${file}: the script that takes it back is missing`;
}

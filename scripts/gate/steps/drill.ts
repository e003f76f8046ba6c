/** Gate step: when a restore was last drilled, and how long it took; past a limit it warns or halts. */
import { type Drill, readLastDrill } from "../../record/drillRecords";
import { describeSeconds } from "../../verification/expectedRto";
import type { GateFinding, GateStep } from "../context";
import { withoutStore } from "./withoutStore";

export const drillStep: GateStep = {
  name: "drill",
  async run({ store, settings }) {
    const { maxAgeDays, onOverdue } = settings.drill;
    if (onOverdue === "ignore") return { summary: "none is asked for (drill.onOverdue)" };
    if (store === undefined) return withoutStore;
    const last = await readLastDrill(store);
    const finding = judge(last, maxAgeDays, new Date());
    const summary = last === undefined ? "no restore was ever drilled" : describe(last, new Date());
    if (finding === undefined) return { summary };
    return onOverdue === "warn"
      ? { summary: `WARNING: ${finding.message}`, evidence: [summary] }
      : { summary, findings: [finding], hint: "run: npm run db:drill" };
  },
};

/** Pure. Undefined: the newest one passed, and not too long ago. */
function judge(last: Drill | undefined, maxAgeDays: number, now: Date): GateFinding | undefined {
  if (last === undefined) return { id: "overdue", message: "no restore was ever drilled" };
  if (last.verdict === "failed") {
    const problem = last.locations.find(({ verdict }) => verdict === "failed")?.problem ?? "";
    return { id: "failed", message: `the last restore drill, of ${last.at}, failed: ${problem}` };
  }
  if (ageInDays(last, now) <= maxAgeDays) return undefined;
  return {
    id: "overdue",
    message: `the last restore drill was ${Math.floor(ageInDays(last, now))} days ago, allowed are ${maxAgeDays} (drill.maxAgeDays)`,
  };
}

function describe(last: Drill, now: Date): string {
  const slowest = Math.max(...last.locations.map(({ rtoSeconds }) => rtoSeconds ?? 0));
  const rto = slowest > 0 ? `, RTO ${describeSeconds(slowest)}` : "";
  return `last drill ${Math.floor(ageInDays(last, now))} days ago from ${last.locations.length} location(s): ${last.verdict}${rto}`;
}

function ageInDays({ at }: Drill, now: Date): number {
  return (now.getTime() - Date.parse(at)) / 86_400_000;
}

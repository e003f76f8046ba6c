/** Makes a failing plan smaller: takes one thing away at a time, and keeps what still fails. */
import type { RunResult } from "./drive";
import type { Plan } from "./plan";

/** Smaller plans, the smallest first. */
function smaller(plan: Plan): Plan[] {
  const without = plan.faults.map((fault) => ({ ...plan, faults: plan.faults.filter((other) => other !== fault) }));
  const changes: Partial<Plan>[] = [
    { migration: "none", steps: plan.steps.filter((step) => step !== "migrations") },
    { damage: "none" },
    { steps: plan.steps.filter((step) => step !== "vercel") },
    { oddSchema: false },
    { brokenHealth: false },
    { environment: false },
    { writers: 0 },
    { scratch: "kept server" },
    { orders: 50 },
  ];
  const simpler = changes.map((change) => ({ ...plan, ...change }));
  return [...without, ...simpler].filter((other) => JSON.stringify(other) !== JSON.stringify(plan));
}

/**
 * @param run plays a plan.
 * @param mostRuns how many runs it may take, besides the first.
 * @returns the run of the smallest plan found that still violates something; the first one again where none does.
 */
export async function minimise(
  plan: Plan,
  run: (plan: Plan) => Promise<RunResult>,
  mostRuns: number,
): Promise<RunResult> {
  let left = mostRuns;
  let best = await run(plan);
  for (let found = best.violations.length > 0; found;) {
    found = false;
    for (const candidate of smaller(best.plan)) {
      if (left-- <= 0) return best;
      const result = await run(candidate);
      if (result.violations.length === 0) continue;
      [best, found] = [result, true];
      break;
    }
  }
  return best;
}

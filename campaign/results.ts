/** What is said and kept of runs: a line each, a table over all of them, a folder for each that failed. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RunResult } from "./drive";
import { faultKinds } from "./plan";

export function describe({ plan, violations, faults, runs, attempts, committed, seconds }: RunResult): string {
  const happened = faults.map(
    ({ planned, struck }) => `${planned.fault.kind} during ${planned.during}${struck ? "" : " (missed)"}`,
  );
  const told = [
    `${plan.store}, ${plan.scratch}`,
    ...(plan.migration === "none" ? [] : [`migration: ${plan.migration}`]),
    ...(plan.damage === "none" ? [] : [`the release ${plan.damage}, ${plan.remedy}`]),
    ...(plan.brokenHealth ? ["answers 500"] : []),
    ...happened,
  ];
  const verdict = violations.length === 0 ? "ok    " : "FAILED";
  return `seed ${plan.seed} ${verdict} ${seconds.toFixed(1)} s, ${attempts} attempt(s), ${runs.length} commands, ${committed} commits: ${told.join("; ")}`;
}

/** A line of results.ndjson. */
export function recordOf({ plan, violations, faults, runs, attempts, committed, seconds }: RunResult): object {
  return {
    ...{
      seed: plan.seed,
      violations,
      attempts,
      commands: runs.length,
      committed,
      seconds: Math.round(seconds * 10) / 10,
    },
    ...{ store: plan.store, migration: plan.migration, damage: plan.damage, remedy: plan.remedy },
    faults: faults.map(({ planned, struck }) => ({ kind: planned.fault.kind, during: planned.during, struck })),
    ...{ at: new Date().toISOString() },
  };
}

/** Plan, violations and every output of a run. @returns the folder. */
export function keepFailure(out: string, result: RunResult, name?: string): string {
  const folder = join(out, `seed-${result.plan.seed}`, ...(name === undefined ? [] : [name]));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "plan.json"), `${JSON.stringify(result.plan, null, 2)}\n`);
  writeFileSync(join(folder, "violations.txt"), `${result.violations.join("\n")}\n`);
  result.runs.forEach(({ words, code, seconds, env, stdout, stderr }, place) => {
    const file = `${String(place + 1).padStart(2, "0")}-${words.slice(0, 2).join("-").replaceAll(/\W+/g, "-")}.txt`;
    const { DATABASE_URL: _, ...shown } = env;
    writeFileSync(
      join(folder, file),
      [
        `${words.join(" ")}: exit ${code} after ${seconds.toFixed(1)} s, with ${JSON.stringify(shown)}`,
        stdout,
        stderr,
      ].join("\n\n"),
    );
  });
  return folder;
}

/** Counts over all runs. */
export class Tally {
  private runs = 0;
  failed = 0;
  private commands = 0;
  private commits = 0;
  private damages = 0;
  private readonly planned = new Map<string, { planned: number; struck: number }>();

  add({ plan, violations, faults, runs, committed }: RunResult): void {
    this.runs += 1;
    if (violations.length > 0) this.failed += 1;
    this.commands += runs.length;
    this.commits += committed;
    if (plan.damage !== "none") this.damages += 1;
    for (const { planned, struck } of faults) {
      const count = this.planned.get(planned.fault.kind) ?? { planned: 0, struck: 0 };
      this.planned.set(planned.fault.kind, { planned: count.planned + 1, struck: count.struck + (struck ? 1 : 0) });
    }
  }

  render(): string {
    const kinds = faultKinds.flatMap((kind) => {
      const count = this.planned.get(kind);
      return count === undefined ? [] : [`  ${kind.padEnd(14)} ${count.planned} begun, ${count.struck} struck`];
    });
    const total = `${this.runs} runs, ${this.failed} with violations; ${this.commands} commands, ${this.commits} acknowledged commits, ${this.damages} harmful releases`;
    return [total, ...kinds].join("\n");
  }
}

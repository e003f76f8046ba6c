/** Gate step: when a restore was last drilled, and how long it took; past a limit it warns or halts. */
import { type LastDrill, lastOfEach, readDrillsOf } from "../../record/drillRecords";
import { storesOf } from "../../store/replicatedStore";
import { describeSeconds } from "../../verification/expectedRto";
import type { GateFinding, GateStep } from "../context";
import { withoutStore } from "./withoutStore";

const day = 86_400_000;

export const drillStep: GateStep = {
  name: "drill",
  async run({ store, settings }) {
    const { maxAgeDays, onOverdue } = settings.drill;
    if (onOverdue === "ignore") return { summary: "none is asked for (drill.onOverdue)" };
    if (store === undefined) return withoutStore;
    const now = new Date();
    const locations = storesOf(store).map(({ url }) => url);
    const drilled = judged(lastOfEach(await readDrillsOf(storesOf(store))), locations, maxAgeDays, now);
    const findings = findingsOf(drilled, maxAgeDays, now);
    const summary = describe(drilled, now);
    if (findings.length === 0) return { summary };
    return onOverdue === "warn"
      ? { summary: `WARNING: ${findings.map(({ message }) => message).join("; ")}`, evidence: [summary] }
      : { summary, findings, hint: "run: npm run db:drill" };
  },
};

/** A location, and its last drill; undefined: there was none. */
type Judged = ReadonlyMap<string, LastDrill | undefined>;

/**
 * Pure. The gate's own locations; and others of which it knows only what was drilled, such as that of a second region,
 * while their drill is young. A single location that was drilled under other addresses only is taken for each of those.
 */
function judged(drills: readonly LastDrill[], locations: readonly string[], maxAgeDays: number, now: Date): Judged {
  const own = new Map(locations.map((url) => [url, drills.find(({ store }) => store === url)]));
  const others = drills.filter(({ store }) => !own.has(store));
  const single = [...own.values()].every((drill) => drill === undefined) && own.size === 1 && others.length > 0;
  const young = others.filter((drill) => ageInDays(drill, now) <= maxAgeDays);
  const counting = single && young.length === 0 ? others.slice(-1) : young;
  return new Map([...(single ? [] : own), ...counting.map((drill): [string, LastDrill] => [drill.store, drill])]);
}

/** Pure. Empty: the last one of each passed, and not too long ago. */
function findingsOf(drilled: Judged, maxAgeDays: number, now: Date): GateFinding[] {
  return [...drilled].flatMap(([store, last]): GateFinding[] => {
    const where = drilled.size === 1 ? "" : ` of ${store}`;
    if (last === undefined) return [{ id: "overdue", message: `no restore${where} was ever drilled` }];
    if (last.verdict === "failed")
      return [
        { id: "failed", message: `the last restore drill${where}, of ${last.at}, failed: ${last.problem ?? ""}` },
      ];
    const age = ageInDays(last, now);
    if (age <= maxAgeDays) return [];
    const message = `the last restore drill${where} was ${Math.floor(age)} days ago, allowed are ${maxAgeDays} (drill.maxAgeDays)`;
    return [{ id: "overdue", message }];
  });
}

function describe(drilled: Judged, now: Date): string {
  const last = [...drilled.values()].filter((drill) => drill !== undefined);
  if (last.length === 0) return "no restore was ever drilled";
  const oldest = Math.max(...last.map((drill) => ageInDays(drill, now)));
  const slowest = Math.max(...last.map(({ rtoSeconds }) => rtoSeconds ?? 0));
  const rto = slowest > 0 ? `, RTO ${describeSeconds(slowest)}` : "";
  const verdict = last.every((drill) => drill.verdict === "passed") ? "passed" : "failed";
  return `last drill ${Math.floor(oldest)} days ago from ${last.length} location(s): ${verdict}${rto}`;
}

function ageInDays({ at }: LastDrill, now: Date): number {
  return (now.getTime() - Date.parse(at)) / day;
}

/** What a drill tells CloudWatch: whether it passed, and the figures of the location that was worst. */
import type { Metric } from "../monitoring/emitMetrics";
import type { Drill, DrilledLocation } from "../record/drillRecords";

/** A figure that no location reached is left out: a zero would look like an excellent one. */
export function metricsOf({ verdict, locations }: Drill): Metric[] {
  const worst = (name: string, figure: (location: DrilledLocation) => number | null): Metric[] => {
    const values = locations.map(figure).filter((value) => value !== null);
    return values.length === 0 ? [] : [{ name, unit: "Seconds", value: Math.max(...values) }];
  };
  return [
    { name: "DrillPassed", unit: "Count", value: verdict === "passed" ? 1 : 0 },
    {
      name: "DrillLocationsFailed",
      unit: "Count",
      value: locations.filter((each) => each.verdict === "failed").length,
    },
    ...worst("DrillRto", ({ rtoSeconds }) => rtoSeconds),
    ...worst("DrillRpo", ({ rpoSeconds }) => rpoSeconds),
  ];
}

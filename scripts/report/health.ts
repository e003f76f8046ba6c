/** The signals of `db:health` as text for a person: group by group, and what to do about those that are bad. */
import type { Health, HealthSignal } from "../monitoring/health";
import { signalDefinitions, signalGroups } from "../thresholds";
import { renderTable } from "./table";

const headings = {
  verdict: "Verdict",
  golden: "Traffic, errors, latency",
  saturation: "Saturation",
  replica: "Live replica",
  backup: "Backups",
} as const satisfies Readonly<Record<(typeof signalGroups)[number], string>>;

export function renderHealth({ verdict, database, store, signals }: Health): string {
  const bad = signals.filter(({ state }) => state === "critical" || state === "warn");
  return [
    `${database}${store === null ? "" : `, ${store}`}`,
    ...signalGroups.map((group) => {
      const table = renderTable(
        signals.filter((signal) => signal.group === group),
        [
          { title: headings[group], value: ({ title }) => title },
          { title: "STATE", value: ({ state }) => (state === "ok" || state === "shown" ? state : state.toUpperCase()) },
          { title: "VALUE", value: valueOf },
          { title: "WARN", value: ({ warn, unit }) => (warn === null ? "-" : withUnit(warn, unit)) },
          { title: "CRITICAL", value: ({ critical, unit }) => (critical === null ? "-" : withUnit(critical, unit)) },
          { title: "", value: ({ detail }) => detail ?? "" },
        ],
      );
      return `\n${table}`;
    }),
    "",
    ...bad.map(
      ({ signal, state, title }) => `${state.toUpperCase()} ${title}: ${signalDefinitions[signal].advice ?? ""}`,
    ),
    verdict.toUpperCase(),
  ].join("\n");
}

function valueOf({ value, unit }: HealthSignal): string {
  return value === null ? "-" : withUnit(value, unit);
}

function withUnit(value: number, unit: string): string {
  const number = value.toLocaleString("en-US", { maximumFractionDigits: 1 });
  if (unit === "") return number;
  return unit === "%" ? `${number} %` : `${number} ${unit}`;
}

/** How backup and restore grow: what `npm run bench:growth` measured, and its tables and charts in docs/benchmarks.md. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { drawLineCharts } from "./lineCharts";
import { describeMachine, machineSchema } from "./machine";
import { markdownTable } from "./markdown";

export const growthFile = join(__dirname, "growth.json");

const costSchema = z.object({
  seconds: z.number(),
  /** Of the command and what it started, not of the servers. */
  cpuSeconds: z.number(),
  peakMegabytes: z.number(),
  /** To the S3 server. */
  requests: z.int(),
});
export type Cost = z.infer<typeof costSchema>;

/** What one database took, there and back. */
const grownSchema = z.object({
  /** Megabytes of heap, or tables. */
  size: z.int(),
  /** Day of the measurement. */
  on: z.iso.date(),
  backup: costSchema,
  restore: costSchema,
});
export type Grown = z.infer<typeof grownSchema>;

const growthSchema = z.object({
  schemaVersion: z.literal(1),
  machine: machineSchema,
  postgres: z.string(),
  node: z.string(),
  /** By megabytes of heap, ascending. */
  bySize: z.array(grownSchema),
  /** By the number of tables, ascending. */
  byTables: z.array(grownSchema),
});
export type Growth = z.infer<typeof growthSchema>;

/** @throws when the file is of another form: measure anew. */
export function readGrowth(): Growth | undefined {
  return existsSync(growthFile) ? growthSchema.parse(JSON.parse(readFileSync(growthFile, "utf8"))) : undefined;
}

/**
 * What is known after a measurement: it replaces former ones of the same size, and all of them where machine, PostgreSQL
 * or Node.js was another, for their figures do not belong beside each other.
 */
export function withMeasured(former: Growth | undefined, measured: Growth): Growth {
  const conditions = ({ machine, postgres, node }: Growth): string => JSON.stringify([machine, postgres, node]);
  if (former === undefined || conditions(former) !== conditions(measured)) return measured;
  const merged = (before: readonly Grown[], now: readonly Grown[]): Grown[] =>
    [...before.filter((each) => now.every(({ size }) => size !== each.size)), ...now].sort((a, b) => a.size - b.size);
  return {
    ...measured,
    bySize: merged(former.bySize, measured.bySize),
    byTables: merged(former.byTables, measured.byTables),
  };
}

const charts = {
  "by size": { axis: "MB of heap", file: "images/growth-by-size.svg" },
  "by tables": { axis: "tables", file: "images/growth-by-tables.svg" },
} as const;
type How = keyof typeof charts;

function grownOf({ bySize, byTables }: Growth, how: How): readonly Grown[] {
  return how === "by size" ? bySize : byTables;
}

/** By the name of its part of the page. */
export function growthParts(growth = demandGrowth()): Map<string, () => string> {
  return new Map([
    ["growth measured", () => conditionsOf(growth)],
    ...(["by size", "by tables"] as const).map(
      (how) => [`growth ${how}`, () => `${table(growth, how)}\n\n${picture(growth, how)}`] as const,
    ),
  ]);
}

/** By their files below docs/. */
export function growthCharts(growth = demandGrowth()): Map<string, string> {
  return new Map(
    (["by size", "by tables"] as const).map((how) => {
      const grown = grownOf(growth, how);
      const panel = (title: string, value: (cost: Cost) => number) => ({
        title,
        lines: [
          { name: "backup", values: grown.map(({ backup }) => value(backup)) },
          { name: "restore", values: grown.map(({ restore }) => value(restore)) },
        ],
      });
      const svg = drawLineCharts({
        title: titleOf(growth, how),
        axis: charts[how].axis,
        sizes: grown.map(({ size }) => size),
        panels: [
          panel("wall, seconds", ({ seconds }) => seconds),
          panel("peak memory, MB", ({ peakMegabytes }) => peakMegabytes),
          panel("requests to S3", ({ requests }) => requests),
        ],
      });
      return [charts[how].file, svg] as const;
    }),
  );
}

function demandGrowth(): Growth {
  const growth = readGrowth();
  if (growth === undefined) throw new Error(`${growthFile} is not there: npm run bench:growth`);
  return growth;
}

function conditionsOf({ machine, postgres, node, bySize, byTables }: Growth): string {
  const days = [...new Set([...bySize, ...byTables].map(({ on }) => on))].sort();
  return `${describeMachine(machine)}, PostgreSQL ${postgres}, Node.js ${node}, one run each, ${days.join(", ")}:`;
}

function table(growth: Growth, how: How): string {
  const costs = ["s", "CPU s", "peak MB", "requests"];
  return markdownTable(
    [charts[how].axis, ...costs.map((cost) => `backup ${cost}`), ...costs.map((cost) => `restore ${cost}`)],
    grownOf(growth, how).map(({ size, backup, restore }) => [
      size.toLocaleString("en-US"),
      ...[backup, restore].flatMap(({ seconds, cpuSeconds, peakMegabytes, requests }) => [
        ...[seconds.toFixed(1), cpuSeconds.toFixed(1), peakMegabytes.toFixed(0), requests.toLocaleString("en-US")],
      ]),
    ]),
  );
}

function picture(growth: Growth, how: How): string {
  return `![${titleOf(growth, how)}](${charts[how].file})`;
}

function titleOf(growth: Growth, how: How): string {
  const sizes = grownOf(growth, how).map(({ size }) => size.toLocaleString("en-US"));
  return `Wall, memory and requests of backup and restore, ${sizes[0] ?? 0} to ${sizes.at(-1) ?? 0} ${charts[how].axis}`;
}

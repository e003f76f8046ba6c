/** Ours beside what one would run instead: what `npm run bench` measured, and its tables and charts in docs/benchmarks.md. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { drawBarChart } from "./barChart";
import { describeMachine, machineSchema } from "./machine";
import { markdownTable } from "./markdown";
import { median } from "./statistics";

export const sideBySideFile = join(__dirname, "sideBySide.json");

/** `backup`: what makes one. `after a release`: what follows a release and a loss. */
export const groups = ["backup", "after a release"] as const;
export type Group = (typeof groups)[number];

const contenderSchema = z.object({
  name: z.string(),
  /** Whether it is this project's. */
  ours: z.boolean(),
  /** Whose time its own is held against; null: none's. */
  against: z.string().nullable(),
  /** Of each run, in their order. */
  seconds: z.array(z.number()).min(1),
  /** Of the command and what it started, not of the servers. */
  cpuSeconds: z.array(z.number()).min(1),
  /** Without pg_dump and psql. */
  peakMegabytes: z.array(z.number()).min(1),
  /** What it leaves; null: nothing to keep. */
  megabytes: z.number().nullable(),
});
export type MeasuredContender = z.infer<typeof contenderSchema>;

const groupSchema = z.object({
  machine: machineSchema,
  postgres: z.string(),
  node: z.string(),
  heapMegabytes: z.int(),
  /** Day of the newest measurement. */
  on: z.iso.date(),
  contenders: z.array(contenderSchema),
});
export type MeasuredGroup = z.infer<typeof groupSchema>;

const sideBySideSchema = z.object({
  schemaVersion: z.literal(1),
  groups: z.partialRecord(z.enum(groups), groupSchema),
});
export type SideBySide = z.infer<typeof sideBySideSchema>;

/** @throws when the file is of another form: measure anew. */
export function readSideBySide(): SideBySide {
  if (!existsSync(sideBySideFile)) return { schemaVersion: 1, groups: {} };
  return sideBySideSchema.parse(JSON.parse(readFileSync(sideBySideFile, "utf8")));
}

/**
 * What is known after a measurement: it replaces former ones of the same names, and all of its group where anything but the
 * day was another, for their figures do not belong beside each other.
 */
export function withMeasured(former: SideBySide, group: Group, measured: MeasuredGroup): SideBySide {
  const before = former.groups[group];
  const same = before !== undefined && conditionsOf(before) === conditionsOf(measured);
  const contenders = same ? [...before.contenders] : [];
  for (const contender of measured.contenders) {
    const place = contenders.findIndex(({ name }) => name === contender.name);
    contenders.splice(place < 0 ? contenders.length : place, place < 0 ? 0 : 1, contender);
  }
  return { ...former, groups: { ...former.groups, [group]: { ...measured, contenders } } };
}

function conditionsOf({ machine, postgres, node, heapMegabytes }: MeasuredGroup): string {
  return JSON.stringify([machine, postgres, node, heapMegabytes]);
}

/** By the name of its part of the page. */
export function sideBySideParts(measured = readSideBySide()): Map<string, () => string> {
  return new Map(
    entriesOf(measured).map(([group, figures]) => [
      `side by side ${group}`,
      () => `${sentenceOf(figures)}\n\n${tableOf(figures)}\n\n![${titleOf(group)}](${fileOf(group)})`,
    ]),
  );
}

/** By their files below docs/. */
export function sideBySideCharts(measured = readSideBySide()): Map<string, string> {
  return new Map(entriesOf(measured).map(([group, figures]) => [fileOf(group), chartOf(group, figures)]));
}

function entriesOf({ groups: known }: SideBySide): (readonly [Group, MeasuredGroup])[] {
  return groups.flatMap((group) => (known[group] === undefined ? [] : [[group, known[group]] as const]));
}

function sentenceOf({ machine, postgres, node, heapMegabytes, on, contenders }: MeasuredGroup): string {
  const runs = [...new Set(contenders.map(({ seconds }) => seconds.length))].sort((a, b) => a - b);
  const rounds =
    runs.length === 1 && runs[0] === 1 ? "one round" : `medians of ${runs.join(" to ")} alternating rounds`;
  return `${describeMachine(machine)}, PostgreSQL ${postgres}, Node.js ${node}, ${heapMegabytes.toLocaleString("en-US")} MB of heap, ${rounds}, ${on}:`;
}

/** Markdown: also what the benchmark prints. */
export function tableOf({ contenders }: MeasuredGroup): string {
  return markdownTable(
    ["command", "seconds", "lowest to highest", "held against", "CPU s", "peak MB", "MB out"],
    contenders.map((contender) => [
      contender.name,
      median(contender.seconds).toFixed(1),
      rangeOf(contender)
        .map((seconds) => seconds.toFixed(1))
        .join(" to "),
      ratioOf(contender, contenders),
      median(contender.cpuSeconds).toFixed(1),
      Math.max(...contender.peakMegabytes).toFixed(0),
      contender.megabytes === null ? "" : Math.round(contender.megabytes).toLocaleString("en-US"),
    ]),
  );
}

function ratioOf({ seconds, against }: MeasuredContender, contenders: readonly MeasuredContender[]): string {
  const other = contenders.find(({ name }) => name === against);
  return other === undefined ? "" : `${(median(seconds) / median(other.seconds)).toFixed(2)} times ${other.name}`;
}

function rangeOf({ seconds }: MeasuredContender): [lowest: number, highest: number] {
  return [Math.min(...seconds), Math.max(...seconds)];
}

function chartOf(group: Group, { contenders }: MeasuredGroup): string {
  return drawBarChart({
    title: titleOf(group),
    axis: "seconds",
    kinds: ["dbprotect", "others"],
    bars: contenders.map((contender) => ({
      name: contender.name,
      value: median(contender.seconds),
      range: rangeOf(contender),
      kind: contender.ours ? 0 : 1,
    })),
  });
}

function titleOf(group: Group): string {
  return group === "backup" ? "Seconds of a backup, ours and others'" : "Seconds of what follows a release and a loss";
}

function fileOf(group: Group): string {
  return `images/side-by-side-${group.replaceAll(" ", "-")}.svg`;
}

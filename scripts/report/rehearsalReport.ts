/** A rehearsal's result as a report: for the HTML file, and its table of scenes for the terminal. */
import { availableParallelism, platform } from "node:os";
import type { RehearsalResult, SceneResult } from "../rehearsal/rehearse";
import type { Cell, ReportDocument, Step, Table, TimelineEntry } from "./html/document";
import { renderTable } from "./table";

export function reportOn(result: RehearsalResult): ReportDocument {
  const different = result.scenes.filter(({ asExpected }) => !asExpected);
  const rows = Object.values(result.rowsBefore).reduce((sum, count) => sum + count, 0);
  return {
    title: "Rehearsal of a protected deployment",
    startedAt: result.startedAt,
    seconds: result.seconds,
    verdict: {
      tone: result.verdict === "pass" ? "good" : "bad",
      word: result.verdict === "pass" ? "Passed" : "Failed",
      sentence:
        different.length === 0
          ? `All ${result.scenes.length} scenes ended as they must: what had to halt did so before anything was released, and no lost row went unnoticed.`
          : `${different.length} of ${result.scenes.length} scenes ended differently: ${different.map(({ name }) => name).join(", ")}.`,
    },
    facts: [
      { name: "Database", value: `${number(rows)} rows` },
      { name: "PostgreSQL", value: String(result.postgresMajor) },
      { name: "Engine", value: result.engine.reason },
      { name: "Machine", value: `${availableParallelism()} cores, ${platform()}` },
    ],
    timeline: [
      { label: "Servers and data", from: 0, seconds: result.worldSeconds, tone: "neutral" },
      ...result.scenes.flatMap(timelineOf),
    ],
    steps: result.scenes.map(stepOf),
    tables: [rowsTable(result)],
  };
}

function timelineOf(scene: SceneResult): TimelineEntry[] {
  return [
    {
      label: `${scene.number} ${scene.name}`,
      from: scene.from,
      seconds: scene.seconds,
      tone: scene.asExpected ? "good" : "bad",
    },
    ...scene.actions.map(({ label, from, seconds }) => ({
      label,
      from,
      seconds,
      tone: "neutral" as const,
      within: true,
    })),
  ];
}

function stepOf(scene: SceneResult): Step {
  return {
    number: scene.number,
    name: scene.name,
    summary: scene.does,
    tone: scene.asExpected ? "good" : "bad",
    word: scene.asExpected ? "as expected" : "different",
    seconds: scene.seconds,
    expected: scene.expected,
    actual: scene.actual,
    evidence: scene.evidence.map(({ claim, found, holds }) => ({ claim, found, tone: holds ? "good" : "bad" })),
    log: scene.log.map(({ at, line }) => `${at.toFixed(1).padStart(6)} s  ${line}`),
  };
}

/** One row a table of the database, one column a scene; a count that fell stands out. */
function rowsTable(result: RehearsalResult): Table {
  const states = [result.rowsBefore, ...result.scenes.map(({ rows }) => rows)];
  const names = [...new Set(states.flatMap((state) => Object.keys(state)))].sort();
  return {
    caption: "Rows of each table, before and after every scene",
    columns: [
      { name: "Table" },
      { name: "Before", numeric: true },
      ...result.scenes.map((scene) => ({ name: `After ${scene.number}`, numeric: true })),
    ],
    rows: names.map((name) => [
      name,
      ...states.map((state, index): string | Cell => {
        const count = state[name];
        if (count === undefined) return "";
        const previous = states[index - 1]?.[name];
        if (previous === undefined || previous === count) return number(count);
        return { text: number(count), tone: count < previous ? "bad" : "good" };
      }),
    ]),
  };
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}

/** The table that the rehearsal ends with, expected against actual; below it what else did not hold. */
export function sceneTable(result: RehearsalResult): string {
  const lines = result.scenes.flatMap((scene) => {
    const [expected, actual] = [scene.expected.split("; "), scene.actual.split("; ")];
    return Array.from({ length: Math.max(expected.length, actual.length) }, (_, line) => ({
      number: line === 0 ? String(scene.number) : "",
      name: line === 0 ? scene.name : "",
      expected: expected[line] ?? "",
      actual: actual[line] ?? "",
      verdict: line === 0 ? (scene.asExpected ? "✓" : "✗") : "",
      seconds: line === 0 ? `${scene.seconds.toFixed(1)} s` : "",
    }));
  });
  const table = renderTable(lines, [
    { title: "#", value: (line) => line.number },
    { title: "SCENE", value: ({ name }) => name },
    { title: "EXPECTED", value: ({ expected }) => expected },
    { title: "ACTUAL", value: ({ actual }) => actual },
    { title: "", value: ({ verdict }) => verdict },
    { title: "TIME", value: ({ seconds }) => seconds },
  ]);
  const differing = result.scenes.flatMap(({ evidence, number: place }) =>
    evidence.filter(({ holds }) => !holds).map(({ claim, found }) => `✗ scene ${place}: ${claim}: ${found}`),
  );
  return [table, ...(differing.length === 0 ? [] : ["", ...differing])].join("\n");
}

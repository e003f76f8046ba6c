/** One release as a report: what the gate found, what was released, what the verification proved, and which lists are ticked. */
import type { ReleaseNote } from "../record/releaseNotes";
import { type ReleaseEvent, releaseSteps } from "../record/releaseEvents";
import type { CheckedList } from "../release/checklist";
import { type ReleaseFacts, rolledBackSteps } from "../release/checklistEvidence";
import { backupPrefix, receiptKey } from "../store/layout";
import { describeSeconds } from "../verification/expectedRto";
import type { Chart, Fact, ReportDocument, Step, TimelineEntry, Tone } from "./html/document";
import { checklistTable, definitionsTable, linksTable, locksTable, migrationsTable, rowsTable } from "./releaseTables";

export interface ReleaseReportInput {
  readonly facts: ReleaseFacts;
  readonly lists: readonly CheckedList[];
  /** Of the store that holds the release. */
  readonly store: { readonly url: string; readonly pageOf: (key: string) => string | undefined };
}

export function releaseReport({ facts, lists, store }: ReleaseReportInput): ReportDocument {
  const { receipt, notes } = facts;
  const began = gateBegan(facts);
  const timeline = timelineOf(facts, began);
  return {
    title: `Release ${receipt.releaseVersion || receipt.runId} of ${receipt.stack}`,
    startedAt: new Date(began).toISOString(),
    seconds: Math.max(...timeline.map(({ from, seconds }) => from + seconds)),
    verdict: verdictOf(facts),
    facts: factsOf(facts),
    timeline,
    steps: receipt.steps.map(stepOf),
    charts: chartsOf(notes),
    tables: [
      ...rowsTable(facts),
      ...definitionsTable(facts),
      ...migrationsTable(receipt),
      ...locksTable(receipt),
      ...lists.map(checklistTable),
      linksTable([
        [
          "Backup",
          `${store.url}/${backupPrefix(receipt.backup.tier, receipt.backup.name)}`,
          pageOfBackup(facts, store),
        ],
        ["Receipt", `${store.url}/${receiptKey(receipt.runId)}`, store.pageOf(receiptKey(receipt.runId))],
      ]),
    ],
  };
}

function pageOfBackup({ receipt }: ReleaseFacts, store: ReleaseReportInput["store"]): string | undefined {
  return store.pageOf(`${backupPrefix(receipt.backup.tier, receipt.backup.name)}manifest.json`);
}

/** The receipt is written at the end of the gate: milliseconds since 1970. */
function gateBegan({ receipt }: ReleaseFacts): number {
  return Date.parse(receipt.at) - 1000 * receipt.steps.reduce((sum, { seconds }) => sum + seconds, 0);
}

/** What happened last decides; a rollback of the application is said beside it, for it brings no row back. */
function verdictOf(facts: ReleaseFacts): ReportDocument["verdict"] {
  const { events } = facts;
  const undone = rolledBackSteps(facts);
  const aside = undone.length === 0 ? "" : ` Rolled back: ${undone.join(", ")}.`;
  const last = events.findLast(({ event }) => !event.endsWith("-rolled-back"));
  const said = last?.detail.split("\n")[0] ?? "";
  const verdict = (tone: Tone, word: string, sentence: string) => ({ tone, word, sentence: `${sentence}${aside}` });
  switch (last?.event) {
    case "verified":
      return verdict(
        undone.length === 0 ? "good" : "neutral",
        "Verified",
        `No row of before the release is gone: ${said}.`,
      );
    case "accepted":
      return verdict(
        "neutral",
        "Accepted",
        `${last.person ?? "Somebody"} accepted what the verification found: ${said}.`,
      );
    case "verification-failed":
      return verdict("bad", "Damage found", `The verification failed, and releases are frozen: ${said}.`);
    case "repaired":
      return verdict("neutral", "Repaired", `Rows were put back, and the verification has not passed since: ${said}.`);
    case undefined:
      return verdict("neutral", "Gate passed", "Nothing was released by this receipt.");
    default:
      return last?.event.endsWith("-failed") === true
        ? verdict("bad", "Failed", `${last.event.replace(/-failed$/, "")} failed: ${said}.`)
        : verdict("neutral", "Open", `Not verified yet; the last that happened: ${last?.event ?? "nothing"}.`);
  }
}

function factsOf({ receipt }: ReleaseFacts): Fact[] {
  const { database, backup, expectedRto, recoveryPoint, restorePoint } = receipt;
  return [
    { name: "Database", value: `${database.database} on ${database.host}` },
    { name: "Backup", value: `${backup.name}, verified to depth ${backup.depth}` },
    {
      name: "A restore takes",
      value: expectedRto === null ? "not measured yet" : describeSeconds(expectedRto.seconds),
    },
    {
      name: "Point of before",
      value: `${recoveryPoint.utc.replace("T", " ").replace(/\.\d+Z$/, " UTC")}, LSN ${recoveryPoint.lsn}`,
    },
    ...(restorePoint === null ? [] : [{ name: "Restore point", value: restorePoint.name }]),
  ];
}

const stepTones: Readonly<Record<string, Tone>> = { pass: "good", halt: "bad", skipped: "neutral", overridden: "bad" };

function stepOf(
  { step, outcome, seconds, summary, evidence }: ReleaseFacts["receipt"]["steps"][number],
  place: number,
): Step {
  return {
    ...{ number: place + 1, name: step, summary, tone: stepTones[outcome] ?? "neutral", word: outcome, seconds },
    evidence: [],
    log: evidence,
  };
}

/** The gate and its steps, each release step from its first event to its last, the watch, and each verdict. */
function timelineOf({ receipt, events, notes }: ReleaseFacts, began: number): TimelineEntry[] {
  const since = (at: string): number => Math.max(0, (Date.parse(at) - began) / 1000);
  let from = 0;
  const steps = receipt.steps.map(({ step, outcome, seconds }): TimelineEntry => {
    const entry = { label: step, from, seconds, tone: stepTones[outcome] ?? "neutral", within: true };
    from += seconds;
    return entry;
  });
  return [
    { label: "gate", from: 0, seconds: from, tone: "good" },
    ...steps,
    ...releaseSteps.flatMap((step) => releasedOf(step, events, since)),
    ...watchedOf(notes, since),
    ...events
      .filter(({ event }) => ["verified", "verification-failed", "accepted", "repaired"].includes(event))
      .map(
        ({ event, at }) =>
          ({ label: event, from: since(at), seconds: 0, tone: event === "verified" ? "good" : "bad" }) as const,
      ),
  ];
}

/** Each attempt of a step: from when it started to when it was live, had failed, or was taken back. */
function releasedOf(step: string, events: readonly ReleaseEvent[], since: (at: string) => number): TimelineEntry[] {
  const entries: TimelineEntry[] = [];
  let started: string | undefined;
  for (const { event, at } of events) {
    if (event === `${step}-started`) started = at;
    if (![`${step}-live`, `${step}-failed`, `${step}-rolled-back`].includes(event)) continue;
    const from = since(started ?? at);
    const tone = event === `${step}-live` ? "good" : "bad";
    entries.push({ label: event.replace("-", ": "), from, seconds: since(at) - from, tone });
    started = undefined;
  }
  return entries;
}

function watchedOf(notes: readonly ReleaseNote[], since: (at: string) => number): TimelineEntry[] {
  return notes
    .filter(({ kind, latency }) => kind === "watched" && latency.length > 0)
    .map(({ at, ok, latency }) => {
      const seconds = Math.max(0, ...latency.flatMap(({ points }) => points.map(({ second }) => second)));
      const end = since(at);
      return { label: "watched", from: Math.max(0, end - seconds), seconds, tone: ok ? "good" : "bad" };
    });
}

/** Of the last watch: one chart for each path. */
function chartsOf(notes: readonly ReleaseNote[]): Chart[] {
  const last = notes.findLast(({ kind, latency }) => kind === "watched" && latency.length > 0);
  return (last?.latency ?? []).map(({ url, usualMilliseconds, points }) => ({
    ...{ caption: url, unit: "ms", usual: usualMilliseconds },
    points: points.map(({ second, milliseconds, failures }) => ({ second, value: milliseconds, bad: failures > 0 })),
  }));
}

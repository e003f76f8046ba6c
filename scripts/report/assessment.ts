/** An assessment for people: the damage, since when, what a restore would give up, the ways back, and which to take. */
import type { Assessment, DamagedTable, LadderRung } from "../incident/assessment";
import { describeSeconds } from "../verification/expectedRto";
import { renderTable } from "./table";

export function renderAssessment(assessment: Assessment): string {
  const { lastGood, lossWindowSeconds, knownGood, tables, definitions } = assessment;
  const { ladder, recommendation, notVerified, dataChecks, health, compared, seconds } = assessment;
  return [
    `${headlineOf(assessment)} (${assessment.at}, ${seconds} s)`,
    ...(tables.length === 0 ? [] : ["", renderTable(tables, columns)]),
    ...definitions.map((line) => `definitions: ${line}`),
    "",
    ...compared.map(({ name, takenAt, verdict: was }) => `compared with ${name} of ${takenAt}: ${was}`),
    dataChecks === null ? "data checks: not run" : `data checks: ${dataChecks.summary}`,
    `health: ${[health.outcome, ...health.failing].join(", ")}`,
    knownGood === null
      ? "last verified release: none"
      : `last verified release: ${knownGood.releaseVersion || "(unnamed)"} at ${knownGood.at} (receipt ${knownGood.runId})`,
    lastGood === null
      ? "last known good state: none: no backup could be compared with"
      : `last known good state: ${lastGood.takenAt}, ${lastGood.name} (${lastGood.tier}, depth ${lastGood.depth})`,
    `loss window of a whole restore: ${lossWindowSeconds === null ? "not known" : describeSeconds(lossWindowSeconds)}`,
    "",
    renderTable(ladder, rungColumns),
    "",
    `RECOMMENDED: ${recommendation.command ?? "nothing to run"}`,
    `  because ${recommendation.reason}`,
    ...notVerified.map((line) => `not verified: ${line}`),
  ].join("\n");
}

/** "Intact" is for what was compared: a mistyped BACKUP_STORE must not sound like good news. */
function headlineOf({ verdict, database, tables, compared }: Assessment): string {
  if (verdict === "intact" && compared.length === 0) return "NOT COMPARED: whether rows are missing is not known";
  return `${verdict.toUpperCase()}: ${database.state === "reachable" ? `${tables.length} table(s) damaged` : database.detail}`;
}

const columns: readonly { title: string; value: (table: DamagedTable) => string | number }[] = [
  { title: "TABLE", value: ({ table }) => table },
  { title: "MISSING", value: ({ missing, exact }) => `${exact ? "" : ">= "}${missing}` },
  {
    title: "CHANGED",
    value: ({ changed, columns: names }) => [changed, ...names.map(({ column }) => column)].join(" "),
  },
  { title: "DAMAGED", value: ({ damaged }) => damaged },
  { title: "SINCE", value: describeSince },
  { title: "WHY", value: ({ why }) => why ?? "" },
];

function describeSince({ since: { notBefore, notAfter } }: DamagedTable): string {
  if (notBefore === null) return notAfter === null ? "not known" : `before ${notAfter}`;
  return `after ${notBefore}${notAfter === null ? "" : `, before ${notAfter}`}`;
}

const rungColumns: readonly { title: string; value: (rung: LadderRung) => string }[] = [
  { title: "WAY BACK", value: ({ rung }) => rung },
  { title: "POSSIBLE", value: ({ possible }) => (possible ? "yes" : "no") },
  {
    title: "TAKES",
    value: ({ expectedSeconds, withinStrategy }) =>
      expectedSeconds === null
        ? "?"
        : `${describeSeconds(expectedSeconds)}${withinStrategy === false ? " TOO LONG" : ""}`,
  },
  { title: "GIVES UP", value: ({ lossSeconds }) => (lossSeconds === null ? "?" : describeSeconds(lossSeconds)) },
  { title: "DETAIL", value: ({ detail, basis }) => `${detail} (${basis})` },
];

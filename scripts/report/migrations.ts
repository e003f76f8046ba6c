/** What the judge and the trial say of migrations, as text for a person. */
import type { Finding, Judgement } from "../migrations/judge";
import { summarizeTrial, trialEvidence } from "../migrations/trial";
import type { Verdicts } from "../migrations/tryOnBackup";

/** Each finding with its line of SQL, a caret and the safer way; last the verdict. */
export function renderJudgement({ findings, verdict }: Judgement, files: number): string {
  const refused = findings.filter(({ severity }) => severity === "refuse").length;
  const counts = `${files} file(s), ${refused} refused, ${findings.length - refused} to know`;
  return [...findings.map(renderFinding), `${verdict.toUpperCase()}: ${counts}`].join("\n");
}

function renderFinding({ file, line, column, severity, rule, reason, excerpt, saferWay }: Finding): string {
  const indented = excerpt.split("\n").map((text) => `    ${text}`);
  const word = severity === "refuse" ? "refused" : "info";
  return [`${file}:${line}:${column}: ${word} ${rule}: ${reason}`, ...indented, `    ${saferWay}`, ""].join("\n");
}

export function renderVerdicts({ verdict, pending, judgement, trial }: Verdicts): string {
  if (trial === null) return "PASS: no pending migration";
  return [
    renderJudgement(judgement, pending.length),
    "",
    ...trialEvidence(trial),
    ...trial.findings.map(({ id, message }) => `lost: ${message} (trial:${id})`),
    `${verdict.toUpperCase()}: ${summarizeTrial(trial)}`,
  ].join("\n");
}

/** What an incident's events add up to: how long it took, what it cost, what nobody looked at. Pure. */
import type { Incident, IncidentEvent, IncidentIds, TableImpact } from "../record/incident";

/** Commands whose success proves that what was lost is back. */
const provingCommands = ["db:emergency-verify", "db:verify:rollback", "db:verify:post-deploy"];

/** A command that was run meanwhile; `exitCode` and `seconds` null: it did not say how it ended, it was killed. */
export interface RunCommand {
  readonly at: string;
  readonly host: string;
  readonly command: string;
  readonly exitCode: number | null;
  readonly seconds: number | null;
}

export interface IncidentFacts {
  /** Seconds from the damage to the opening; null: the damage's time is not known on that side. */
  readonly detect: { readonly atLeast: number | null; readonly atMost: number | null };
  /** When what was lost was proven to be back, and by what; null: it was not, or nobody recorded it. */
  readonly mitigated: { readonly at: string; readonly by: string; readonly seconds: number } | null;
  /** Of the last assessment that found something, else as it was when it opened. */
  readonly impact: readonly TableImpact[];
  readonly notVerified: readonly string[];
  readonly commands: readonly RunCommand[];
  readonly idsBefore: IncidentIds | null;
  readonly idsAfter: IncidentIds | null;
}

export function factsOf(incident: Incident): IncidentFacts {
  const { opening, events, openedAt, closed } = incident;
  const assessed = events.filter((event) => event.event === "assessed");
  const found = assessed.findLast(({ impact }) => impact.length > 0) ?? opening;
  const began = assessed.findLast(({ began: { notBefore, notAfter } }) => notBefore !== null || notAfter !== null);
  const { notBefore, notAfter } = (began ?? opening)?.began ?? { notBefore: null, notAfter: null };
  const mitigated = mitigationOf(events);
  return {
    detect: { atLeast: secondsBetween(notAfter, openedAt), atMost: secondsBetween(notBefore, openedAt) },
    mitigated: mitigated === null ? null : { ...mitigated, seconds: secondsBetween(openedAt, mitigated.at) ?? 0 },
    impact: found?.impact ?? [],
    notVerified: notVerifiedOf(events, found?.notVerified ?? [], mitigated),
    commands: commandsOf(events),
    idsBefore: opening?.ids ?? null,
    idsAfter: closed?.ids ?? null,
  };
}

function secondsBetween(from: string | null, to: string): number | null {
  return from === null ? null : Math.max(0, Math.round((Date.parse(to) - Date.parse(from)) / 1000));
}

function mitigationOf(events: readonly IncidentEvent[]): { at: string; by: string } | null {
  for (const event of events) {
    if (event.event === "mitigated") return { at: event.at, by: event.text };
    const proves =
      event.event === "command-ended" && event.exitCode === 0 && provingCommands.includes(nameOf(event.command));
    if (proves) return { at: event.at, by: `${nameOf(event.command)} passed` };
  }
  return null;
}

function nameOf(command: string): string {
  return command.split(" ")[0] ?? "";
}

function notVerifiedOf(
  events: readonly IncidentEvent[],
  before: readonly string[],
  mitigated: { readonly by: string } | null,
): string[] {
  if (mitigated === null) return [...before, "nothing was verified since: no verification that passed is recorded"];
  const recorded = events.findLast((event) => event.event === "mitigated");
  if (recorded !== undefined) return [...recorded.notVerified];
  return [`what ${mitigated.by.replace(/ passed$/, "")} did not look at is in its output only`];
}

function commandsOf(events: readonly IncidentEvent[]): RunCommand[] {
  return events.flatMap((event) => {
    if (event.event !== "command-started") return [];
    const { run, at, host, command } = event;
    const ended = events.find((other) => other.event === "command-ended" && other.run === run);
    const [exitCode, seconds] = ended?.event === "command-ended" ? [ended.exitCode, ended.seconds] : [null, null];
    return [{ at, host, command, exitCode, seconds }];
  });
}

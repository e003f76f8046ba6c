/**
 * An incident for people: on the screen, as Markdown and as one HTML file. The report is blameless: it names hosts,
 * commands and times, never who, and asks what let it happen.
 */
import { type IncidentFacts, type RunCommand, factsOf } from "../incident/incidentFacts";
import type { Incident, IncidentEvent, IncidentIds, TableImpact } from "../record/incident";
import type { ReportDocument, Table, TimelineEntry } from "./html/document";
import { duration } from "./html/renderReport";
import { renderTable } from "./table";

/** Asked of whoever closes one, in the order of worth. */
export const preventionQuestions: readonly string[] = [
  "What would have kept it from happening?",
  "What would have found it sooner?",
  "What would have made recovery quicker?",
];

export interface ListedIncident {
  readonly id: string;
  readonly kind: string;
  readonly title: string;
  readonly openedAt: string;
  readonly open: boolean;
}

export function renderIncidentList(incidents: readonly ListedIncident[]): string {
  if (incidents.length === 0) return "no incident";
  return renderTable(incidents, [
    { title: "INCIDENT", value: ({ id }) => id },
    { title: "STATE", value: ({ open }) => (open ? "OPEN" : "over") },
    { title: "SINCE", value: ({ openedAt }) => openedAt },
    { title: "BY", value: ({ kind }) => kind },
    { title: "WHAT", value: ({ title }) => title },
  ]);
}

export function renderIncident(incident: Incident): string {
  const facts = factsOf(incident);
  const lines = [
    `${incident.closed === undefined ? "OPEN" : "CLOSED"}: ${incident.title} (${incident.id})`,
    ...summaryOf(incident, facts).map(({ name, value }) => `${name}: ${value}`),
    "",
    renderTable(timelineOf(incident), [
      { title: "UTC", value: ({ at }) => at },
      { title: "HOST", value: ({ host }) => host },
      { title: "WHAT", value: ({ what }) => what },
      { title: "EXIT", value: ({ exit }) => exit },
    ]),
  ];
  if (facts.impact.length > 0) lines.push("", renderTable(facts.impact, impactColumns));
  return [...lines, ...facts.notVerified.map((line) => `not verified: ${line}`)].join("\n");
}

const impactColumns: readonly { title: string; value: (row: TableImpact) => string }[] = [
  { title: "TABLE", value: ({ table }) => table },
  { title: "ROWS BEFORE", value: ({ rowsBefore }) => rowsBefore.toLocaleString("en-US") },
  { title: "ROWS NOW", value: ({ rowsNow }) => rowsNow?.toLocaleString("en-US") ?? "-" },
  { title: "MISSING", value: ({ missing, exact }) => atLeast(missing, exact) },
  { title: "CHANGED", value: ({ changed, exact }) => atLeast(changed, exact) },
  { title: "DAMAGED", value: ({ damaged }) => damaged.toLocaleString("en-US") },
  { title: "WHY", value: ({ why }) => why ?? "" },
];

function atLeast(count: number, exact: boolean): string {
  return `${exact ? "" : "at least "}${count.toLocaleString("en-US")}`;
}

function summaryOf(incident: Incident, { detect, mitigated, commands }: IncidentFacts) {
  const { openedAt, closed } = incident;
  return [
    { name: "Opened", value: `${openedAt}, by ${openedByOf(incident)}` },
    { name: "Time to detect", value: describeDetection(detect) },
    {
      name: "Time to mitigate",
      value:
        mitigated === null
          ? "not mitigated, as far as is recorded"
          : `${duration(mitigated.seconds)} (${mitigated.at}: ${mitigated.by})`,
    },
    { name: "Commands", value: String(commands.length) },
    { name: "Closed", value: closed === undefined ? "no" : `${closed.at}: ${closed.reason}` },
  ];
}

function openedByOf({ kind }: Incident): string {
  switch (kind) {
    case "person":
      return "a person";
    case "verification":
      return "the verification after a release";
    case "emergency":
      return "npm run emergency";
    case "alarm":
      return "an alarm";
    case "drill":
      return "a restore drill";
  }
}

function describeDetection({ atLeast: least, atMost: most }: IncidentFacts["detect"]): string {
  if (most !== null && least !== null) return `between ${duration(least)} and ${duration(most)}`;
  if (most !== null) return `at most ${duration(most)}`;
  return least === null ? "not known: when it began is not recorded" : `at least ${duration(least)}`;
}

interface TimelineLine {
  readonly at: string;
  readonly host: string;
  readonly what: string;
  /** Empty: nothing was run. */
  readonly exit: string;
}

function timelineOf(incident: Incident): TimelineLine[] {
  const runs = factsOf(incident).commands;
  return incident.events.flatMap((event): TimelineLine[] => {
    const { at, host } = event;
    if (event.event === "command-ended") return [];
    if (event.event !== "command-started") return [{ at, host, what: describeEvent(event), exit: "" }];
    const run = runs.find((one) => one.at === at && one.command === event.command);
    return [{ at, host, what: event.command, exit: describeExit(run) }];
  });
}

function describeExit(run: RunCommand | undefined): string {
  if (run === undefined || run.exitCode === null) return "did not end, or was killed";
  return `${run.exitCode} (${duration(run.seconds ?? 0)})`;
}

function describeEvent(event: Exclude<IncidentEvent, { event: "command-started" | "command-ended" }>): string {
  switch (event.event) {
    case "opened":
      return `opened: ${event.title}`;
    case "noted":
      return event.text;
    case "assessed":
      return `assessed: ${event.text}`;
    case "alarm":
      return `alarm: ${event.text}`;
    case "told":
      return `${event.delivered ? "told" : "NOT told"} by ${event.channel} (${event.notice}): ${event.detail}`;
    case "mitigated":
      return `mitigated: ${event.text}`;
    case "closed":
      return `closed: ${event.reason}`;
  }
}

interface IdLine {
  readonly what: string;
  readonly before: string;
  readonly after: string;
}

function idLines({ idsBefore, idsAfter }: IncidentFacts): IdLine[] {
  const of = (pick: (ids: IncidentIds) => string | null | undefined): Pick<IdLine, "before" | "after"> => {
    const shown = (ids: IncidentIds | null): string => (ids === null ? "not recorded" : (pick(ids) ?? "none"));
    return { before: shown(idsBefore), after: shown(idsAfter) };
  };
  return [
    {
      what: "Database",
      ...of(({ database }) => database && `${database.database} (system ${database.systemIdentifier})`),
    },
    {
      what: "Release",
      ...of(({ release }) => release && `${release.releaseVersion || "(unnamed)"} (${release.runId})`),
    },
    { what: "Newest backup", ...of(({ backup }) => backup) },
    { what: "Railway deployment", ...of(({ deployments }) => deployments.railway) },
    { what: "Vercel deployment", ...of(({ deployments }) => deployments.vercel) },
  ];
}

function preventionLines({ closed }: Incident): string[] {
  if (closed === undefined) return [...preventionQuestions];
  return closed.prevention.length > 0
    ? [...closed.prevention]
    : [`None, because: ${closed.noPrevention ?? "nobody said"}`];
}

const blamelessness = "This report names no person. It asks what let it happen, not who did it.";

/** A command line without whom it names: what the shell took for one word may be quoted, as `timeline.ts` writes it. */
function withoutPerson(command: string): string {
  return command.replace(/(--person[= ])(?:'(?:[^']|'\\'')*'|\S+)/g, "$1<a person>");
}

/** The incident as others read it: no command line says who ran it. */
function blameless(incident: Incident): Incident {
  const events = incident.events.map((event) =>
    event.event === "command-started" || event.event === "command-ended"
      ? { ...event, command: withoutPerson(event.command) }
      : event,
  );
  return { ...incident, events };
}

/** The blameless report; while the incident is open, its questions stand where the answers will be. */
export function incidentMarkdown(recorded: Incident): string {
  const incident = blameless(recorded);
  const facts = factsOf(incident);
  const lines = (items: readonly string[]): string => items.map((item) => `- ${plain(item)}`).join("\n");
  return [
    `# ${plain(incident.title)}`,
    `Incident \`${incident.id}\`. ${blamelessness}`,
    lines(summaryOf(incident, facts).map(({ name, value }) => `${name}: ${value}`)),
    "## Impact by table",
    facts.impact.length === 0
      ? "No table was found to lack anything, or none was compared."
      : markdownTable(
          impactColumns.map(({ title }) => title.toLowerCase()),
          facts.impact.map((row) => impactColumns.map(({ value }) => value(row))),
        ),
    "## Not verified",
    facts.notVerified.length === 0 ? "Nothing was left out." : lines(facts.notVerified),
    "## Before and after",
    markdownTable(
      ["what", "before", "after"],
      idLines(facts).map(({ what, before, after }) => [what, before, after]),
    ),
    "## Timeline",
    markdownTable(
      ["UTC", "host", "what", "exit"],
      timelineOf(incident).map(({ at, host, what, exit }) => [at, host, what, exit]),
    ),
    "## Prevention",
    lines(preventionLines(incident)),
  ]
    .map((part) => `${part}\n`)
    .join("\n");
}

function markdownTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(plain).join(" | ")} |`;
  return [line(columns), line(columns.map(() => "---")), ...rows.map(line)].join("\n");
}

/** Text that people wrote, without what Markdown or HTML would make of it. */
function plain(text: string): string {
  return text
    .replace(/\s+/g, " ")
    .replace(/[\\|`*<>[\]]/g, (sign) => (sign === "<" ? "&lt;" : sign === ">" ? "&gt;" : `\\${sign}`));
}

export function incidentReport(recorded: Incident): ReportDocument {
  const incident = blameless(recorded);
  const facts = factsOf(incident);
  const [from, to] = [Date.parse(incident.openedAt), Date.parse(endOf(incident))];
  const isOver = incident.closed !== undefined;
  return {
    title: `Incident ${incident.id}`,
    startedAt: incident.openedAt,
    seconds: Math.max(0, (to - from) / 1000),
    verdict: {
      tone: isOver ? "good" : "bad",
      word: isOver ? "Closed" : "Open",
      sentence: `${incident.title}. ${blamelessness}`,
    },
    facts: summaryOf(incident, facts),
    timeline: facts.commands.map((run) => barOf(run, from)),
    steps: [],
    tables: [
      table(
        "Impact by table",
        impactColumns.map(({ title }) => sentence(title)),
        facts.impact.map((row) => impactColumns.map(({ value }) => value(row))),
      ),
      table(
        "Not verified",
        ["What"],
        facts.notVerified.map((line) => [line]),
      ),
      table(
        "Before and after",
        ["What", "Before", "After"],
        idLines(facts).map(({ what, before, after }) => [what, before, after]),
      ),
      table(
        "Timeline",
        ["UTC", "Host", "What", "Exit"],
        timelineOf(incident).map(({ at, host, what, exit }) => [at, host, what, exit]),
      ),
      table(
        isOver ? "Prevention" : "Prevention: to be answered",
        ["Measure"],
        preventionLines(incident).map((line) => [line]),
      ),
    ].filter(({ rows }) => rows.length > 0),
  };
}

function barOf({ at, command, seconds, exitCode }: RunCommand, start: number): TimelineEntry {
  return {
    label: command,
    from: Math.max(0, (Date.parse(at) - start) / 1000),
    seconds: seconds ?? 0,
    tone: exitCode === 0 ? "good" : "bad",
  };
}

function endOf({ events, openedAt }: Incident): string {
  return events.at(-1)?.at ?? openedAt;
}

function sentence(title: string): string {
  return title.charAt(0) + title.slice(1).toLowerCase();
}

function table(caption: string, columns: readonly string[], rows: Table["rows"]): Table {
  return { caption, columns: columns.map((name) => ({ name })), rows };
}

/** The status for people: one screen, and the same as an HTML report. */
import type { BackupState, LevelState, LocationState, Status } from "../status/statusDocument";
import { describeAge, describeFence } from "../status/judge";
import { describeSeconds } from "../verification/expectedRto";
import type { Cell, ReportDocument, Table, Tone } from "./html/document";
import { renderTable } from "./table";

/** A line each: what stands, and how. */
interface Standing {
  readonly what: string;
  readonly how: string;
  readonly tone: Tone;
}

export function renderStatus(status: Status): string {
  const { levels, locations, attention, links } = status;
  return [
    `${headline(status)} (${status.at})`,
    ...attention.map((line) => `  ! ${line}`),
    "",
    renderTable(levels, [
      { title: "LEVEL", value: ({ level }) => String(level) },
      { title: "STATE", value: ({ state }) => state },
      { title: "BECAUSE", value: ({ detail }) => detail },
    ]),
    "",
    renderTable(locations, [
      { title: "LOCATION", value: ({ store }) => store },
      { title: "BACKUPS", value: ({ backups, problem }) => (problem === null ? String(backups) : "-") },
      { title: "NEWEST", value: ({ newest, problem }) => problem ?? describeBackup(newest) },
      { title: "NEWEST VERIFIED", value: ({ newestVerified }) => describeBackup(newestVerified) },
      { title: "LAST DRILL", value: describeDrill },
    ]),
    "",
    ...standings(status).map(({ what, how }) => `${what}: ${how}`),
    "",
    ...links.map(({ name, url }) => `${name}: ${url}`),
  ].join("\n");
}

function headline({ verdict, attention }: Status): string {
  switch (verdict) {
    case "healthy":
      return "HEALTHY";
    case "attention":
      return `ATTENTION: ${attention.length} thing${attention.length === 1 ? "" : "s"} to look at`;
    case "unreachable":
      return "UNREACHABLE: no location can be read";
  }
}

function describeBackup(backup: BackupState | null): string {
  if (backup === null) return "-";
  const { name, ageSeconds, depth, suspect } = backup;
  return `${name}, ${describeAge(ageSeconds)} old, depth ${depth}${suspect ? ", SUSPECT" : ""}`;
}

function describeDrill({ lastDrill, problem }: LocationState): string {
  if (lastDrill === null) return problem === null ? "never" : "not known";
  const rto = lastDrill.rtoSeconds === null ? "" : `, RTO ${describeSeconds(lastDrill.rtoSeconds)}`;
  return `${lastDrill.verdict} ${describeAge(lastDrill.ageSeconds)} ago${rto}`;
}

function standings({ control, alarms }: Status): Standing[] {
  return [...(control === null ? unknownStandings() : controlStandings(control)), alarmStanding(alarms)];
}

/** A line that is missing would look like one that is fine. */
function unknownStandings(): Standing[] {
  const nothing = {
    freezes: [],
    lease: null,
    maintenance: null,
    openReceipts: [],
    plannedRollback: null,
    incidents: [],
  };
  const how = "not known: the first location, which alone says so, cannot be read";
  return controlStandings(nothing).map(({ what }) => ({ what, how, tone: "bad" }));
}

function controlStandings(control: NonNullable<Status["control"]>): Standing[] {
  const { freezes, lease, maintenance, openReceipts, plannedRollback, incidents } = control;
  const one = (what: string, lines: readonly string[], none = "none"): Standing =>
    lines.length === 0 ? { what, how: none, tone: "good" } : { what, how: lines.join("; "), tone: "bad" };
  return [
    one(
      "Freeze",
      freezes.map(({ person, at, reason }) => `since ${at}${person === null ? "" : ` by ${person}`}: ${reason}`),
    ),
    {
      what: "Lease",
      how: lease === null ? "free" : `run ${lease.runId} of ${lease.stack} (${lease.phase}), until ${lease.expiresAt}`,
      tone: "neutral",
    },
    one("Write fence", maintenance === null ? [] : [describeFence(maintenance)], "down"),
    one(
      "Releases not verified",
      openReceipts.map(
        ({ releaseVersion, stack, runId }) => `${releaseVersion || "(unnamed)"} of ${stack} (receipt ${runId})`,
      ),
    ),
    one(
      "Planned rollback",
      plannedRollback === null
        ? []
        : [
            `${plannedRollback.id} to ${plannedRollback.backup} by ${plannedRollback.person}, at ${plannedRollback.step}${plannedRollback.running ? ", being carried out" : ""}`,
          ],
    ),
    one(
      "Open incidents",
      incidents.map(({ id, detail }) => `${id}: ${detail}`),
    ),
  ];
}

function alarmStanding({ outcome, problem, alarms }: Status["alarms"]): Standing {
  if (outcome !== "read")
    return { what: "Alarms", how: problem ?? outcome, tone: outcome === "not known" ? "bad" : "neutral" };
  const standing = alarms.filter(({ state }) => state === "ALARM").map(({ name }) => name);
  return standing.length === 0
    ? { what: "Alarms", how: `none of ${alarms.length} stands`, tone: "good" }
    : { what: "Alarms", how: standing.join(", "), tone: "bad" };
}

const levelTones: Readonly<Record<LevelState["state"], Tone>> = {
  ...{ met: "good", unmet: "bad", "not known": "bad", "not configured": "neutral" },
};

export function statusReport(status: Status): ReportDocument {
  const { verdict, attention, locations, levels, links } = status;
  return {
    title: "Database protection",
    startedAt: status.at,
    seconds: status.seconds,
    verdict: {
      tone: verdict === "healthy" ? "good" : "bad",
      word: { healthy: "Healthy", attention: "Attention", unreachable: "Unreachable" }[verdict],
      sentence:
        verdict === "healthy"
          ? "Nothing needs attention."
          : verdict === "unreachable"
            ? "No location can be read."
            : `${attention.length} thing${attention.length === 1 ? "" : "s"} to look at.`,
    },
    facts: [{ name: "Locations", value: String(locations.length) }],
    timeline: [],
    steps: [],
    tables: [
      ...(attention.length === 0
        ? []
        : [
            table(
              "What needs attention",
              ["Finding"],
              attention.map((line) => [bad(line)]),
            ),
          ]),
      table(
        "Levels",
        ["Level", "State", "Because"],
        levels.map(({ level, state, detail }) => [String(level), { text: state, tone: levelTones[state] }, detail]),
      ),
      table(
        "Locations",
        ["Location", "Backups", "Newest", "Newest verified", "Last drill"],
        locations.map((location) => [
          location.store,
          location.problem === null ? String(location.backups) : "",
          location.problem === null ? describeBackup(location.newest) : bad(location.problem),
          describeBackup(location.newestVerified),
          location.lastDrill?.verdict === "failed" ? bad(describeDrill(location)) : describeDrill(location),
        ]),
      ),
      table(
        "State",
        ["What", "How"],
        standings(status).map(({ what, how, tone }) => [what, { text: how, tone }]),
      ),
      table(
        "Where else to look",
        ["Name", "Address"],
        links.map(({ name, url }) => [name, { text: url, tone: "neutral", href: url }]),
      ),
    ],
  };
}

function bad(text: string): Cell {
  return { text, tone: "bad" };
}

function table(caption: string, columns: readonly string[], rows: Table["rows"]): Table {
  return { caption, columns: columns.map((name) => ({ name })), rows };
}

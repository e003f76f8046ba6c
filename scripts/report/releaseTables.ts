/** The tables of a release's report: rows before and after, definitions, migrations, locks, checklists, where things lie. */
import type { ComparisonRecord } from "../record/comparisonRecord";
import type { Receipt } from "../record/receipt";
import type { CheckedItem, CheckedList } from "../release/checklist";
import type { ReleaseFacts } from "../release/checklistEvidence";
import type { Cell, Table, Tone } from "./html/document";

/** The last comparison after the release: a table that differs stands above those that do not. */
export function rowsTable({ events }: ReleaseFacts): Table[] {
  const last = lastComparison(events);
  if (last === undefined) return [];
  const rows = last.comparison.tables.map((table) => ({ table, rank: rankOf(table) }));
  rows.sort((a, b) => b.rank - a.rank || a.table.table.localeCompare(b.table.table));
  return [
    {
      caption: `Rows of each table, before the release and at ${last.at.replace("T", " ").replace(/\.\d+Z$/, " UTC")}`,
      columns: [
        { name: "Table" },
        ...["Before", "After", "Missing", "Changed", "New"].map((name) => ({ name, numeric: true })),
        { name: "Compared" },
        { name: "Verdict" },
      ],
      rows: rows.map(({ table: each }) => [
        each.table,
        count(each.rowsBefore),
        count(each.rowsNow),
        each.missing > 0 ? toned(count(each.missing), each.failure === null ? "neutral" : "bad") : "0",
        count(each.changed),
        count(each.added),
        each.coverage,
        each.failure === null ? toned("nothing lost", "good") : toned(each.failure, "bad"),
      ]),
    },
  ];
}

function lastComparison(events: ReleaseFacts["events"]): { comparison: ComparisonRecord; at: string } | undefined {
  return events.flatMap(({ comparison, at }) => (comparison === null ? [] : [{ comparison, at }])).at(-1);
}

function rankOf({ failure, missing, changed, added }: ComparisonRecord["tables"][number]): number {
  if (failure !== null) return 2;
  return missing + changed + added > 0 ? 1 : 0;
}

export function definitionsTable({ events }: ReleaseFacts): Table[] {
  const last = lastComparison(events);
  if (last === undefined) return [];
  const { failures, explained, catalogChanges } = last.comparison;
  const rows: Table["rows"] = [
    ...failures.map((line) => [toned("lost", "bad"), line]),
    ...explained.map((line) => ["explained by a migration", line]),
    ...catalogChanges.map((line) => ["changed", line]),
  ];
  return rows.length === 0
    ? []
    : [{ caption: "Definitions and sequences", columns: [{ name: "How" }, { name: "What" }], rows }];
}

export function migrationsTable({ migrations, trial }: Receipt): Table[] {
  if (migrations.length === 0) return [];
  const tried = new Map(trial?.files.map(({ file, milliseconds }) => [file, milliseconds]));
  const untried = trial === null ? "not tried" : "did not run to its end";
  return [
    {
      caption: "Migrations, as judged and as tried on the restored copy",
      columns: [{ name: "File" }, { name: "SHA-256" }, { name: "Judge" }, { name: "Trial" }],
      rows: migrations.map(({ file, sha256, findings }) => [
        file,
        sha256.slice(0, 12),
        findings.length === 0
          ? toned("nothing found", "good")
          : findings.map(({ rule, reason }) => `${rule}: ${reason}`).join("; "),
        tried.has(file) ? `ran in ${tried.get(file) ?? 0} ms` : untried,
      ]),
    },
    ...lossesTable(trial),
  ];
}

function lossesTable(trial: Receipt["trial"]): Table[] {
  const rows = [
    ...(trial?.findings ?? []).map(({ id, message }) => [toned(id, "bad"), message]),
    ...(trial?.explained ?? []).map((line) => ["explained", line]),
    ...(trial?.definitions ?? []).map((line) => ["definition", line]),
  ];
  return rows.length === 0
    ? []
    : [{ caption: "What the trial changed", columns: [{ name: "Finding" }, { name: "What" }], rows }];
}

export function locksTable({ trial }: Receipt): Table[] {
  if (trial === null || trial.locks.length === 0) return [];
  return [
    {
      caption: "Strongest lock of the trial on each table",
      columns: [{ name: "Table" }, { name: "Lock" }, { name: "Held for ms", numeric: true }],
      rows: trial.locks.map(({ table, mode, milliseconds }) => [table, mode, count(milliseconds)]),
    },
  ];
}

const itemTones: Readonly<Record<CheckedItem["state"], Tone>> = {
  ...{ proven: "good", ticked: "good", open: "neutral", failed: "bad" },
};

export function checklistTable({ heading, items, obstacles }: CheckedList): Table {
  return {
    caption: heading,
    columns: [{ name: "Item" }, { name: "State" }, { name: "By what" }],
    rows: [
      ...items.map(({ words, state, detail }) => [words, toned(state, itemTones[state]), detail]),
      ...obstacles.map((line) => ["", toned("obstacle", "bad"), line]),
    ],
  };
}

/** @param links name, address, and where a browser shows it. */
export function linksTable(links: readonly (readonly [string, string, string | undefined])[]): Table {
  return {
    caption: "Where it lies",
    columns: [{ name: "What" }, { name: "Address" }],
    rows: links.map(([name, text, href]) => [name, { text, tone: "neutral", ...(href === undefined ? {} : { href }) }]),
  };
}

function toned(text: string, tone: Tone): Cell {
  return { text, tone };
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

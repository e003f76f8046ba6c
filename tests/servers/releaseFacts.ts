/** A release as its records tell it: gate, migrations, two platforms, a watch, and a verification that found rows missing. */
import type { Receipt } from "../../scripts/record/receipt";
import type { ReleaseNote } from "../../scripts/record/releaseNotes";
import type { ReleaseFacts } from "../../scripts/release/checklistEvidence";
import { receiptOf } from "./receipts";

const runId = "20260103T100000Z-r1";

/** Seconds after the gate began. */
const at = (second: number): string => new Date(Date.UTC(2026, 0, 3, 10, 0, second)).toISOString();

const receipt: Receipt = receiptOf({
  runId,
  releaseVersion: "v42",
  at: at(40),
  steps: [
    ...[
      ["freeze", 1],
      ["connection", 2],
      ["environment", 3],
      ["migrations", 4],
      ["backup", 20],
      ["verification", 10],
    ].map(([step, seconds]) => ({
      ...{
        step: String(step),
        outcome: "pass" as const,
        seconds: Number(seconds),
        summary: `${step} is as it must be`,
      },
      evidence: [`${step}: first line of evidence`, "<script>alert('a row')</script>"],
    })),
  ],
  migrations: [
    { file: "0007_archive.sql", sha256: "ab".repeat(32), findings: [] },
    { file: "0008_drop.sql", sha256: "cd".repeat(32), findings: [{ rule: "drop-column", reason: "destroys data" }] },
  ],
  trial: {
    files: [{ file: "0007_archive.sql", milliseconds: 12 }],
    locks: [{ table: "public.clients", mode: "AccessExclusiveLock", milliseconds: 8 }],
    findings: [{ id: "rows-lost:public.tasks", message: "1,204 rows of public.tasks are gone" }],
    explained: [],
    definitions: ["column public.clients.archived added"],
  },
  settings: { railway: { command: "railway up --ci" }, vercel: { command: "vercel deploy --prod" } },
  expectedRto: { seconds: 94, restores: 3 },
});

const event = (name: string, second: number, detail = "") => ({
  ...({ schemaVersion: 1, event: name, runId, releaseVersion: "v42", stack: "crm/test", receiptSha256: "" } as const),
  ...{ at: at(second), person: null, visibility: null, comparison: null, detail },
});

const table = (name: string, rowsBefore: number, missing = 0, added = 0) => ({
  ...{
    table: name,
    coverage: "content",
    rowsBefore,
    rowsNow: rowsBefore - missing + added,
    missing,
    changed: 0,
    added,
  },
  failure: missing > 0 ? `${missing} rows are missing` : null,
});

const note = (facts: Partial<ReleaseNote> & Pick<ReleaseNote, "kind">, second: number): ReleaseNote => ({
  ...({
    schemaVersion: 1,
    runId,
    ok: true,
    item: null,
    person: null,
    detail: "",
    latency: [],
    at: at(second),
  } as const),
  ...facts,
});

const points = Array.from({ length: 60 }, (_, place) => ({
  second: place * 2,
  milliseconds: place === 30 ? null : 20 + (place % 7) * 3 + (place > 45 ? 60 : 0),
  failures: place === 30 ? 2 : 0,
}));

export const damagedRelease: ReleaseFacts = {
  receipt,
  events: [
    event("gate-passed", 40),
    event("migrations-started", 45),
    event("migrations-live", 60),
    event("railway-started", 60),
    event("railway-live", 110),
    event("vercel-started", 110),
    event("vercel-live", 140),
    {
      ...event("verification-failed", 275, "public.tasks: 1,204 rows are missing"),
      comparison: {
        tables: [
          table("public.chat_messages", 240_000, 0, 31),
          table("public.clients", 20_000),
          table("public.tasks", 60_000, 1204),
        ],
        failures: ["sequence public.clients_id_seq fell from 20000 to 1"],
        explained: [],
        catalogChanges: ["column public.clients.archived added"],
      },
    },
  ],
  notes: [
    note(
      {
        ...{ kind: "watched", item: "health", detail: "2 of 60 requests failed" },
        latency: [{ url: "https://crm.example.com/api/health", usualMilliseconds: 24, points }],
      },
      262,
    ),
  ],
};

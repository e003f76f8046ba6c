/** Backups and what retention makes of them, as text for a person. */
import type { StoredBackup } from "../retention/inventory";
import type { PlannedBackup, RetentionPlan } from "../retention/plan";
import { describeSeconds } from "../verification/expectedRto";
import { renderTable } from "./table";

export interface ListedBackup extends StoredBackup {
  /** How long its restore will take, in seconds; null: nothing of this store was ever restored. */
  readonly expectedRtoSeconds: number | null;
  /** Which stores hold it complete, by their place in BACKUP_STORE, from 1. */
  readonly where: readonly number[];
}

/** @param now what ages are counted to. */
export function renderBackups(backups: readonly ListedBackup[], now: Date): string {
  if (backups.length === 0) return "no backup";
  return renderTable(backups, [
    { title: "NAME", value: ({ name }) => name },
    { title: "TIER", value: ({ tier }) => tier },
    { title: "AGE", value: ({ takenAt }) => ageOf(takenAt, now) },
    { title: "MB", value: ({ bytes }) => Number((bytes / 1e6).toFixed(1)) },
    { title: "DEPTH", value: ({ depth, state }) => (state === "incomplete" ? "-" : String(depth)) },
    {
      title: "RTO",
      value: ({ expectedRtoSeconds }) => (expectedRtoSeconds === null ? "-" : describeSeconds(expectedRtoSeconds)),
    },
    { title: "WHERE", value: ({ where }) => (where.length === 0 ? "-" : where.join(" ")) },
    { title: "NOTES", value: notesOn },
  ]);
}

function notesOn({ state, problem, suspect, lockedUntil, expiring, encrypted }: StoredBackup): string {
  const notes = [
    state === "incomplete" ? "incomplete: no manifest, so no backup" : "",
    problem === null ? "" : `damaged: ${problem}`,
    suspect ? "suspect" : "",
    encrypted ? "encrypted" : "",
    lockedUntil === null
      ? ""
      : lockedUntil === "forever"
        ? "legal hold"
        : `locked until ${lockedUntil.toISOString().slice(0, 16)}Z`,
    expiring ? "expires by tag" : "",
  ];
  return notes.filter((note) => note !== "").join("; ");
}

/** `14 d`, `3 h`, `12 min`: whole units, rounded down. */
function ageOf(takenAt: Date, now: Date): string {
  const minutes = Math.max(0, Math.floor((now.getTime() - takenAt.getTime()) / 60_000));
  if (minutes < 60) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} d`;
}

export function renderPlan(plan: RetentionPlan): string {
  const fates = [
    ...plan.remove.map((planned) => ({ ...planned, fate: "remove" })),
    ...plan.keep.map((planned) => ({ ...planned, fate: "keep" })),
  ].sort((a, b) => (a.backup.name < b.backup.name ? -1 : 1));
  return renderTable(fates, [
    { title: "BACKUP", value: ({ backup }) => backup.name },
    { title: "TIER", value: ({ backup }) => backup.tier },
    { title: "MB", value: ({ backup }) => Number((backup.bytes / 1e6).toFixed(1)) },
    { title: "PLAN", value: ({ fate }) => fate },
    { title: "BECAUSE", value: ({ why }: PlannedBackup) => why },
  ]);
}

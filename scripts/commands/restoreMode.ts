/** How a command restores over the live database, and the words for it before and after. */
import type { Manifest } from "../backup/manifest";
import { Refusal } from "../contract/failure";
import { type DatabaseIdentity, describeIdentity } from "../database/identity";
import type { DatabaseTarget } from "../database/target";
import type { RestoredLive } from "../incident/restoreLive";
import type { RestoreMode } from "../record/restoreEvents";
import { whyNoSwap } from "../restore/swapDatabases";

/** @throws Refusal where the live database cannot be renamed, and `inPlace` was not asked for. */
export async function chooseMode(live: DatabaseTarget, inPlace: boolean): Promise<RestoreMode> {
  if (inPlace) return "in-place";
  const why = await whyNoSwap(live);
  if (why === null) return "swap";
  throw new Refusal(`the live database cannot be renamed: ${why}`, {
    hint: "replace what is in it: --in-place",
  });
}

/** What is about to happen, for the question. */
export function describeMode(mode: RestoreMode, manifest: Manifest, live: DatabaseIdentity): string {
  const what = `${manifest.name} of ${describeIdentity(manifest.database)}, taken ${manifest.snapshot.takenAt}`;
  return describeModeOf(mode, what, "it is compared", live);
}

/** @param proof what is done before the live database is replaced. */
export function describeModeOf(mode: RestoreMode, what: string, proof: string, live: DatabaseIdentity): string {
  switch (mode) {
    case "swap":
      return `restores ${what},\nbeside ${describeIdentity(live)} and, once ${proof}, lets the two change places: sessions are ended, the old one stays under another name`;
    case "in-place":
      return `restores ${what},\nin place of what is in ${describeIdentity(live)}: in one transaction, during which the application waits`;
  }
}

export function describeRestoredLive(restored: RestoredLive, manifest: Manifest, live: DatabaseIdentity): string {
  const { rows, tables, seconds, aside, safetyBackup, tolerated, notes } = restored;
  const verdict = tolerated.length === 0 ? "verified" : `verified with ${tolerated.length} tolerated`;
  return [
    ...tolerated.map(({ what, message, why }) => `tolerated: ${what}: ${message}: ${why}`),
    ...notes.map((note) => `note: ${note}`),
    `restored: ${live.database} on ${live.host}:${live.port} is ${manifest.name}, ${rows} rows of ${tables} tables equal to the backup, in ${seconds.toFixed(1)} s: ${verdict}`,
    ...describeFormer({ aside, safetyBackup }),
  ].join("\n");
}

/** Where what was live before is to be found. */
export function describeFormer({ aside, safetyBackup }: Pick<RestoredLive, "aside" | "safetyBackup">): string[] {
  return [
    ...(aside === null ? [] : [`the former database is ${aside}: drop it when nothing of it is needed any more`]),
    ...(safetyBackup === null ? [] : [`what was live before is in backup ${safetyBackup}`]),
  ];
}

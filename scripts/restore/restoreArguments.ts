/** What a restore of archives is told, and how it calls pg_restore. */
import type { Manifest } from "../backup/manifest";
import type { DatabaseTarget } from "../database/target";
import type { Store } from "../store/store";

export interface ArchivesOptions {
  readonly store: Store;
  readonly manifest: Manifest;
  /** An empty database. */
  readonly target: DatabaseTarget;
  /** Of the client programs. */
  readonly binDir: string;
  /** Archives of rows that are read, and indexes that are built, at the same time. */
  readonly jobs: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
  /** Done while what needs the rows is made, from when all of them are in; not in one session, which has no meanwhile. */
  readonly meanwhile?: (signal: AbortSignal) => Promise<void>;
}

/** Another server need have neither the tablespaces nor what provides the labels (manifest.notRestored). */
export function restoreArguments({ target }: ArchivesOptions): string[] {
  return ["--no-password", "--no-tablespaces", "--no-security-labels", `--dbname=${target.database}`];
}

export const wholeOrNothing = ["--exit-on-error", "--single-transaction"] as const;

/** The judge together with the second opinion: what the gate, the trial's command and `migrations:lint` ask. */
import type { Catalog } from "./catalog";
import { type Judgement, type MigrationText, judgeMigrations } from "./judge";
import { askSquawk } from "./squawk";

/** As `judgeMigrations`. @throws UsageError when squawk is not there. */
export async function judgeTwice(files: readonly MigrationText[], catalog?: Catalog): Promise<Judgement> {
  return judgeMigrations(files, catalog, await askSquawk(files));
}

/**
 * Replaces what is in a database by a backup, where the database cannot be renamed: one transaction that drops what
 * belongs to the role, takes the archives, compares the result with the backup in the same session, and only then
 * commits. Killed at any moment, the old database is there.
 *
 * What the role does not own is the platform's (on hosted Supabase `auth` and `storage`): of it only rows are replaced,
 * its definitions stay as they are.
 */
import { PassThrough } from "node:stream";
import { demandIdentity } from "../backup/ageKeys";
import { copyBackStatement } from "../backup/copyRows";
import type { CopiedArchive, Manifest } from "../backup/manifest";
import { type Progress, startProgress } from "../backup/progress";
import { Refusal, Unavailable } from "../contract/failure";
import { withConnection } from "../database/connect";
import { applyDatabaseProperties } from "../database/databaseProperties";
import { readCapacity } from "../database/jobs";
import { findPostgres } from "../database/postgresPrograms";
import { PsqlSession } from "../database/psqlSession";
import { displayName, quoteLiteral, quoteName } from "../database/sqlText";
import { readScope } from "../database/supabasePreset";
import { listSequences } from "../database/tables";
import type { DatabaseTarget } from "../database/target";
import type { Queryable } from "../database/queryable";
import type { StatementSession } from "../database/writeGrants";
import { readCatalog } from "../fingerprint/catalog";
import type { CatalogItem, Fingerprint, TableFingerprint } from "../fingerprint/fingerprint";
import type { Store } from "../store/store";
import { readFingerprint } from "./compareCopy";
import { compareInPlace, everythingThere, readDefinitions } from "./inPlaceComparison";
import { type EntryRules, type Left, isRestoredInPlace, missingItem } from "./inPlaceEntries";
import { dropStatements, ownRoles, unlinkLargeObjects } from "./ownObjects";
import {
  type Strangers,
  creationRights,
  grantsTo,
  membershipOf,
  ownersOf,
  readStrangers,
  schemaOwnerStatements,
} from "./ownership";
import { demandNewEnough, findMissingRoles, roleStatements } from "./restoreBackup";
import { stageBackup } from "./stageBackup";
import { StagedArchive } from "./stagedArchive";
import type { TocEntry } from "./tableOfContents";
import { type Tolerated, findTolerance } from "./toleratedErrors";

export interface RestoreInPlaceOptions {
  readonly store: Store;
  readonly manifest: Manifest;
  /** The database whose contents are replaced. */
  readonly live: DatabaseTarget;
  /** Runs in the transaction, on what was compared already; whoever throws keeps everything as it was. */
  readonly beforeCommit?: (session: StatementSession) => Promise<void>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

export interface RestoredInPlace {
  readonly tables: number;
  readonly rows: number;
  /** What the server refused and the restore went on after. */
  readonly tolerated: readonly Tolerated[];
  /** What differs from the backup, for people. */
  readonly notes: readonly string[];
}

/**
 * @throws Damage when an archive differs from the manifest; Refusal when the server refuses a statement, the result
 *   differs from the backup, or something of the platform's would be lost; Unavailable when a table stays locked or the
 *   connection is lost. Nothing was changed then.
 */
export async function restoreInPlace(options: RestoreInPlaceOptions): Promise<RestoredInPlace> {
  const { store, manifest, live, signal, onProgress } = options;
  await demandIdentity(manifest.encryption?.recipients ?? [], `${manifest.name} is encrypted`);
  const { serverMajor } = await withConnection(live, readCapacity);
  demandNewEnough(manifest, serverMajor);
  const { binDir } = findPostgres({ atLeast: serverMajor, use: "client" });
  const fingerprint = await readFingerprint(store, manifest);
  const missingRoles = await findMissingRoles(live, manifest.roles);
  const staged = await stageBackup(store, manifest, options);
  try {
    const session = await PsqlSession.begin({
      ...{ target: live, binDir, serverMajor },
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      const archives = manifest.archives.map((archive) => new StagedArchive(staged, manifest, archive, binDir, signal));
      const replaced = await new Replacement(options, session, fingerprint, archives).run(missingRoles);
      await options.beforeCommit?.(statementsOf(session));
      signal?.throwIfAborted();
      await session.commit();
      onProgress?.("committed");
      const notes = await withConnection(live, (client) =>
        applyDatabaseProperties(client, manifest.databaseProperties),
      );
      return { ...replaced, notes: [...replaced.notes, ...notes] };
    } finally {
      await session.close();
    }
  } finally {
    await staged.close();
  }
}

/** Until the transaction ends. @throws Unavailable when another one has it. */
export async function holdInPlace(session: Queryable): Promise<void> {
  const { rows } = await session.query<{ held: boolean }>(
    "SELECT pg_try_advisory_xact_lock(hashtext('dbprotect'), hashtext('restore in place')) AS held",
  );
  if (rows[0]?.held !== true) throw new Unavailable("another run restores in place of this database: wait for its end");
}

/** The session of psql as whoever changes rights knows one. */
export function statementsOf(session: PsqlSession): StatementSession {
  return {
    query: (text, values) => session.query(text, values),
    run: (statements) => session.send(`${statements};\n`),
  };
}

/** The transaction. */
class Replacement {
  readonly #tolerated: Tolerated[] = [];
  /** What was tolerated, as the backup's catalog has it. */
  readonly #refused: CatalogItem[] = [];
  #strangers: Strangers = { user: "", serverMajor: 0, granted: [], left: [] };

  constructor(
    private readonly options: RestoreInPlaceOptions,
    private readonly session: PsqlSession,
    private readonly fingerprint: Fingerprint,
    private readonly archives: readonly StagedArchive[],
  ) {}

  /** @throws Refusal when the result is not what the backup holds: the caller must not commit. */
  async run(missingRoles: readonly string[]): Promise<RestoredInPlace> {
    const { manifest, signal, onProgress } = this.options;
    const { session, fingerprint } = this;
    await holdInPlace(session);
    const before = await readDefinitions(session);
    const roles = await ownRoles(session);
    const knownRoles = [...new Set([...manifest.roles, ...roles])];
    const entries = await this.#entries();
    const strangers = await readStrangers(session, ownersOf(entries, knownRoles, before.platform));
    this.#strangers = strangers;
    const own = [...roles, ...missingRoles, ...strangers.granted];
    onProgress?.("dropping what is replaced");
    await this.#drop([
      ...(await roleStatements(session, this.options.live, missingRoles)),
      ...strangers.granted.map((role) => membershipOf(role, strangers.serverMajor)),
    ]);
    await this.#send(await schemaOwnerStatements(session, entries, { roles: knownRoles, own }));
    const left = await this.#readLeft();
    await this.#restore({ left, ownRoles: own, knownRoles }).catch((error: unknown) => {
      throw this.#explained(error);
    });
    await session.pin();
    onProgress?.("comparing with the backup, before anything is committed");
    const { differences, notes } = await compareInPlace(session, fingerprint, before, {
      refused: this.#refused,
      signal,
    });
    if (differences.length > 0)
      throw new Refusal(`the result would differ from ${manifest.name}: ${differences[0]}; nothing was changed`, {
        details: differences,
        ...this.#hint(),
      });
    return {
      tables: fingerprint.tables.length,
      rows: fingerprint.tables.reduce((sum, table) => sum + table.rows, 0),
      tolerated: this.#tolerated,
      notes: [
        ...notes,
        ...strangers.granted.map(
          (role) => `role ${strangers.user} is a member of ${role} now, which owns objects of the backup`,
        ),
      ],
    };
  }

  /** For a refusal: what might have gone well as a member of more roles. */
  #hint(): { hint?: string } {
    const { left } = this.#strangers;
    if (left.length === 0) return {};
    return {
      hint: `what belongs to ${left.join(", ")} was left as it is; to replace that too, as a role that may: ${grantsTo(this.#strangers, left)}`,
    };
  }

  /** What belongs to others may be what a statement misses. */
  #explained(error: unknown): unknown {
    if (!(error instanceof Refusal) || error.hint !== undefined || this.#strangers.left.length === 0) return error;
    return new Refusal(error.message, { cause: error, details: error.details, ...this.#hint() });
  }

  async #entries(): Promise<TocEntry[]> {
    const entries: TocEntry[] = [];
    for (const staged of this.archives)
      if (staged.archive.format === "custom") entries.push(...(await staged.contents()));
    return entries;
  }

  async #send(statements: readonly string[]): Promise<void> {
    if (statements.length > 0) await this.session.send(statements.map((line) => `${line};\n`).join(""));
  }

  /** @param roles statements that run first: they make the owners of what comes back. */
  async #drop(roles: readonly string[]): Promise<void> {
    const statements = await dropStatements(this.session, {
      scope: await readScope(this.session),
      extensions: this.options.manifest.extensions.map(({ name }) => name),
      schemas: this.fingerprint.catalog.flatMap(({ kind, name }) => (kind === "schema" ? [name] : [])),
    });
    await this.#send([...roles, ...statements, unlinkLargeObjects]);
  }

  async #readLeft(): Promise<Left & { tables: readonly TableFingerprint[] }> {
    const { rows } = await this.session.query<{ kind: string; name: string }>(
      `SELECT 'schema' AS kind, nspname::text AS name FROM pg_namespace
       UNION ALL SELECT 'extension', extname::text FROM pg_extension
       UNION ALL SELECT 'extension-table', n.nspname || ' ' || c.relname
                   FROM pg_extension e JOIN pg_class c ON c.oid = ANY (e.extconfig) JOIN pg_namespace n ON n.oid = c.relnamespace
       UNION ALL SELECT 'table', n.nspname || '.' || c.relname
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'`,
    );
    const namesOf = (kind: string): Set<string> =>
      new Set(rows.filter((row) => row.kind === kind).map(({ name }) => name));
    const tables = namesOf("table");
    return {
      schemas: namesOf("schema"),
      extensions: namesOf("extension"),
      extensionTables: namesOf("extension-table"),
      catalog: await readCatalog(this.session, everythingThere),
      tables: this.fingerprint.tables.filter((table) => tables.has(displayName(table))),
    };
  }

  async #restore(rules: EntryRules & { left: { tables: readonly TableFingerprint[] } }): Promise<void> {
    const { manifest, signal, onProgress } = this.options;
    const bytes = manifest.archives.reduce((sum, archive) => sum + archive.uncompressedBytes, 0);
    const progress = startProgress("restored", bytes, onProgress);
    const { tables } = rules.left;
    try {
      for (const section of ["pre-data", "data", "post-data"] as const) {
        if (section === "data" && tables.length > 0) await this.#emptyTables(tables);
        for (const staged of this.archives.filter(({ archive }) => archive.section === section)) {
          signal?.throwIfAborted();
          const { archive } = staged;
          if (archive.format === "copy") await this.#feedRows(staged, archive, progress);
          else await this.#feedScript(staged, rules, progress);
          onProgress?.(`${archive.file} restored, not committed yet`);
        }
        if (section === "data" && tables.length > 0) await this.session.send("RESET session_replication_role;\n");
        if (section === "data") await this.#moveSequencesOn();
      }
    } finally {
      progress.end();
    }
  }

  /**
   * Tables that are the platform's. Triggers and foreign keys are off until all rows are there: those of the platform
   * would fire. DELETE, for TRUNCATE is refused where a table that is not restored refers to one that is.
   */
  async #emptyTables(tables: readonly TableFingerprint[]): Promise<void> {
    await this.session.pin();
    const failure = await this.session.attempt("SET session_replication_role = replica");
    if (failure !== undefined)
      throw new Refusal(
        `rows of tables that belong to others are replaced with their triggers off: ${failure.message}; nothing was changed: ${tables.map(displayName).join(", ")}`,
      );
    for (const table of tables) await this.session.send(`DELETE FROM ONLY ${quoteName(table)};\n`);
  }

  /**
   * Sequences that are the platform's are only ever moved on: moving one outlives a transaction that is rolled back, and
   * one that falls back gives a number out twice.
   */
  async #moveSequencesOn(): Promise<void> {
    await this.session.pin();
    const states = new Map((await listSequences(this.session)).map((state) => [displayName(state), state.lastValue]));
    for (const wanted of this.fingerprint.sequences) {
      const now = states.get(displayName(wanted));
      if (now === undefined || wanted.lastValue === null) continue;
      const isBehind = now === null || (BigInt(wanted.lastValue) - BigInt(now)) * BigInt(wanted.increment) > 0n;
      if (isBehind)
        await this.session.send(`SELECT setval(${quoteLiteral(quoteName(wanted))}, ${wanted.lastValue});\n`);
    }
  }

  async #feedRows(staged: StagedArchive, archive: CopiedArchive, progress: Progress): Promise<void> {
    const { manifest, signal } = this.options;
    const table = { schema: archive.schema, name: archive.table };
    const statement = copyBackStatement(table, archive.columns, manifest.encoding);
    const rows = new PassThrough();
    const onBytes = (bytes: number): void => progress.add(bytes);
    await staged.bytes(rows, () =>
      this.session.sendAll(rows, {
        ...{ before: `${statement};\n`, after: "\\.\n", onBytes },
        ...(signal === undefined ? {} : { signal }),
      }),
    );
  }

  /** What the role cannot make, and is missing, is tried on its own: some of it may fail (toleratedErrors.ts). */
  async #feedScript(staged: StagedArchive, rules: EntryRules, progress: Progress): Promise<void> {
    const entries = await staged.contents();
    const chosen = entries.filter((entry) => isRestoredInPlace(entry, rules));
    await this.#feedEntries(staged, chosen, rules, progress);
    const others = entries.filter((entry) => !chosen.includes(entry));
    for (const entry of others) {
      const item = missingItem(entry, this.fingerprint, rules.left);
      if (item === undefined) continue;
      const failure = await this.session.attempt(await staged.statementsOf([entry]));
      if (failure === undefined) continue;
      const what = `${entry.kind} ${entry.rest}`.trimEnd();
      const tolerance = findTolerance(entry, failure.sqlstate);
      if (tolerance === undefined)
        throw new Refusal(`the server refuses ${what}: ${failure.message} (${failure.sqlstate}); nothing was changed`);
      this.#tolerated.push({ what, ...failure, why: tolerance.why });
      this.#refused.push(item);
    }
  }

  /** Schemas first, where there are any; then what is in schemas, by owners who may create there; then rights. */
  async #feedEntries(
    staged: StagedArchive,
    chosen: readonly TocEntry[],
    rules: EntryRules,
    progress: Progress,
  ): Promise<void> {
    const isSchema = ({ kind }: TocEntry): boolean => kind === "SCHEMA";
    const isRight = ({ kind }: TocEntry): boolean => kind === "ACL" || kind === "DEFAULT ACL";
    const schemas = chosen.filter(isSchema);
    const others = chosen.filter((entry) => !isSchema(entry));
    if (schemas.length > 0) await this.#feed(staged, schemas, progress);
    // The names in what is sent next are in our encoding, not in the archive's.
    await this.session.pin();
    const { give, take } = await creationRights(this.session, others, rules.knownRoles);
    if (give.length === 0) return this.#feed(staged, others, progress);
    await this.#send(give);
    await this.#feed(
      staged,
      others.filter((entry) => !isRight(entry)),
      progress,
    );
    await this.session.pin();
    await this.#send(take);
    await this.#feed(staged, others.filter(isRight), progress);
  }

  async #feed(staged: StagedArchive, entries: readonly TocEntry[], progress: Progress): Promise<void> {
    const { signal } = this.options;
    const onBytes = (bytes: number): void => progress.add(bytes);
    await staged.script(entries, (script) =>
      this.session.sendAll(script, { onBytes, ...(signal === undefined ? {} : { signal }) }),
    );
  }
}

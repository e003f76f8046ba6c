/** From what a comparison found to what will be written: chooses, checks what can be checked, and stages the rows. */
import type { Client } from "pg";
import { Refusal, UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import { majorOf } from "../database/identity";
import { type QualifiedName, displayName } from "../database/sqlText";
import { listSequences } from "../database/tables";
import { type DatabaseTarget, describeTarget } from "../database/target";
import { differingBuckets, sequenceRegressions } from "../fingerprint/compare";
import { hashTable } from "../fingerprint/compute";
import type { Fingerprint, TableFingerprint } from "../fingerprint/fingerprint";
import { findRowDifferences } from "../fingerprint/rowDifferences";
import type { Receipt } from "../record/receipt";
import { readEvents } from "../record/releaseEvents";
import type { Store } from "../store/store";
import type { LiveComparison } from "../verification/liveComparison";
import { MovedRows } from "../verification/movedRows";
import { parentsFirst } from "./foreignKeyOrder";
import type { Finding, FoundRows } from "./foundRows";
import { type LiveTable, readLiveTables } from "./liveTables";
import type { ColumnRepair, RepairPlan, RowRepair, SequenceRepair } from "./plan";
import { leftAloneQuery, narrowColumns, stagingTable } from "./script";

export interface PlanInput {
  readonly store: Store;
  readonly receipt: Pick<Receipt, "runId" | "releaseVersion" | "backup">;
  readonly loss: string;
  /** Default: what the first verification of the receipt saw. */
  readonly boundary: string | undefined;
  readonly live: DatabaseTarget;
  readonly fingerprint: Fingerprint;
  readonly comparison: LiveComparison;
  readonly tables?: readonly string[];
  readonly columns: Readonly<Record<string, readonly string[]>>;
  /** The session that will write: staged rows lie in its temporary tables. */
  readonly session: Client;
  readonly found: FoundRows;
  readonly copy: () => Promise<DatabaseTarget>;
  readonly onProgress: (line: string) => void;
}

/** Keys of rows that were written later, shown of each table. */
const shownLeftAlone = 20;

/**
 * @throws UsageError for a table or column that cannot be meant; Refusal when the role may not write, or the release
 *   added a column that nothing can fill.
 */
export async function makePlan(input: PlanInput): Promise<RepairPlan> {
  const { fingerprint, session, receipt } = input;
  for (const name of [...(input.tables ?? []), ...Object.keys(input.columns)]) demandKnown(name, fingerprint);
  const live = await readLiveTables(session, fingerprint.tables);
  const server = await readServer(session);
  const planner = new Planner(input, live, server.encoding);
  const boundary = Object.keys(input.columns).length === 0 ? null : (input.boundary ?? (await readBoundary(input)));
  const rows = await planner.rowRepairs();
  const columns = boundary === null ? [] : await planner.columnRepairs(boundary);
  const cleared = await clearedColumns(input, live, rows);
  const { sequences, settled } = await planSequences(input);
  return {
    loss: input.loss,
    runId: receipt.runId,
    releaseVersion: receipt.releaseVersion,
    backup: receipt.backup.name,
    database: describeTarget(input.live),
    ...server,
    groups: parentsFirst(rows, (repair) => rows.filter(({ table }) => needs(repair.table, table))),
    columns,
    boundary,
    sequences,
    unrecoverable: [
      ...unrecoverableRows(input, live),
      ...cleared,
      ...input.comparison.failures.filter((failure) => !settled.includes(failure)),
    ],
  };
}

function demandKnown(name: string, fingerprint: Fingerprint): void {
  if (fingerprint.tables.some((table) => displayName(table) === name)) return;
  throw new UsageError(
    `the backup holds no table ${name}: expected <schema>.<table> as db:verify:post-deploy names it`,
  );
}

function needs(child: LiveTable, parent: LiveTable): boolean {
  return child.foreignKeys.some(({ holders }) => holders.includes(parent.oid));
}

async function readServer(session: Client): Promise<{ encoding: string; serverMajor: number }> {
  const { rows } = await session.query<{ encoding: string; version: number }>(
    `SELECT pg_encoding_to_char(encoding) AS encoding, current_setting('server_version_num')::int AS version
       FROM pg_database WHERE datname = current_database()`,
  );
  return { encoding: rows[0]!.encoding, serverMajor: majorOf(rows[0]!.version) };
}

/** What the first verification of the release saw: whatever was written later is nobody's damage. */
async function readBoundary({ store, receipt }: PlanInput): Promise<string> {
  const boundary = (await readEvents(store, receipt.runId)).find(({ visibility }) => visibility !== null)?.visibility;
  if (boundary !== undefined && boundary !== null) return boundary;
  throw new Refusal(
    `no verification of receipt ${receipt.runId} has run: what the release changed cannot be told from what came later`,
    { hint: "run it first: npm run db:verify:post-deploy" },
  );
}

function goneColumns(table: TableFingerprint, live: LiveTable): string[] {
  return table.columns.filter((column) => !live.columns.some(({ name }) => name === column));
}

class Planner {
  private staged = 0;

  constructor(
    private readonly input: PlanInput,
    private readonly live: ReadonlyMap<string, LiveTable>,
    private readonly encoding: string,
  ) {}

  async rowRepairs(): Promise<RowRepair[]> {
    const { found, fingerprint } = this.input;
    const repairs: RowRepair[] = [];
    const problems: string[] = [];
    for (const table of fingerprint.tables) {
      const name = displayName(table);
      const live = this.live.get(name);
      if (live === undefined || !this.isWanted(name)) continue;
      if (goneColumns(table, live).length > 0) await this.findWithout(table, goneColumns(table, live));
      if (found.count(name, "missing") === 0) continue;
      problems.push(...problemsOf(table, live));
      const staged = table.columns.filter((column) => live.columns.some((other) => other.name === column));
      const written = staged.filter(
        (column) => !live.columns.some((other) => other.name === column && other.generated),
      );
      if (problems.length === 0) repairs.push(await this.stage(table, live, "missing", { staged, written }));
    }
    if (problems.length === 0) return repairs;
    throw new Refusal("nothing was changed: these rows cannot be put back with this role, or as the tables are now", {
      details: problems,
    });
  }

  async columnRepairs(boundary: string): Promise<ColumnRepair[]> {
    const repairs: ColumnRepair[] = [];
    for (const [name, columns] of Object.entries(this.input.columns)) {
      const table = this.input.fingerprint.tables.find((candidate) => displayName(candidate) === name)!;
      const live = this.live.get(name);
      if (live === undefined) throw new UsageError(`--columns ${name}: the table is gone`);
      demandRepairable(table, live, columns);
      if (goneColumns(table, live).length > 0 && !this.isWanted(name))
        await this.findWithout(table, goneColumns(table, live));
      if (this.input.found.count(name, "changed") === 0) continue;
      if (!live.owned) throw new Refusal(`nothing was changed: ${notOwned(live)}`);
      const written = [...new Set(columns)];
      const staged = await this.stage(table, live, "changed", { staged: [...table.key, ...written], written });
      repairs.push(await this.narrowed({ ...staged, leftAlone: 0, leftAloneKeys: [] }, boundary));
    }
    return repairs;
  }

  private isWanted(name: string): boolean {
    const { tables, comparison } = this.input;
    return tables?.includes(name) ?? comparison.tables.some(({ table, failure }) => table === name && failure !== null);
  }

  /** The comparison stops at a table that lacks columns; its rows are told apart by those that are left. */
  private async findWithout(table: TableFingerprint, gone: readonly string[]): Promise<void> {
    if (table.key.some((column) => gone.includes(column))) return;
    const { session, found, copy } = this.input;
    const name = displayName(table);
    const left = { ...table, columns: table.columns.filter((column) => !gone.includes(column)) };
    const findings: Finding[] = name in this.input.columns ? ["missing", "changed"] : ["missing"];
    const listener = found.listener(name, findings);
    const onMissing = (key: string, place: string): void | Promise<void> => listener.onMissing?.(key, place);
    const root = this.live.get(name)?.root ?? null;
    const from = await copy();
    await withConnection(from, async (original) => {
      const buckets = differingBuckets(await hashTable(original, left), await hashTable(session, left));
      await this.withLookups(from, async (sides) => {
        const moves = root === null ? undefined : await MovedRows.of(sides, root, table.key, onMissing);
        await findRowDifferences(original, session, left, buckets, {
          ...listener,
          onMissing: (key, place) => (moves === undefined ? onMissing(key, place) : moves.add(key, place)),
        });
        await moves?.flush();
      });
    });
  }

  /** Sessions for questions while rows stream through the first ones. */
  private withLookups(
    copy: DatabaseTarget,
    work: (sides: { original: Client; live: Client }) => Promise<void>,
  ): Promise<void> {
    return withConnection(copy, (original) => withConnection(this.input.live, (live) => work({ original, live })));
  }

  private async stage(
    table: TableFingerprint,
    live: LiveTable,
    finding: Finding,
    columns: Pick<RowRepair, "staged" | "written">,
  ): Promise<RowRepair> {
    const { session, found, onProgress } = this.input;
    const name = displayName(table);
    const rows = found.count(name, finding);
    const repair = { table: live, key: table.key, staging: `repair_${++this.staged}`, ...columns, rows };
    await session.query(stagingTable(repair, "keep"));
    const staged = await found.stage(repair, finding, session, { name, encoding: this.encoding });
    if (staged !== rows) throw new Error(`${name}: ${rows} rows were found in the copy, ${staged} were read`);
    await session.query(`ANALYZE pg_temp.${repair.staging}`);
    onProgress(`${rows} ${finding} row${rows === 1 ? "" : "s"} of ${name} read from the copy`);
    return repair;
  }

  /** Leaves staged what is to be written: rows with other values in these columns, as the release left them. */
  private async narrowed(repair: ColumnRepair, boundary: string): Promise<ColumnRepair> {
    const { session } = this.input;
    const later = await session.query<{ row_key: string; all: string }>(
      `SELECT q.row_key, count(*) OVER ()::text AS all FROM (${leftAloneQuery(repair, boundary)}) q LIMIT ${shownLeftAlone}`,
    );
    const { rowCount } = await session.query(narrowColumns(repair, boundary));
    return {
      ...repair,
      rows: repair.rows - (rowCount ?? 0),
      leftAlone: Number(later.rows[0]?.all ?? 0),
      leftAloneKeys: later.rows.map(({ row_key }) => row_key),
    };
  }
}

function problemsOf(table: TableFingerprint, live: LiveTable): string[] {
  const unfilled = live.columns.filter(({ name, required }) => required && !table.columns.includes(name));
  return [
    ...(live.owned ? [] : [notOwned(live)]),
    ...unfilled.map(
      ({ name }) => `${displayName(table)}: column ${name}, which the release added, takes no NULL and has no default`,
    ),
  ];
}

function notOwned(object: QualifiedName & { readonly owner: string }): string {
  return `${displayName(object)} belongs to ${object.owner}: DATABASE_URL must name a role with its rights`;
}

/** @throws UsageError naming the column and why it cannot get its former values. */
function demandRepairable(table: TableFingerprint, live: LiveTable, columns: readonly string[]): void {
  const name = displayName(table);
  if (table.key.length === 0)
    throw new UsageError(`--columns ${name}: the table has no key, so a changed row cannot be told from a missing one`);
  for (const column of columns) {
    const now = live.columns.find((candidate) => candidate.name === column);
    const why = !table.columns.includes(column)
      ? "the backup has no such column"
      : now === undefined
        ? "the column is gone"
        : now.generated || now.identityAlways
          ? "the database computes it"
          : table.key.includes(column)
            ? "it is of the table's key"
            : undefined;
    if (why !== undefined) throw new UsageError(`--columns ${name}: found ${column}: ${why}`);
  }
}

/** `settled`: the comparison's own words for those that will stand where they stood. */
async function planSequences(input: PlanInput): Promise<{ sequences: SequenceRepair[]; settled: string[] }> {
  const now = await listSequences(input.session);
  const sequences: SequenceRepair[] = [];
  const settled: string[] = [];
  for (const before of input.fingerprint.sequences) {
    const is = now.find((sequence) => displayName(sequence) === displayName(before));
    const regressions = sequenceRegressions([before], now);
    if (is === undefined || before.lastValue === null || regressions.length === 0) continue;
    await demandOwned(input.session, is);
    sequences.push({ schema: is.schema, name: is.name, to: before.lastValue, increment: is.increment });
    settled.push(...regressions);
  }
  return { sequences, settled };
}

async function demandOwned(session: Client, sequence: QualifiedName): Promise<void> {
  const { rows } = await session.query<{ owner: string; owned: boolean }>(
    `SELECT pg_get_userbyid(c.relowner) AS owner, pg_has_role(c.relowner, 'USAGE') AS owned
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
    [sequence.schema, sequence.name],
  );
  const found = rows[0];
  if (found !== undefined && !found.owned)
    throw new Refusal(`nothing was changed: ${notOwned({ ...sequence, owner: found.owner })}`);
}

/** What the deletion of rows that are put back has set in rows that are still there (`ON DELETE SET NULL`). */
async function clearedColumns(
  { fingerprint, comparison, columns, found }: PlanInput,
  live: ReadonlyMap<string, LiveTable>,
  repairs: readonly RowRepair[],
): Promise<string[]> {
  const lines: string[] = [];
  for (const child of fingerprint.tables) {
    const name = displayName(child);
    if (!comparison.tables.some(({ table, changed }) => table === name && changed > 0)) continue;
    for (const key of live.get(name)?.foreignKeys ?? []) {
      const cleared = key.cleared.filter((column) => columns[name]?.includes(column) !== true);
      if (cleared.length === 0 || !key.columns.every((column) => child.columns.includes(column))) continue;
      const parents = repairs.filter(({ table }) => key.holders.includes(table.oid));
      let rows = 0;
      for (const { table } of parents) rows += await found.countReferring(child, key, table);
      if (rows > 0)
        lines.push(
          `${name}: ${rows} row(s) referred to rows of ${displayName(key.parent)} that are put back, and lost that with them (foreign key ${key.name}): --columns ${name}:${cleared.join(",")}`,
        );
    }
  }
  return lines;
}

function unrecoverableRows(
  { fingerprint, comparison, columns }: PlanInput,
  live: ReadonlyMap<string, LiveTable>,
): string[] {
  return fingerprint.tables.flatMap((table) => {
    const name = displayName(table);
    const now = live.get(name);
    if (now === undefined) return [`${name}: the table is gone, with ${table.rows} row(s): db:restore has it`];
    const gone = goneColumns(table, now);
    const compared = comparison.tables.find((candidate) => candidate.table === name);
    const unkeyed = table.key.some((column) => gone.includes(column))
      ? ", and with them the key: its rows cannot be told apart"
      : "";
    if (gone.length > 0) return [`${name}: column(s) ${gone.join(", ")} are gone${unkeyed}: db:restore has them`];
    return compared !== undefined && compared.failure !== null && compared.missing === 0 && !(name in columns)
      ? [`${name}: ${compared.failure}: name the columns that get their former values: --columns ${name}:<column>`]
      : [];
  });
}

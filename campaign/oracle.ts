/**
 * What must be in the database, kept outside of it: every committed change with the id of its transaction. So it can be told what
 * any snapshot holds, row by row, without asking anything that this project computes.
 */

/** A row's key and its other columns, both as PostgreSQL writes them; content null: the row is gone. */
export interface Change {
  readonly table: string;
  readonly key: string;
  readonly content: string | null;
}

interface Committed {
  readonly content: string | null;
  /** `pg_current_xact_id()`. */
  readonly xid: bigint;
  /** The database by its oid: a restored one takes the name of the one before. */
  readonly database: string;
}

/** Contents by key, by table. */
export type Rows = ReadonlyMap<string, ReadonlyMap<string, string>>;

export class Oracle {
  /** By table and key, in the order of the transactions: whoever changes a row waits for the one before. */
  private readonly histories = new Map<string, Map<string, Committed[]>>();
  /** Transactions whose COMMIT got no answer, until the server is asked; with when that was noticed. */
  private readonly doubtful = new Map<
    bigint,
    { readonly changes: readonly Change[]; readonly database: string; readonly noticed: Date }
  >();

  constructor(readonly tables: readonly string[]) {
    for (const table of tables) this.histories.set(table, new Map());
  }

  record(changes: readonly Change[], xid: bigint, database: string): void {
    for (const { table, key, content } of changes) {
      if (!this.histories.has(table)) continue;
      const history = this.historyOf(table, key);
      history.push({ content, xid, database });
      history.sort((a, b) => (a.xid < b.xid ? -1 : a.xid > b.xid ? 1 : 0));
    }
  }

  /** The connection broke while it was committing. */
  doubt(changes: readonly Change[], xid: bigint, database: string): void {
    this.doubtful.set(xid, { changes, database, noticed: new Date() });
  }

  /**
   * A server that crashed gives the id of a transaction of which nothing was written down to another one: what was
   * committed later is not what was in doubt.
   *
   * @param committed asks the server when it was; undefined: it was not.
   */
  async settle(committed: (xid: bigint) => Promise<Date | undefined>): Promise<void> {
    for (const [xid, { changes, database, noticed }] of this.doubtful) {
      const at = await committed(xid);
      if (at !== undefined && at <= noticed) this.record(changes, xid, database);
      this.doubtful.delete(xid);
    }
  }

  /** The rows that a snapshot shows. @param visibility `pg_current_snapshot()` as text: `xmin:xmax:running`. */
  at(visibility: string): Rows {
    const sees = visibilityOf(visibility);
    return this.select((history) => history.findLast(({ xid }) => sees(xid))?.content ?? null);
  }

  /** The rows that are committed. */
  now(): Rows {
    return this.select((history) => history.at(-1)?.content ?? null);
  }

  /** The rows that are committed in one database, also where another one bears its name by now. */
  inDatabase(database: string): Rows {
    return this.select((history) => history.findLast((change) => change.database === database)?.content ?? null);
  }

  /** Tables that are not there are nobody's loss any more. */
  forget(found: Rows): void {
    for (const table of [...this.histories.keys()]) if (!found.has(table)) this.histories.delete(table);
  }

  /** Lost rows of the snapshot were put back as it shows them. @param mayGo tables from which people delete rows themselves. */
  putBack(visibility: string, mayGo: readonly string[]): void {
    for (const [table, rows] of this.at(visibility)) {
      if (mayGo.includes(table)) continue;
      for (const [key, content] of rows) {
        const history = this.historyOf(table, key);
        const last = history.at(-1);
        if (last?.content === null) history.push({ ...last, content });
      }
    }
  }

  /** The snapshot took the place of everything; changes in the database that it was restored into follow it. */
  restored(visibility: string, into: string, isNew: boolean): void {
    const before = this.at(visibility);
    for (const [table, keys] of this.histories) {
      for (const [key, history] of keys) {
        const content = before.get(table)?.get(key) ?? null;
        const since = isNew ? history.filter(({ database }) => database === into) : [];
        keys.set(key, [{ content, xid: 0n, database: into }, ...since]);
      }
    }
  }

  private historyOf(table: string, key: string): Committed[] {
    const keys = this.histories.get(table);
    if (keys === undefined) throw new Error(`the oracle knows no table ${table}`);
    const history = keys.get(key) ?? [];
    keys.set(key, history);
    return history;
  }

  private select(contentOf: (history: readonly Committed[]) => string | null): Rows {
    return new Map(
      [...this.histories].map(([table, keys]) => [
        table,
        new Map(
          [...keys].flatMap(([key, history]): [string, string][] => {
            const content = contentOf(history);
            return content === null ? [] : [[key, content]];
          }),
        ),
      ]),
    );
  }
}

function visibilityOf(text: string): (xid: bigint) => boolean {
  const [least, most, running = ""] = text.split(":");
  if (least === undefined || most === undefined) throw new Error(`not a snapshot: ${text}`);
  const open = new Set(
    running
      .split(",")
      .filter((id) => id !== "")
      .map(BigInt),
  );
  return (xid) => xid < BigInt(least) || (xid < BigInt(most) && !open.has(xid));
}

/** What differs, in words; empty: nothing. @param exactly whether rows that nobody expects count too. */
export function differences(expected: Rows, found: Rows, exactly: boolean): string[] {
  return [...expected].flatMap(([table, rows]) => {
    const there = found.get(table);
    if (there === undefined) return [`${table}: the table is not there`];
    const missing = [...rows.keys()].filter((key) => !there.has(key));
    const other = [...rows]
      .filter(([key, content]) => there.has(key) && there.get(key) !== content)
      .map(([key]) => key);
    const surplus = exactly ? [...there.keys()].filter((key) => !rows.has(key)) : [];
    return [
      ...(missing.length > 0
        ? [`${table}: ${missing.length} rows are missing: ${missing.slice(0, 5).join(", ")}`]
        : []),
      ...(exactly && other.length > 0
        ? [`${table}: ${other.length} rows differ: ${other.slice(0, 5).join(", ")}`]
        : []),
      ...(surplus.length > 0 ? [`${table}: ${surplus.length} rows too many: ${surplus.slice(0, 5).join(", ")}`] : []),
    ];
  });
}

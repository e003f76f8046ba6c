/**
 * Which locks on tables a session holds, and for how long: a second session looks every few milliseconds, and the watched
 * one itself once before each COMMIT, where it holds everything that it took in that transaction.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";

export interface HeldLock {
  /** `schema.table`. */
  readonly table: string;
  /** As LOCK TABLE names it: `ACCESS EXCLUSIVE`. */
  readonly mode: string;
  readonly milliseconds: number;
}

/** PostgreSQL manual, "13.3.1 Table-Level Locks": weakest first. Readers' ACCESS SHARE conflicts with nothing but DDL. */
const modes: Readonly<Record<string, string>> = {
  RowShareLock: "ROW SHARE",
  RowExclusiveLock: "ROW EXCLUSIVE",
  ShareUpdateExclusiveLock: "SHARE UPDATE EXCLUSIVE",
  ShareLock: "SHARE",
  ShareRowExclusiveLock: "SHARE ROW EXCLUSIVE",
  ExclusiveLock: "EXCLUSIVE",
  AccessExclusiveLock: "ACCESS EXCLUSIVE",
};

const strength = (mode: string): number => Object.keys(modes).indexOf(mode);

const samplingMilliseconds = 10;

/** Tables that existed before: nobody can be kept waiting by a lock on one that is being made. */
const tablesQuery = `
  SELECT c.oid::text AS oid, n.nspname || '.' || c.relname AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`;

const locksQuery = `
  SELECT l.relation::text AS oid, l.mode
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
   WHERE l.locktype = 'relation' AND l.granted AND l.pid = $1 AND d.datname = pg_catalog.current_database()`;

export class LockWatch {
  /** By table and mode: since when it is held without a break. */
  readonly #open = new Map<string, { oid: string; mode: string; since: number }>();
  readonly #longest = new Map<string, { oid: string; mode: string; milliseconds: number }>();
  #lastLook = performance.now();
  #watching = true;
  #watch: Promise<void> = Promise.resolve();

  private constructor(
    private readonly tables: ReadonlyMap<string, string>,
    private readonly watched: Client,
    private readonly pid: number,
  ) {}

  /** @param watcher a session of its own on the same database, of a role that sees the locks of `watched`. */
  static async start(watched: Client, watcher: Client): Promise<LockWatch> {
    const { rows: tables } = await watcher.query<{ oid: string; name: string }>(tablesQuery);
    const { rows } = await watched.query<{ pid: number }>("SELECT pg_catalog.pg_backend_pid() AS pid");
    const watch = new LockWatch(new Map(tables.map(({ oid, name }) => [oid, name])), watched, rows[0]!.pid);
    watch.#watch = watch.#sample(watcher);
    watch.#watch.catch(() => undefined); // told by `stop`
    return watch;
  }

  /** Inside a transaction of the watched session, at its end. */
  async beforeCommit(): Promise<void> {
    this.#take(await this.#look(this.watched));
  }

  /** The transaction has ended: nothing of it is held any more. */
  ended(): void {
    this.#take([]);
  }

  /** Per table the strongest lock, strongest first. */
  async stop(): Promise<HeldLock[]> {
    this.#watching = false;
    await this.#watch;
    this.ended();
    const strongest = new Map<string, { oid: string; mode: string; milliseconds: number }>();
    for (const lock of this.#longest.values()) {
      const other = strongest.get(lock.oid);
      if (other === undefined || strength(lock.mode) > strength(other.mode)) strongest.set(lock.oid, lock);
    }
    return [...strongest.values()]
      .sort((a, b) => strength(b.mode) - strength(a.mode) || b.milliseconds - a.milliseconds)
      .map(({ oid, mode, milliseconds }) => ({
        table: this.tables.get(oid)!,
        mode: modes[mode]!,
        milliseconds: Math.ceil(milliseconds),
      }));
  }

  async #sample(watcher: Client): Promise<void> {
    while (this.#watching) {
      this.#take(await this.#look(watcher));
      await sleep(samplingMilliseconds);
    }
  }

  async #look(client: Client): Promise<{ oid: string; mode: string }[]> {
    const { rows } = await client.query<{ oid: string; mode: string }>(locksQuery, [this.pid]);
    return rows.filter(({ oid, mode }) => this.tables.has(oid) && strength(mode) >= 0);
  }

  /** A lock counts from the last look that did not see it: at most one interval too long, never too short. */
  #take(held: readonly { oid: string; mode: string }[]): void {
    const now = performance.now();
    const keys = new Set(held.map(({ oid, mode }) => `${oid} ${mode}`));
    for (const [key, { oid, mode, since }] of this.#open) {
      if (keys.has(key)) continue;
      const milliseconds = Math.max(now - since, this.#longest.get(key)?.milliseconds ?? 0);
      this.#longest.set(key, { oid, mode, milliseconds });
      this.#open.delete(key);
    }
    for (const lock of held) {
      const key = `${lock.oid} ${lock.mode}`;
      if (!this.#open.has(key)) this.#open.set(key, { ...lock, since: this.#lastLook });
    }
    this.#lastLook = now;
  }
}

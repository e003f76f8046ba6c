/**
 * One session of psql in one transaction: what pg_dump and pg_restore write can be sent through it, with rows and
 * psql's own commands, and in between it answers queries that see what was sent.
 *
 * It begins and commits by itself, never by `psql --single-transaction`: that commits at the end of its input, also
 * when whoever was feeding it has died in the middle (seen; a test of this file shows it). Here the end of the input
 * without `commit` rolls back.
 */
import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import { type Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { QueryResultRow } from "pg";
import { pinnedSettings, withConnection } from "./connect";
import { type RunningProgram, startProgram } from "./program";
import type { Queryable } from "./queryable";
import { quoteLiteral } from "./sqlText";
import type { DatabaseTarget } from "./target";

export interface PsqlOptions {
  readonly target: DatabaseTarget;
  readonly binDir: string;
  readonly serverMajor: number;
  readonly signal?: AbortSignal;
}

export class PsqlSession implements Queryable {
  readonly #program: RunningProgram;
  readonly #settings: string;
  readonly #lines: AsyncIterator<string>;
  readonly target: DatabaseTarget;

  private constructor(options: PsqlOptions) {
    this.target = options.target;
    this.#program = startProgram({
      ...{ binDir: options.binDir, program: "psql", target: options.target },
      args: [
        ...["--no-psqlrc", "--quiet", "--no-password", "--no-align", "--tuples-only"],
        ...["--set=ON_ERROR_STOP=1", "--file=-"],
      ],
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    this.#settings = pinnedSettings(options.serverMajor)
      .map((statement) => `${statement};\n`)
      .join("");
    this.#lines = createInterface({ input: this.#program.stdout, crlfDelay: Infinity })[Symbol.asyncIterator]();
  }

  /** @throws Unavailable when the server cannot be reached. */
  static async begin(options: PsqlOptions): Promise<PsqlSession> {
    const session = new PsqlSession(options);
    await session.send("BEGIN;\n");
    await session.pin();
    return session;
  }

  /** Settings that queries count on; what a dump sends sets others. */
  async pin(): Promise<void> {
    await this.send(this.#settings);
  }

  /** Sends text as it is; what it answers is thrown away. @throws what psql said when it ended. */
  async send(text: string): Promise<void> {
    await this.#write(`\\o /dev/null\n${text}\n\\o\n`);
  }

  /**
   * Sends what a stream holds, as `send` does, with text before and after it. Nothing else may be sent meanwhile. The
   * stream is read to its end or destroyed, so that whoever writes it never waits for a psql that has ended.
   */
  async sendAll(
    content: Readable,
    options: { before?: string; after?: string; onBytes?: (bytes: number) => void; signal?: AbortSignal } = {},
  ): Promise<void> {
    await this.#write(`\\o /dev/null\n${options.before ?? ""}`).catch((error: unknown) => {
      content.destroy();
      throw error;
    });
    const sink = new Writable({
      // Waits for psql to take it: it takes no more than the server does.
      write: (chunk: Buffer, _encoding, done) => {
        options.onBytes?.(chunk.length);
        this.#write(chunk).then(() => done(), done);
      },
    });
    await pipeline(content, sink, options.signal === undefined ? {} : { signal: options.signal });
    await this.#write(`${options.after ?? ""}\n\\o\n`);
  }

  /** Values are sent as literals whose types the query's casts tell. */
  async query<Row extends QueryResultRow>(text: string, values: unknown[] = []): Promise<{ rows: Row[] }> {
    const mark = randomUUID();
    const wanted = `SELECT to_json(q)::text FROM (${text}) q`;
    const call = values.length === 0 ? "" : `(${values.map(literal).join(", ")})`;
    await this.#write(
      `PREPARE dbprotect AS ${wanted};\nEXECUTE dbprotect${call};\nDEALLOCATE dbprotect;\n` +
        // psql passes on what it has printed so far after a COPY, not after every query.
        `COPY (SELECT '${mark}') TO STDOUT;\n`,
    );
    const rows: Row[] = [];
    for (;;) {
      const line = await this.#lines.next();
      if (line.done === true) throw await this.#ending();
      if (line.value === mark) return { rows };
      rows.push(JSON.parse(line.value) as Row);
    }
  }

  /**
   * Runs statements all of which succeed or are undone.
   *
   * @returns undefined when they succeeded, else what the server said.
   */
  async attempt(statements: string): Promise<{ sqlstate: string; message: string } | undefined> {
    const tag = `$dbprotect_${randomUUID().replaceAll("-", "")}$`;
    await this.send(
      `DO ${tag} BEGIN EXECUTE ${quoteLiteral(statements)}; PERFORM pg_catalog.set_config('dbprotect.error', '', true);
       EXCEPTION WHEN OTHERS THEN PERFORM pg_catalog.set_config('dbprotect.error', SQLSTATE || SQLERRM, true); END ${tag};`,
    );
    const { rows } = await this.query<{ said: string }>("SELECT current_setting('dbprotect.error') AS said");
    const said = rows[0]?.said ?? "";
    return said === "" ? undefined : { sqlstate: said.slice(0, 5), message: said.slice(5) };
  }

  /** @throws what the server said: nothing was changed then. */
  async commit(): Promise<void> {
    const { rows } = await this.query<{ id: string }>("SELECT pg_current_xact_id()::text AS id");
    await this.#write("COMMIT;\n");
    this.#program.stdin.end();
    try {
      await this.#program.succeeded;
    } catch (error) {
      // A connection that broke at COMMIT leaves open whether it was done.
      if (!(await this.#isCommitted(rows[0]!.id))) throw error;
    }
  }

  #isCommitted(transaction: string): Promise<boolean> {
    return withConnection(this.target, async (client) => {
      const { rows } = await client.query<{ status: string }>("SELECT pg_xact_status($1::xid8) AS status", [
        transaction,
      ]);
      return rows[0]?.status === "committed";
    });
  }

  /** Ends the session without `commit`: the server rolls back. Fine to call at any time. */
  async close(): Promise<void> {
    this.#program.stdin.destroy();
    this.#program.stdout.resume();
    await this.#program.succeeded.catch(() => undefined);
  }

  async #write(content: string | Buffer): Promise<void> {
    const { stdin } = this.#program;
    if (stdin.destroyed) throw await this.#ending();
    if (stdin.write(content)) return;
    await new Promise<void>((resume) => {
      // Node.js closes it when psql has ended.
      const events = ["drain", "close"] as const;
      const done = (): void => {
        for (const event of events) stdin.removeListener(event, done);
        resume();
      };
      for (const event of events) stdin.once(event, done);
    });
    if (stdin.destroyed) throw await this.#ending();
  }

  async #ending(): Promise<unknown> {
    return this.#program.succeeded.then(
      () => new Error("psql ended before it was told to"),
      (error: unknown) => error,
    );
  }
}

/** What our queries take. */
type Scalar = string | boolean;

function isScalar(value: unknown): value is Scalar {
  return typeof value === "string" || typeof value === "boolean";
}

/** @throws Error for what none of our queries takes. */
function literal(value: unknown): string {
  if (isScalar(value)) return quoteLiteral(String(value));
  if (Array.isArray(value) && value.every(isScalar)) return quoteLiteral(`{${value.map(element).join(",")}}`);
  throw new Error(`no literal for a ${typeof value}`);
}

/** Of an array (PostgreSQL manual, "8.15.2 Array Value Input"). */
function element(value: Scalar): string {
  return `"${String(value).replace(/["\\]/g, "\\$&")}"`;
}

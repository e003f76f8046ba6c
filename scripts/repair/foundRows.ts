/**
 * The rows of the copy that a repair may need, written down by their place while a comparison finds them, in a temporary
 * table of a session there: however many they are, none of them is kept in memory, and each is read back at once.
 */
import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import type { Client } from "pg";
import { type CopyStreamQuery, from as copyFrom, to as copyTo } from "pg-copy-streams";
import { copyBackStatement } from "../backup/copyRows";
import { connect } from "../database/connect";
import { type QualifiedName, displayName, quoteIdentifier, quoteLiteral, quoteName } from "../database/sqlText";
import type { DatabaseTarget } from "../database/target";
import type { RowListener } from "../fingerprint/rowDifferences";
import type { ForeignKey } from "./liveTables";
import type { RowRepair } from "./plan";

/** Whether the live database lacks a row, or has it with other content. */
export type Finding = "missing" | "changed";

export class FoundRows {
  private reading: Promise<Client> | undefined;
  private writing: CopyStreamQuery | undefined;
  private failure: Error | undefined;
  private readonly counts = new Map<string, number>();

  constructor(private readonly copy: () => Promise<DatabaseTarget>) {}

  /** For one table: its name as people read it. */
  listener(table: string, findings: readonly Finding[]): RowListener {
    return {
      ...(findings.includes("missing") ? { onMissing: (_key, place) => this.add(table, "missing", place) } : {}),
      ...(findings.includes("changed") ? { onChanged: (place) => this.add(table, "changed", place) } : {}),
    };
  }

  count(table: string, finding: Finding): number {
    return this.counts.get(`${finding} ${table}`) ?? 0;
  }

  /** Copies the rows that were found, in the order of their places, into a staging table of the live database. */
  async stage(
    repair: Pick<RowRepair, "table" | "staging" | "staged">,
    finding: Finding,
    live: Client,
    options: { name: string; encoding: string },
  ): Promise<number> {
    await this.finish();
    const client = await this.session();
    const columns = repair.staged.map((column) => `t.${quoteIdentifier(column)}`).join(", ");
    const rows = `SELECT ${columns} FROM pg_temp.found f JOIN ONLY ${quoteName(repair.table)} t ON t.ctid = f.place
      WHERE f.named = ${quoteLiteral(options.name)} AND f.finding = ${quoteLiteral(finding)} ORDER BY f.place`;
    const source = client.query(copyTo(`COPY (${rows}) TO STDOUT WITH (ENCODING ${quoteLiteral(options.encoding)})`));
    const staging = { schema: "pg_temp", name: repair.staging };
    const sink = live.query(copyFrom(copyBackStatement(staging, repair.staged, options.encoding)));
    await pipeline(source, sink);
    return sink.rowCount ?? 0;
  }

  /** Rows of the copy that referred to missing ones; `parent`: of which table, by its name. */
  async countReferring(child: QualifiedName, key: ForeignKey, parent: QualifiedName): Promise<number> {
    await this.finish();
    const same = key.parentColumns.map(
      (column, place) =>
        `p.${quoteIdentifier(column)} ${key.operators[place]} c.${quoteIdentifier(key.columns[place]!)}`,
    );
    const { rows } = await (
      await this.session()
    ).query<{ count: number }>(
      `SELECT count(*)::int AS count FROM pg_temp.found f JOIN ONLY ${quoteName(parent)} p ON p.ctid = f.place
         JOIN ONLY ${quoteName(child)} c ON ${same.join(" AND ")}
        WHERE f.named = ${quoteLiteral(displayName(parent))} AND f.finding = 'missing'`,
    );
    return rows[0]!.count;
  }

  async close(): Promise<void> {
    const { writing } = this;
    this.writing = undefined;
    writing?.destroy();
    const client = await this.reading?.catch(() => undefined);
    await client?.end().catch(() => undefined);
  }

  private async add(table: string, finding: Finding, place: string): Promise<void> {
    this.writing ??= await this.startWriting();
    this.demandWhole();
    const name = `${finding} ${table}`;
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    if (!this.writing.write(`${escaped(table)}\t${finding}\t${place}\n`)) await once(this.writing, "drain");
  }

  private async startWriting(): Promise<CopyStreamQuery> {
    const writing = (await this.session()).query(copyFrom("COPY pg_temp.found FROM STDIN"));
    // Whoever writes next is told: the stream itself would take no end, nor say that it takes nothing.
    writing.on("error", (error) => (this.failure ??= error));
    return writing;
  }

  private demandWhole(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  private async finish(): Promise<void> {
    const { writing } = this;
    if (writing === undefined) return;
    this.writing = undefined;
    this.demandWhole();
    const ended = once(writing, "finish");
    writing.end();
    await ended;
    await (await this.session()).query("ANALYZE pg_temp.found");
  }

  private session(): Promise<Client> {
    this.reading ??= this.copy().then(async (target) => {
      const client = await connect(target);
      await client.query("CREATE TEMPORARY TABLE found (named text, finding text, place tid)");
      return client;
    });
    return this.reading;
  }
}

/** A value in COPY's text format (PostgreSQL manual, "COPY", "Text Format"). */
function escaped(text: string): string {
  const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r" };
  return text.replace(/[\\\t\n\r]/g, (character) => escapes[character]!);
}

/** The file that shows what a repair is going to do, rows included: psql can run it as it is. */
import { once } from "node:events";
import { createWriteStream, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { finished } from "node:stream/promises";
import { makePrivateFolder } from "../contract/privateFolder";
import type { Client } from "pg";
import { to as copyTo } from "pg-copy-streams";
import { copyBackStatement } from "../backup/copyRows";
import { UsageError, messageOf } from "../contract/failure";
import { pinnedSettings } from "../database/connect";
import { displayName, quoteLiteral } from "../database/sqlText";
import { type RepairPlan, rowRepairsOf, stagedOf } from "./plan";
import { listOf, stagingTable, transactionOf } from "./script";

/**
 * Mode 0600, for it holds rows; complete or not there at all.
 *
 * @param client the session in which the rows are staged: what is shown is what will be written.
 * @throws UsageError when it cannot be written.
 */
export async function writeRepairFile(path: string, plan: RepairPlan, client: Client): Promise<void> {
  const partial = `${path}.partial`;
  try {
    makePrivateFolder(dirname(path));
    rmSync(partial, { force: true });
    const file = createWriteStream(partial, { mode: 0o600, flags: "wx" });
    const written = finished(file);
    written.catch(() => undefined); // whoever writes gets it
    const write = async (text: string | Buffer): Promise<void> => {
      if (!file.write(text)) await Promise.race([once(file, "drain"), written]);
    };
    try {
      await writeScript(plan, client, write);
      file.end();
      await written;
    } finally {
      file.destroy();
    }
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    if (!isFileError(error)) throw error;
    throw new UsageError(`the repair's file cannot be written: ${messageOf(error)}`, {
      cause: error,
      hint: "name another place with --out",
    });
  }
}

async function writeScript(
  plan: RepairPlan,
  client: Client,
  write: (text: string | Buffer) => Promise<void>,
): Promise<void> {
  const say = (line: string): Promise<void> => write(`${line}\n`);
  for (const line of headerOf(plan)) await say(comment(line));
  await say("\\set ON_ERROR_STOP on");
  for (const setting of pinnedSettings(plan.serverMajor)) await say(`${setting};`);
  await say("BEGIN;");
  for (const repair of stagedOf(plan)) {
    await say(`\n${comment(`${displayName(repair.table)}: ${repair.rows} row(s)`)}`);
    await say(`${stagingTable(repair, "drop")};`);
    const staging = { schema: "pg_temp", name: repair.staging };
    await say(`${copyBackStatement(staging, repair.staged, plan.encoding)};`);
    const rows = `COPY (SELECT ${listOf(repair.staged)} FROM pg_temp.${repair.staging}) TO STDOUT WITH (ENCODING ${quoteLiteral(plan.encoding)})`;
    for await (const chunk of client.query(copyTo(rows))) await write(chunk as Buffer);
    await say("\\.");
    await say(`ANALYZE pg_temp.${repair.staging};`);
  }
  for (const { says, sql } of transactionOf(plan)) await say(`\n${comment(says)}\n${sql};`);
  await say("\nCOMMIT;");
}

function headerOf(plan: RepairPlan): string[] {
  const rows = rowRepairsOf(plan).map((repair) => `${displayName(repair.table)} ${repair.rows} row(s)`);
  const columns = plan.columns.map(
    ({ table, written, rows }) => `${displayName(table)} columns ${written.join(", ")} of ${rows} row(s)`,
  );
  const leftAlone = plan.columns.flatMap(({ table, leftAlone, leftAloneKeys }) =>
    leftAlone === 0 ? [] : [`${displayName(table)} ${leftAlone} row(s) written later: ${leftAloneKeys.join(", ")}`],
  );
  const part = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : [`${title}:`, ...lines.map((line) => `  ${line}`)];
  return [
    `Puts back ${plan.loss}, of ${plan.database}, from ${plan.backup}.`,
    "This file holds rows of that database: keep it as you keep the database, and delete it afterwards.",
    "db:repair runs these statements in one transaction. What you change here has no effect on it; you can run the",
    'file yourself: psql --no-psqlrc --file=<this file> "$DATABASE_URL"',
    ...part("puts back", rows),
    ...part("gives former values to", columns),
    ...part("leaves alone", leftAlone),
    ...part(
      "moves on",
      plan.sequences.map((sequence) => `${displayName(sequence)} to ${sequence.to}`),
    ),
    ...part("cannot put back", plan.unrecoverable),
  ];
}

/** In one line, whatever the names in it hold. */
function comment(line: string): string {
  return `-- ${line.replace(/[\r\n]+/g, " ")}`;
}

/** Of the file system, not of the database: those have no `syscall`. */
function isFileError(error: unknown): boolean {
  return error instanceof Error && "syscall" in error && "path" in error;
}

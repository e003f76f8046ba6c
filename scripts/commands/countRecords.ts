/** `db:count-records`: exact counts of all tables, all of one instant. */
import type { Command } from "commander";
import { demandReadable } from "../backup/source";
import { openSnapshot, readInParallel } from "../database/snapshot";
import { displayName } from "../database/sqlText";
import { describeTarget, targetFromEnvironment } from "../database/target";
import { countRows } from "../fingerprint/compute";
import { renderTable } from "../report/table";
import { printResult } from "./session";

export function configure(command: Command): void {
  command.option("--json", "one JSON document on stdout").action(async (options: { json?: boolean }) => {
    const target = targetFromEnvironment("DATABASE_URL");
    const snapshot = await openSnapshot(target);
    try {
      demandReadable(snapshot.tables, target.user);
      const counts = await readInParallel(snapshot, 2, snapshot.tables, async (client, table) => ({
        table: displayName(table),
        rows: await countRows(client, table),
      }));
      const total = counts.reduce((sum, { rows }) => sum + rows, 0);
      const table = renderTable(
        [...counts, { table: "total", rows: total }],
        [
          { title: "TABLE", value: (row) => row.table },
          { title: "ROWS", value: (row) => row.rows },
        ],
      );
      printResult(
        options.json === true,
        {
          database: describeTarget(target),
          takenAt: snapshot.takenAt.toISOString(),
          lsn: snapshot.lsn,
          tables: counts,
          total,
        },
        table,
      );
    } finally {
      await snapshot.close();
    }
  });
}

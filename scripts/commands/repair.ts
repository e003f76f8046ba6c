/** `db:repair`: puts back what a release lost, from the copy that its gate restored; shows first what it will write. */
import type { Command } from "commander";
import { UsageError, exitCode } from "../contract/failure";
import { displayName } from "../database/sqlText";
import { targetFromEnvironment } from "../database/target";
import { type RepairPlan, isEmpty, rowRepairsOf } from "../repair/plan";
import { type PreparedRepair, prepareRepair } from "../repair/repair";
import { basisOfBackup, chooseLossReceipt, parseColumns } from "../repair/request";
import { renderTable } from "../report/table";
import { readOperationSettings } from "../settings";
import type { LiveComparison } from "../verification/liveComparison";
import { findingsOf, summarize } from "../verification/verifyReceipt";
import { channelsFor, telling } from "./communication";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly receipt?: string;
  readonly backup?: string;
  readonly settings?: string;
  readonly tables?: string[];
  readonly columns?: string[];
  readonly out?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .option("--receipt <run id>", "of which release; default: the one that a freeze names, else the newest open one")
    .option(
      "--backup <name>",
      "what is lost since this backup, whatever lost it, by table policies; nothing is recorded of a release; what --columns takes back is values changed until the command began",
    )
    .option("--settings <file>", "with --backup: settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option(
      "--tables <names...>",
      "put back the missing rows of these tables, all of them; default: those that fail the comparison",
    )
    .option(
      "--columns <table:columns...>",
      "give changed rows the former values of these: public.clients:email,phone; default: none",
    )
    .option(
      "--out <file>",
      "where it shows what it will write: a new file, only the default one is replaced; default: reports/repair-<run id>.sql",
    )
    .option("--yes", "do not ask, write")
    .option("--json", "one JSON document on stdout")
    .action(async (options: Options) => {
      const store = storeFromEnvironment();
      const channels = channelsFor(store, options.settings);
      if (options.backup !== undefined && options.receipt !== undefined)
        throw new UsageError("--backup and --receipt contradict each other: expected one of them");
      const basis =
        options.backup === undefined
          ? await chooseLossReceipt(store, options.receipt)
          : await basisOfBackup(store, options.backup, readOperationSettings(options.settings));
      const repair = await prepareRepair({
        ...{ store, ...basis },
        live: targetFromEnvironment("DATABASE_URL"),
        ...(options.tables === undefined ? {} : { tables: options.tables }),
        columns: parseColumns(options.columns ?? []),
        ...(options.out === undefined ? {} : { file: options.out }),
        signal: interrupted,
        onProgress: progress,
      });
      const recovery = { way: "db:repair", from: repair.plan.backup };
      const applied = (): Promise<LiveComparison> =>
        telling(
          channels,
          recovery,
          () => repair.apply(),
          ({ verdict }) => verdict === "pass",
        );
      try {
        const after = (await mayWrite(repair, options)) ? await applied() : null;
        const result = documentOf(repair, after);
        printResult(options.json === true, result, textOf(repair, after));
        for (const finding of result.findings) progress(`${after === null ? "missing" : "error"}: ${finding}`);
        if (result.verdict === "fail") process.exitCode = exitCode.refused;
      } finally {
        await repair.close();
      }
    });
}

/** Without a terminal, or with one document as the result, there is nobody to ask: then it only shows. */
async function mayWrite(repair: PreparedRepair, { yes = false, json = false }: Options): Promise<boolean> {
  if (isEmpty(repair.plan)) return false;
  if (repair.conflicts.length > 0) return true; // it refuses, and says why
  if (!yes && (json || !process.stdin.isTTY || !process.stderr.isTTY)) return false;
  await confirm(describePlan(repair), yes);
  return true;
}

function describePlan({ plan, file }: PreparedRepair): string {
  return [
    `puts back ${plan.loss}, from ${plan.backup} into ${plan.database}:`,
    tableOf(plan),
    ...linesOf(plan),
    `every statement: ${file ?? ""}`,
  ].join("\n");
}

function tableOf(plan: RepairPlan): string {
  const rows = rowRepairsOf(plan).map((repair) => ({ ...repair, columns: "all" }));
  const columns = plan.columns.map((repair) => ({ ...repair, columns: repair.written.join(", ") }));
  return renderTable(
    [...rows, ...columns],
    [
      { title: "TABLE", value: ({ table }) => displayName(table) },
      { title: "ROWS", value: ({ rows: count }) => count },
      { title: "COLUMNS", value: ({ columns: names }) => names },
    ],
  );
}

function linesOf(plan: RepairPlan): string[] {
  return [
    ...plan.sequences.map((sequence) => `moves on: sequence ${displayName(sequence)} to ${sequence.to}`),
    ...plan.columns
      .filter(({ leftAlone }) => leftAlone > 0)
      .map(({ table, leftAlone, leftAloneKeys }) => {
        const more = leftAlone > leftAloneKeys.length ? ", …" : "";
        return `stays as it is: ${displayName(table)}, ${leftAlone} row(s) written after the release: ${leftAloneKeys.join(", ")}${more}`;
      }),
    ...plan.unrecoverable.map((line) => `cannot be put back: ${line}`),
  ];
}

/** What a person reads. */
function textOf(repair: PreparedRepair, after: LiveComparison | null): string {
  const { plan, file } = repair;
  if (isEmpty(plan)) {
    const nothing = repair.findings.length === 0 ? "nothing is missing" : "nothing of this can be put back row by row";
    return [`${plan.database}: ${nothing}`, ...linesOf(plan)].join("\n");
  }
  const shown = [tableOf(plan), ...linesOf(plan), ""];
  if (after === null) return [...shown, `nothing was changed; --yes runs ${file ?? ""}`].join("\n");
  const verdict =
    after.verdict === "pass" ? `PASS: ${summarize(after)}` : "FAIL: written, and the comparison still finds a loss";
  return [...shown, verdict, `delete ${file ?? ""} when you are done: it holds rows of the database`].join("\n");
}

function documentOf({ plan, findings, file }: PreparedRepair, after: LiveComparison | null) {
  const left = after === null ? findings : findingsOf(after);
  // What was only shown is no failure, as long as it can be done.
  const verdict = left.length === 0 || (after === null && !isEmpty(plan)) ? "pass" : "fail";
  return {
    verdict,
    executed: after !== null,
    runId: plan.runId,
    releaseVersion: plan.releaseVersion,
    backup: plan.backup,
    file,
    rows: rowRepairsOf(plan).map(({ table, rows }) => ({ table: displayName(table), rows })),
    columns: plan.columns.map(({ table, written, rows, leftAlone, leftAloneKeys }) => {
      return { table: displayName(table), columns: written, rows, leftAlone, leftAloneKeys };
    }),
    sequences: plan.sequences.map((sequence) => ({ sequence: displayName(sequence), to: sequence.to })),
    unrecoverable: plan.unrecoverable,
    findings: left,
  };
}

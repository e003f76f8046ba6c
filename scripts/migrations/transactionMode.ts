/**
 * How a file is run: in one transaction, or, for the few statements that PostgreSQL refuses inside one,
 * alone. Judge and apply share this, so that what was judged is what is run.
 */
import type { Node } from "libpg-query";
import type { ParsedStatement } from "./parser";
import type { RuleId } from "./ruleCatalog";
import { as, hasOption } from "./syntaxTree";

export interface RunPlan {
  /** `alone`: its single statement (and the SETs beside it) runs outside a transaction. */
  readonly mode: "transaction" | "alone";
  /** What is run: without a BEGIN and COMMIT around the whole file. */
  readonly statements: readonly ParsedStatement[];
  /** UTF-8 byte offset at which that begins: the file's first byte, or the one behind its BEGIN. */
  readonly start: number;
  /** Why the file cannot be run as a whole; empty: it can. */
  readonly faults: readonly RunFault[];
}

export interface RunFault {
  readonly rule: Extract<RuleId, "transaction-control" | "mixed-transaction">;
  readonly reason: string;
  readonly statement: ParsedStatement;
}

export function planRun(statements: readonly ParsedStatement[]): RunPlan {
  const wrapped = isWrapped(statements);
  const inner = wrapped ? statements.slice(1, -1) : statements;
  const alone = inner.filter(({ node }) => whyAlone(node) !== undefined);
  const others = inner.filter(({ node }) => whyAlone(node) === undefined && as(node, "VariableSetStmt") === undefined);
  const controls = inner.filter(({ node }) => as(node, "TransactionStmt") !== undefined);
  const mixed = alone.length > 1 || (alone.length === 1 && (wrapped || others.length > 0));
  return {
    mode: alone.length === 1 && !mixed ? "alone" : "transaction",
    statements: inner,
    start: wrapped ? (statements[0]?.end ?? 0) : 0,
    faults: [
      ...controls.map((statement) => ({
        rule: "transaction-control" as const,
        reason: "begins or ends a transaction inside the file's own",
        statement,
      })),
      ...(mixed ? alone : []).map((statement) => ({
        rule: "mixed-transaction" as const,
        reason: `${whyAlone(statement.node) ?? ""} cannot run in a transaction, and this file has other statements`,
        statement,
      })),
    ],
  };
}

/** A plain BEGIN first and a COMMIT last say what happens anyway. */
function isWrapped(statements: readonly ParsedStatement[]): boolean {
  const first = as(statements[0]?.node, "TransactionStmt");
  const last = as(statements.at(-1)?.node, "TransactionStmt");
  const begins = first?.kind === "TRANS_STMT_BEGIN" || first?.kind === "TRANS_STMT_START";
  return begins && first?.options === undefined && last?.kind === "TRANS_STMT_COMMIT" && last.chain !== true;
}

/** The statement's name if PostgreSQL refuses it in a transaction block (PreventInTransactionBlock in its source). */
function whyAlone(node: Node): string | undefined {
  const reindex = as(node, "ReindexStmt");
  if (as(node, "IndexStmt")?.concurrent === true) return "CREATE INDEX CONCURRENTLY";
  if (as(node, "DropStmt")?.concurrent === true) return "DROP INDEX CONCURRENTLY";
  if (as(node, "VacuumStmt")?.is_vacuumcmd === true) return "VACUUM";
  if (as(node, "ClusterStmt") !== undefined && as(node, "ClusterStmt")?.relation === undefined)
    return "CLUSTER of all tables";
  if (as(node, "CreatedbStmt") !== undefined) return "CREATE DATABASE";
  if (as(node, "DropdbStmt") !== undefined) return "DROP DATABASE";
  if (as(node, "CreateTableSpaceStmt") !== undefined) return "CREATE TABLESPACE";
  if (as(node, "DropTableSpaceStmt") !== undefined) return "DROP TABLESPACE";
  if (as(node, "AlterSystemStmt") !== undefined) return "ALTER SYSTEM";
  if (as(node, "CreateSubscriptionStmt") !== undefined) return "CREATE SUBSCRIPTION";
  if (as(node, "DropSubscriptionStmt") !== undefined) return "DROP SUBSCRIPTION";
  if (detachesConcurrently(node)) return "DETACH PARTITION CONCURRENTLY";
  if (reindex !== undefined && (reindexesMany(reindex.kind) || hasOption(reindex.params, "concurrently")))
    return "this REINDEX";
  return undefined;
}

function reindexesMany(kind: string | undefined): boolean {
  return ["REINDEX_OBJECT_SCHEMA", "REINDEX_OBJECT_SYSTEM", "REINDEX_OBJECT_DATABASE"].includes(kind ?? "");
}

function detachesConcurrently(node: Node): boolean {
  return (as(node, "AlterTableStmt")?.cmds ?? []).some((command) => {
    return as(as(command, "AlterTableCmd")?.def, "PartitionCmd")?.concurrent === true;
  });
}

/** Statements that act on the server, or on another one, whatever database they are run in. */
export function leavesDatabase(node: Node): boolean {
  return beyondDatabase.some((kind) => as(node, kind) !== undefined);
}

const beyondDatabase = [
  ...(["CreatedbStmt", "DropdbStmt", "CreateTableSpaceStmt", "DropTableSpaceStmt", "AlterSystemStmt"] as const),
  ...(["CreateSubscriptionStmt", "AlterSubscriptionStmt", "DropSubscriptionStmt"] as const),
];

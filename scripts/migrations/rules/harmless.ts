/** Statements that only add, describe or tend: they never refuse. Everything not listed anywhere is refused. */
import type { Handler, Handlers } from "../inspector";

const passes: Handler<never> = () => undefined;

export const harmlessRules: Handlers = {
  // Transactions are judged per file (transactionMode.ts).
  TransactionStmt: passes,
  CommentStmt: passes,
  SecLabelStmt: passes,
  CreateAmStmt: passes,
  CreateConversionStmt: passes,
  CreateFdwStmt: passes,
  CreateForeignServerStmt: passes,
  CreateOpClassStmt: passes,
  CreateOpFamilyStmt: passes,
  CreatePLangStmt: passes,
  CreatePublicationStmt: passes,
  CreateStatsStmt: passes,
  CreateTableSpaceStmt: passes,
  CreateTransformStmt: passes,
  CreateUserMappingStmt: passes,
  CreatedbStmt: passes,
  ImportForeignSchemaStmt: passes,
  AlterCollationStmt: passes,
  AlterDatabaseRefreshCollStmt: passes,
  AlterObjectDependsStmt: passes,
  AlterStatsStmt: passes,
  CheckPointStmt: passes,
  ClosePortalStmt: passes,
  ConstraintsSetStmt: passes,
  DeallocateStmt: passes,
  FetchStmt: passes,
  ListenStmt: passes,
  NotifyStmt: passes,
  UnlistenStmt: passes,
  VariableShowStmt: passes,
};

/**
 * Every rule of the static judge, in one place: its stable id, what it protects, whether it refuses, and the
 * safer way. Overrides and receipts name these ids, so an id is never renamed or given another meaning.
 */

/**
 * What a rule protects from. `blocks-writers`: a lock for as long as the table is large, or readers wait as well;
 * `unanalysable`: nobody can tell statically; `cannot-run`: it would fail or leave halves.
 */
export const families = [
  "destroys-data",
  "breaks-application",
  "weakens-security",
  "blocks-writers",
  "unanalysable",
  "cannot-run",
] as const;

export type Family = (typeof families)[number];

/** `refuse` makes the verdict `refused`; `inform` is shown and changes nothing. */
export const severities = ["refuse", "inform"] as const;

export type Severity = (typeof severities)[number];

export interface Rule {
  readonly family: Family;
  readonly severity: Severity;
  readonly saferWay: string;
}

const destroys = (saferWay: string): Rule => ({ family: "destroys-data", severity: "refuse", saferWay });
const breaks = (saferWay: string): Rule => ({ family: "breaks-application", severity: "refuse", saferWay });
const weakens = (saferWay: string): Rule => ({ family: "weakens-security", severity: "refuse", saferWay });
const blocks = (saferWay: string): Rule => ({ family: "blocks-writers", severity: "refuse", saferWay });
const unanalysable = (saferWay: string): Rule => ({ family: "unanalysable", severity: "refuse", saferWay });
const cannotRun = (saferWay: string): Rule => ({ family: "cannot-run", severity: "refuse", saferWay });
const informs = (family: Family, saferWay: string): Rule => ({ family, severity: "inform", saferWay });

const contract =
  "stop using it in the application first, leave it in place, and remove it in a later release under an override";
const ownRelease = "release the application that no longer needs it first, then remove it under an override";

const secondOpinion = "squawk's documentation of this rule says how: https://squawkhq.com/docs/rules";
const ownTimeouts = "migrations:apply and a release set both; a tool of your own may not";

export const ruleCatalog = {
  "drop-table": destroys(`${contract}, after a verified backup`),
  "drop-column": destroys(`${contract}, after a verified backup`),
  "drop-attribute": destroys(contract),
  "drop-schema": destroys(contract),
  "drop-database": destroys("a migration never needs this: do it by hand, outside a release"),
  "drop-materialized-view": destroys(
    "create the new one beside it under another name; drop the old one in a later release",
  ),
  "drop-sequence": destroys("leave it in place: the values already given out cannot be told again"),
  "drop-type-cascade": destroys("DROP TYPE without CASCADE fails while a column uses the type: move the columns first"),
  "drop-extension": destroys("leave the extension: its own tables, and with CASCADE columns of its types, would go"),
  "drop-cascade": destroys("drop without CASCADE, so that the server names what depends on it"),
  "drop-owned": destroys("REASSIGN OWNED keeps the objects; drop single grants with REVOKE"),
  "drop-large-object": destroys("leave large objects in place"),
  truncate: destroys("archive the rows elsewhere first and remove them outside the release"),
  delete: destroys("mark rows (deleted_at) instead of deleting them, or delete in a reviewed job outside the release"),
  update: destroys("add a new column and fill that: the old values stay (expand, then contract)"),
  "upsert-overwrites": destroys("INSERT … ON CONFLICT DO NOTHING leaves existing rows as they are"),
  merge: destroys("MERGE with only WHEN NOT MATCHED THEN INSERT, or INSERT … ON CONFLICT DO NOTHING"),
  "narrow-type": destroys("add a column of the new type beside the old one, fill it, and switch the application over"),
  "set-unlogged": destroys("keep the table logged: an unlogged one is emptied by a crash and never replicated"),
  "detach-partition": destroys("leave the partition attached: its rows vanish from the parent table"),
  "drop-inheritance": destroys("leave the inheritance: the child's rows vanish from the parent table"),
  "sequence-restart": destroys("let sequences only move forward: a value given out twice collides with existing rows"),
  "rule-changes-rows": destroys(
    "use a trigger or a view: a rule silently rewrites or discards the application's writes",
  ),
  "cascading-foreign-key": destroys(
    "ON DELETE RESTRICT or NO ACTION: deleting a parent then cannot take existing rows along",
  ),
  "disable-trigger": destroys("leave triggers on: foreign keys and history depend on them"),
  "catalog-write": destroys("use DDL: a wrong row in a system catalog damages the database"),
  "server-program": destroys("run programs outside the database"),
  "server-file": destroys("use psql's \\copy from the client: a file of the server may be one of its own"),
  "alter-generated": destroys("add a second generated column with the new expression"),
  "drop-generated": destroys("leave the column generated"),

  rename: breaks(
    "add the new name beside the old one (column, view or synonym view) and drop the old one in a later release",
  ),
  "set-schema": breaks("leave it where it is, or put a view of the old name in its place in the same file"),
  "drop-view": breaks(ownRelease),
  "drop-function": breaks(ownRelease),
  "drop-trigger": breaks(ownRelease),
  "drop-type": breaks(ownRelease),
  "drop-default": breaks("keep the default until no running application leaves the column out"),
  "drop-constraint": breaks("keep it, or replace it in the same file: ON CONFLICT and readers rely on constraints"),
  "drop-object": breaks(ownRelease),
  "drop-identity": breaks("keep the identity until no running application leaves the column out"),
  "set-not-null": breaks(
    "ADD CONSTRAINT … CHECK (column IS NOT NULL) NOT VALID, then VALIDATE CONSTRAINT, once the application always writes it",
  ),
  "required-column": breaks("add the column nullable or with a constant default; tighten it in a later release"),
  "alter-enum-value": breaks("add the new value with ALTER TYPE … ADD VALUE and keep the old one"),
  "alter-setting": breaks("change server, database and role settings outside a release"),
  "create-subscription": breaks("set up replication outside a release"),
  "session-setting": breaks("leave this setting alone: it switches off what protects the data or how text is read"),
  "session-lock": breaks("use pg_advisory_xact_lock: session locks would outlive the file or end the migration's own"),
  "reassign-owned": breaks("ALTER … OWNER TO for single objects"),

  "drop-policy": weakens("replace the policy in the same file (DROP POLICY, CREATE POLICY), or ALTER POLICY"),
  "disable-row-security": weakens("keep row level security on and add a policy for whoever needs access"),
  "drop-role": weakens("ALTER ROLE … NOLOGIN keeps what the role owns"),
  "grant-to-everyone": weakens("grant it to authenticated, or switch row level security on in the same file"),
  "open-policy": weakens("write the condition that a row must meet, such as owner = auth.uid()"),
  "definer-search-path": weakens("SET search_path = '' at the function, and qualify every name in it"),
  "role-powers": weakens("give the role the rights that it needs: SUPERUSER and BYPASSRLS pass by every policy"),
  "view-runs-as-owner": weakens("keep security_invoker on: the view then asks for the reader's own rights"),

  "index-blocks-writers": blocks("CREATE INDEX CONCURRENTLY IF NOT EXISTS, in a file of its own"),
  "drop-index-blocks-writers": blocks("DROP INDEX CONCURRENTLY IF EXISTS, in a file of its own"),
  "reindex-blocks-writers": blocks("REINDEX … CONCURRENTLY, in a file of its own"),
  "refresh-blocks-readers": blocks("REFRESH MATERIALIZED VIEW CONCURRENTLY; it needs a unique index on the view"),
  "constraint-scans-table": blocks("ADD CONSTRAINT … NOT VALID, and VALIDATE CONSTRAINT in a later file"),
  "constraint-builds-index": blocks(
    "CREATE UNIQUE INDEX CONCURRENTLY in a file before, then ADD CONSTRAINT … USING INDEX",
  ),
  "rewrites-table": blocks(
    "add a nullable column without a default, SET DEFAULT, fill it in small batches, and switch the application over",
  ),
  "vacuum-full": blocks("plain VACUUM, or pg_repack outside a release: nobody can read meanwhile"),

  unparseable: unanalysable("fix the syntax error; psql meta-commands such as \\i are not SQL"),
  "unparseable-body": unanalysable("fix the body, or write it as SQL"),
  "unknown-statement": unanalysable(
    "this statement is not known to be additive: run it outside a release, or under an override",
  ),
  "unknown-function": unanalysable(
    "call only functions of pg_catalog or those that the same set of migrations defines",
  ),
  "unanalysable-function": unanalysable("write it in SQL or PL/pgSQL: the judge reads no other language"),
  "dynamic-sql": unanalysable("write the statement out: text that is put together at run time cannot be judged"),
  "unknown-prepared-statement": unanalysable("prepare it in the same file, or write the statement out"),

  "transaction-control": cannotRun("leave BEGIN and COMMIT out: each file is applied in one transaction"),
  "mixed-transaction": cannotRun("put the statement that cannot run in a transaction into a file of its own"),
  "copy-from-client": cannotRun("write INSERT statements: a migration file has no stdin"),

  "rename-part": informs("breaks-application", "make sure that no ON CONFLICT ON CONSTRAINT and no script names it"),
  "drop-index": informs("breaks-application", "check that no query and no ON CONFLICT clause needs the index"),
  "replace-object": informs(
    "breaks-application",
    "CREATE OR REPLACE where it exists: there is no moment without the object",
  ),
  "drop-not-null": informs("breaks-application", "make sure that the running application can read NULL there"),
  "change-type": informs(
    "breaks-application",
    "widening keeps all values; make sure that the running application can read the new type",
  ),
  backfill: informs(
    "breaks-application",
    "fill a new column in small batches: every row stays locked until the file is done",
  ),
  "repeatable-index": informs(
    "cannot-run",
    "name the index and use IF NOT EXISTS: the file can then be run again after an interruption",
  ),
  "enum-value-used": informs(
    "cannot-run",
    "a new enum value cannot be used in the transaction that adds it: use it in a later file",
  ),
  "unlogged-table": informs("destroys-data", "an unlogged table is emptied by a crash and never replicated"),
  "references-cascade": informs(
    "destroys-data",
    "rows that the application links here go when their parent is deleted",
  ),
  "change-owner": informs("weakens-security", "a table's owner passes by its row level security unless it is forced"),
  "revoke-right": informs("breaks-application", "make sure that the running application does not need the right"),
  "attach-partition": informs(
    "breaks-application",
    "add a matching CHECK constraint first: the scan then holds no lock",
  ),
  "unseen-function": informs("unanalysable", "the attached function is not part of this set: check what its body does"),
  "rename-with-view": informs(
    "breaks-application",
    "make sure that the view has the rights that the application needs, and security_invoker",
  ),
  "reference-locks-parent": informs(
    "blocks-writers",
    "both tables are locked for a moment, without a scan: keep the file short",
  ),
  "validate-in-same-file": informs(
    "blocks-writers",
    "put VALIDATE CONSTRAINT into a later file: here the lock of ADD CONSTRAINT is held during the scan",
  ),
  "checked-not-null": informs(
    "breaks-application",
    "the checked constraint is no longer needed: drop it in a later file",
  ),
  "long-lock": informs("blocks-writers", "there is no way without this lock: choose a quiet hour"),
  "alter-role-setting": informs(
    "breaks-application",
    "sessions that start from now on, the application's too, run with what it sets",
  ),

  "squawk/adding-foreign-key-constraint": blocks(secondOpinion),
  "squawk/adding-not-nullable-field": blocks(secondOpinion),
  "squawk/adding-serial-primary-key-field": blocks(secondOpinion),
  "squawk/changing-column-type": blocks(secondOpinion),
  "squawk/constraint-missing-not-valid": blocks(secondOpinion),
  "squawk/disallowed-unique-constraint": blocks(secondOpinion),
  "squawk/prefer-repack": blocks(secondOpinion),
  "squawk/require-concurrent-index-creation": blocks(secondOpinion),
  "squawk/require-concurrent-index-deletion": blocks(secondOpinion),
  "squawk/require-concurrent-partition-detach": blocks(secondOpinion),
  "squawk/require-concurrent-reindex": blocks(secondOpinion),
  "squawk/require-lock-timeout": informs("blocks-writers", ownTimeouts),
  "squawk/require-statement-timeout": informs("blocks-writers", ownTimeouts),
} as const satisfies Record<string, Rule>;

export type RuleId = keyof typeof ruleCatalog;

/** Undefined for an id that no version of the catalog had. */
export function severityOf(rule: string): Severity | undefined {
  return (ruleCatalog as Readonly<Record<string, Rule>>)[rule]?.severity;
}

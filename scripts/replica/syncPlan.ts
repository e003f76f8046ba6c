/**
 * How the replica gets the definitions that the source has more of: statements, in the order that loses nothing, and what is
 * no mere addition, each with its reason. Looks only.
 *
 * The source goes first, always: only it knows which value the rows got that a new column found (`attmissingval`), and a
 * constraint may be demanded of the replica only when the rows have arrived that fulfil it. Until the replica has a column or
 * a table, it waits; nothing is lost meanwhile.
 */
import type { Client } from "pg";
import { quoteIdentifier, quoteLiteral } from "../database/sqlText";
import type { CatalogChange } from "../fingerprint/compare";
import type { TocEntry } from "../restore/tableOfContents";
import { type ColumnFacts, readColumns } from "./columns";
import type { MissingDefinitions } from "./definitions";

export interface SyncPlan {
  /** Labels of enums: before a transaction that uses them. */
  readonly labels: readonly string[];
  /** Schemas, types, tables, columns, functions, views, …: one transaction, before rows are waited for. */
  readonly first: readonly string[];
  /** Keys, indexes, constraints of tables that were there: one transaction, after the rows have arrived. */
  readonly last: readonly string[];
  /** What is made, for people. */
  readonly words: readonly string[];
  /** `schema.name` of tables that get columns: they are compared afterwards. */
  readonly widened: readonly string[];
  readonly refused: readonly Refused[];
}

export interface Refused {
  readonly what: string;
  readonly reason: string;
}

/** Entries that need nothing but each other, and that a column may need. */
const typeKinds: ReadonlySet<string> = new Set(["SCHEMA", "EXTENSION", "COLLATION", "SHELL TYPE", "TYPE", "DOMAIN"]);
/** Of tables that were there these are made one by one: pg_dump writes some of them into CREATE TABLE. */
const tablePartKinds: ReadonlySet<string> = new Set(["CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT", "DEFAULT"]);

const byHand = "make it there as it was made on the source";
const anew = "make it there by hand, then copy the rows anew: npm run replication:setup -- --resync";

/** @param drift as `readDrift` tells it; `extra`: what only the replica has. */
export async function planDefinitions(
  { source, replica }: { readonly source: Client; readonly replica: Client },
  drift: readonly CatalogChange[],
  extra: readonly CatalogChange[],
  definitions: MissingDefinitions,
): Promise<SyncPlan> {
  const removed = (kind: string): string[] => namesOf(drift, kind, "removed");
  const newTables = new Set(removed("relation"));
  const [there, here] = [await readColumns(source), await readColumns(replica)];
  const known = there.filter(({ table }) => !newTables.has(table));
  const columns = planColumns(await withoutNulls(source, known, here), here, extra);
  const constraints = await planConstraints(source, removed("constraint"), newTables);
  const indexes = await indexesOf(source, removed("index"), newTables);
  const isOfNewTable = ({ rest }: TocEntry): boolean =>
    [...newTables].some((table) => rest.startsWith(`${table.replace(".", " ")} `));
  const wanted = definitions.missing.filter((entry) => !tablePartKinds.has(entry.kind) || isOfNewTable(entry));
  const isLast = ({ kind, rest }: TocEntry): boolean =>
    // A comment may be on anything that is made before.
    kind === "COMMENT" ||
    (kind.startsWith("INDEX") && indexes.some((index) => rest.startsWith(`${index.replace(".", " ")} `)));
  const types = wanted.filter(({ kind }) => typeKinds.has(kind));
  const early = wanted.filter((entry) => !typeKinds.has(entry.kind) && !isLast(entry));
  // Each only says what it says, so that all of them may be said again.
  const isCommentedAnew = namesOf(drift, "comment", "changed").length > 0;
  const late = [
    ...wanted.filter((entry) => isLast(entry) && !(isCommentedAnew && entry.kind === "COMMENT")),
    ...(isCommentedAnew ? definitions.all.filter(({ kind }) => kind === "COMMENT") : []),
  ];
  const enums = await planEnums({ source, replica }, namesOf(drift, "enum", "changed"));
  const views = await planViews({ source, replica }, drift);
  const rights = rightsEntries(drift, definitions.all);
  const routines = await replacedRoutines(source, namesOf(drift, "routine", "changed"));
  const script = async (entries: readonly TocEntry[]): Promise<string[]> =>
    entries.length === 0 ? [] : [await definitions.statementsOf(entries)];
  return {
    labels: enums.statements,
    first: [
      ...(await script(types)),
      ...columns.added,
      ...(await script(early)),
      ...columns.defaults,
      ...views.statements,
      ...routines,
      ...(await script(rights)),
    ],
    last: [...columns.required, ...constraints, ...(await script(late))],
    words: [
      ...enums.statements,
      ...wanted.filter(({ kind }) => kind !== "COMMENT").map(({ kind, rest }) => `${kind.toLowerCase()} ${rest}`),
      ...[...columns.added, ...columns.defaults, ...columns.required, ...constraints, ...views.statements],
      ...namesOf(drift, "routine", "changed").map((name) => `replaces ${name}`),
      ...rights.map(({ rest }) => `rights ${rest}`),
    ],
    widened: columns.widened,
    refused: [...columns.refused, ...enums.refused, ...views.refused, ...otherChanges(drift)],
  };
}

function namesOf(drift: readonly CatalogChange[], kind: string, change: CatalogChange["change"]): string[] {
  return drift.filter((item) => item.kind === kind && item.change === change).map(({ name }) => name);
}

interface ColumnPlan {
  readonly added: string[];
  readonly defaults: string[];
  readonly required: string[];
  readonly widened: string[];
  readonly refused: Refused[];
}

function planColumns(
  there: readonly ColumnFacts[],
  here: readonly ColumnFacts[],
  extra: readonly CatalogChange[],
): ColumnPlan {
  const plan: ColumnPlan = { added: [], defaults: [], required: [], widened: [], refused: [] };
  const found = new Map(here.map((column) => [nameOf(column), column]));
  const surplus = namesOf(extra, "column", "added");
  const existing = new Set(here.map(({ table }) => table));
  for (const column of there) {
    if (!existing.has(column.table)) continue;
    const other = found.get(nameOf(column));
    if (other === undefined) planAddition(column, surplus, plan);
    else planAlteration(column, other, plan);
  }
  return plan;
}

const nameOf = ({ table, column }: ColumnFacts): string => `${table}.${column}`;

/**
 * A default that calls something volatile gave each row a value of its own, if the column came with it; where it came
 * later, older rows have NULL. What is told wrong here the comparison afterwards finds.
 */
async function withoutNulls(
  source: Client,
  there: readonly ColumnFacts[],
  here: readonly ColumnFacts[],
): Promise<ColumnFacts[]> {
  const known = new Set(here.map(nameOf));
  const found: ColumnFacts[] = [];
  for (const column of there) {
    const open = column.computed && column.generated === null && column.filled && !known.has(nameOf(column));
    const { rows } = open
      ? await source.query(`SELECT FROM ${column.quotedTable} WHERE ${column.quotedColumn} IS NULL LIMIT 1`)
      : { rows: [] };
    found.push(open && rows.length > 0 ? { ...column, computed: false } : column);
  }
  return found;
}

/** A partition's or a child's column comes with that of its parent. */
function planAddition(column: ColumnFacts, surplus: readonly string[], plan: ColumnPlan): void {
  if (column.inherited) return;
  const refuse = (reason: string): void => void plan.refused.push({ what: `column ${nameOf(column)}`, reason });
  const rival = surplus.find((name) => name.startsWith(`${column.table}.`));
  if (rival !== undefined)
    return refuse(`the replica has ${rival}, which the source has not: renamed or dropped, nothing can tell: ${anew}`);
  if (column.identity || (column.computed && column.missingValue === null && column.filled))
    return refuse(`each row got a value of its own on the source (${column.default ?? "identity"}): ${anew}`);
  const { quotedTable, quotedColumn, type, collation, generated, missingValue } = column;
  const value =
    generated !== null
      ? ` GENERATED ALWAYS AS (${column.default ?? "NULL"}) ${generated}`
      : missingValue === null
        ? ""
        : ` DEFAULT ${quoteLiteral(missingValue)}`;
  plan.added.push(
    `ALTER TABLE ${quotedTable} ADD COLUMN ${quotedColumn} ${type}${collation === null ? "" : ` COLLATE ${collation}`}${value}`,
  );
  if (!plan.widened.includes(column.table)) plan.widened.push(column.table);
  if (generated === null && (missingValue !== null || column.default !== null)) plan.defaults.push(setDefault(column));
  if (column.required) plan.required.push(setRequired(column));
}

const alterColumn = ({ quotedTable, quotedColumn }: ColumnFacts): string =>
  `ALTER TABLE ${quotedTable} ALTER COLUMN ${quotedColumn}`;
const setDefault = (column: ColumnFacts): string =>
  `${alterColumn(column)} ${column.default === null ? "DROP DEFAULT" : `SET DEFAULT ${column.default}`}`;
const setRequired = (column: ColumnFacts): string => `${alterColumn(column)} SET NOT NULL`;

function planAlteration(column: ColumnFacts, other: ColumnFacts, plan: ColumnPlan): void {
  const refuse = (what: string): void =>
    void plan.refused.push({ what: `column ${nameOf(column)}`, reason: `${what}: ${byHand}` });
  if (column.type !== other.type) return refuse(`is ${column.type} on the source, ${other.type} on the replica`);
  if (column.collation !== other.collation) return refuse("has another collation");
  if (column.identity !== other.identity) return refuse("is an identity column on one side only");
  if (column.generated !== other.generated || (column.generated !== null && column.default !== other.default))
    return refuse("is generated otherwise");
  if (column.inherited) return;
  if (column.default !== other.default) plan.defaults.push(setDefault(column));
  if (column.required && !other.required) plan.required.push(setRequired(column));
  // Rows with NULL are on their way: without it they would not be taken.
  if (!column.required && other.required) plan.defaults.push(`${alterColumn(column)} DROP NOT NULL`);
}

/** Those that a partition has from its parent come with the parent's. */
async function planConstraints(
  source: Client,
  names: readonly string[],
  newTables: ReadonlySet<string>,
): Promise<string[]> {
  const { rows } = await source.query<{ table: string; quoted: string; name: string; definition: string }>(
    `SELECT n.nspname || '.' || c.relname AS table, format('%I.%I', n.nspname, c.relname) AS quoted, k.conname AS name,
            pg_get_constraintdef(k.oid) AS definition
       FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname || '.' || c.relname || '.' || k.conname = ANY ($1::text[]) AND k.conparentid = 0 AND k.coninhcount = 0
      ORDER BY k.contype = 'f', k.oid`,
    [names],
  );
  return rows
    .filter(({ table }) => !newTables.has(table))
    .map(
      ({ quoted, name, definition }) => `ALTER TABLE ${quoted} ADD CONSTRAINT ${quoteIdentifier(name)} ${definition}`,
    );
}

/** Of these, the indexes of tables that the replica has. */
async function indexesOf(
  source: Client,
  names: readonly string[],
  newTables: ReadonlySet<string>,
): Promise<readonly string[]> {
  const { rows } = await source.query<{ name: string; table: string }>(
    `SELECT n.nspname || '.' || x.relname AS name, tn.nspname || '.' || t.relname AS table
       FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
       JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
      WHERE n.nspname || '.' || x.relname = ANY ($1::text[])`,
    [names],
  );
  return rows.filter(({ table }) => !newTables.has(table)).map(({ name }) => name);
}

type Planned = { readonly statements: string[]; readonly refused: Refused[] };

/** A label goes behind the one that it follows on the source. */
async function planEnums(
  { source, replica }: { readonly source: Client; readonly replica: Client },
  names: readonly string[],
): Promise<Planned> {
  const [there, here] = [await labelsOf(source, names), await labelsOf(replica, names)];
  const planned: Planned = { statements: [], refused: [] };
  for (const [name, { quoted, labels }] of there) {
    const known = new Set(here.get(name)?.labels);
    const kept = labels.filter((label) => known.has(label));
    const common = (here.get(name)?.labels ?? []).filter((label) => labels.includes(label));
    if (kept.join("\0") !== common.join("\0") || common.length < known.size) {
      planned.refused.push({ what: `enum ${name}`, reason: `labels were renamed or put in another order: ${byHand}` });
      continue;
    }
    for (const [place, label] of labels.entries()) {
      if (known.has(label)) continue;
      const before = labels[place - 1];
      const next = labels.find((candidate, at) => at > place && known.has(candidate));
      const where =
        before === undefined
          ? next === undefined
            ? ""
            : ` BEFORE ${quoteLiteral(next)}`
          : ` AFTER ${quoteLiteral(before)}`;
      planned.statements.push(`ALTER TYPE ${quoted} ADD VALUE IF NOT EXISTS ${quoteLiteral(label)}${where}`);
    }
  }
  return planned;
}

async function labelsOf(
  client: Client,
  names: readonly string[],
): Promise<Map<string, { quoted: string; labels: string[] }>> {
  const { rows } = await client.query<{ name: string; quoted: string; labels: string[] }>(
    `SELECT n.nspname || '.' || t.typname AS name, format('%I.%I', n.nspname, t.typname) AS quoted,
            ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels
       FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
      WHERE t.typtype = 'e' AND n.nspname || '.' || t.typname = ANY ($1::text[])`,
    [names],
  );
  return new Map(rows.map(({ name, quoted, labels }) => [name, { quoted, labels }]));
}

/** The server itself refuses a replacement that takes a column away. */
async function planViews(
  { source, replica }: { readonly source: Client; readonly replica: Client },
  drift: readonly CatalogChange[],
): Promise<Planned> {
  const names = namesOf(drift, "relation", "changed");
  const [there, here] = [await viewsOf(source, names), await viewsOf(replica, names)];
  const changed = [...there].filter(([name, view]) => here.get(name)?.definition !== view.definition);
  return {
    statements: changed
      .filter(([, { materialized }]) => !materialized)
      .map(([, { quoted, definition }]) => `CREATE OR REPLACE VIEW ${quoted} AS ${definition}`),
    refused: changed
      .filter(([, { materialized }]) => materialized)
      .map(([name]) => ({ what: `materialized view ${name}`, reason: `has another definition: ${byHand}` })),
  };
}

interface View {
  readonly quoted: string;
  readonly definition: string;
  readonly materialized: boolean;
}

async function viewsOf(client: Client, names: readonly string[]): Promise<Map<string, View>> {
  const { rows } = await client.query<View & { name: string }>(
    `SELECT n.nspname || '.' || c.relname AS name, format('%I.%I', n.nspname, c.relname) AS quoted,
            pg_get_viewdef(c.oid) AS definition, c.relkind = 'm' AS materialized
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('v', 'm') AND n.nspname || '.' || c.relname = ANY ($1::text[])`,
    [names],
  );
  return new Map(rows.map((row) => [row.name, row]));
}

/** As `CREATE OR REPLACE`. The catalog's name of a routine has its arguments' names. */
async function replacedRoutines(source: Client, names: readonly string[]): Promise<string[]> {
  const { rows } = await source.query<{ definition: string }>(
    `SELECT pg_get_functiondef(p.oid) AS definition FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
      WHERE p.prokind IN ('f', 'p')
        AND n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' = ANY ($1::text[])`,
    [names],
  );
  return rows.map(({ definition }) => definition);
}

const rightsKinds: Readonly<Record<string, string>> = {
  relation: "TABLE",
  "sequence-rights": "SEQUENCE",
  schema: "SCHEMA",
  "public-schema": "SCHEMA",
};

/** pg_dump's own statements, which give what differs from the defaults; they may be run again. */
function rightsEntries(drift: readonly CatalogChange[], all: readonly TocEntry[]): TocEntry[] {
  const wanted = drift.flatMap(({ kind, name, change }) => {
    const word = rightsKinds[kind];
    if (word === undefined || change !== "changed") return [];
    const [schema = "", ...rest] = name.split(".");
    return [word === "SCHEMA" ? `- SCHEMA ${name} ` : `${schema} ${word} ${rest.join(".")} `];
  });
  return all.filter(({ kind, rest }) => kind === "ACL" && wanted.some((start) => rest.startsWith(start)));
}

/** Kinds whose changes are carried, or refused, above; what then still differs is told after the fact. */
const carriedChanges: ReadonlySet<string> = new Set([
  ...["enum", "column", "relation", "routine", "sequence-rights", "schema", "public-schema", "type", "comment"],
  // How rows are stored and looked for, not what they are.
  ...["column-options", "storage", "sequence-options", "statistics-target"],
]);

function otherChanges(drift: readonly CatalogChange[]): Refused[] {
  return drift
    .filter(({ change, kind }) => change === "changed" && !carriedChanges.has(kind))
    .map(({ kind, name }) => ({
      what: `${kind} ${name}`,
      reason: `has another definition, so something would be taken away: drop it on the replica and run this again, or ${byHand}`,
    }));
}

/**
 * Judges the script of a dump while it passes: what it defines, how many rows it has for each table, which roles it
 * names, whether it ends as pg_dump ends it. Out come its statements without those that would end our transaction.
 * Refused is what does not concern one database: psql's own commands, roles, databases, tablespaces.
 */
import { type Node, parseSync } from "libpg-query";
import { Damage, Refusal } from "../../contract/failure";
import { type QualifiedName, displayName } from "../../database/sqlText";
import { type LexedStatement, ScriptLexer } from "./scriptLexer";

export interface DumpedTable extends QualifiedName {
  /** `CREATE TABLE` is in the script, for a table that can hold rows itself. */
  readonly defined: boolean;
  /** Rows that the script has for it; null: statements whose rows cannot be counted; undefined: it has none at all. */
  readonly rows: number | null | undefined;
}

export interface DumpSummary {
  /** By `schema.name`, in the order of the script. */
  readonly tables: readonly DumpedTable[];
  /** Roles that own something, or are granted something. */
  readonly roles: readonly string[];
  /** That the script makes. */
  readonly schemas: readonly string[];
  /** Of the script. */
  readonly bytes: number;
}

/** What the database has already, so that its statements are left out of what is passed on. */
export interface AlreadyThere {
  readonly schemas: ReadonlySet<string>;
  /** A comment on one of these may be set by its owner only, and the extension brought its own. */
  readonly extensions: ReadonlySet<string>;
  /** Roles whose default privileges are not the session's to change: they stay as they are. */
  readonly otherRoles: ReadonlySet<string>;
}

/** Of a new database: `pg_dump --schema=public` makes that schema, which every database has. */
const newDatabaseHas: AlreadyThere = {
  schemas: new Set(["public"]),
  extensions: new Set(),
  otherRoles: new Set(),
};

/** What pg_dump writes first. */
const firstLine = "-- PostgreSQL database dump";

/** The line that pg_dump writes last, but for a blank comment (pg_dump.c, RestoreArchive in pg_backup_archiver.c). */
const endLine = "-- PostgreSQL database dump complete";

/** These say nothing that is judged here; data is in the former two. */
const unparsed: ReadonlySet<string> = new Set(["", "INSERT", "SELECT", "COMMENT"]);

/** Statements that belong to a whole server, by the name of their node in the parser's tree. */
const ofTheCluster: ReadonlySet<string> = new Set([
  "AlterDatabaseRefreshCollStmt",
  "AlterDatabaseSetStmt",
  "AlterDatabaseStmt",
  "AlterRoleSetStmt",
  "AlterRoleStmt",
  "AlterSystemStmt",
  "AlterTableSpaceOptionsStmt",
  "CreateRoleStmt",
  "CreateTableSpaceStmt",
  "CreatedbStmt",
  "DropRoleStmt",
  "DropTableSpaceStmt",
  "DropdbStmt",
  "GrantRoleStmt",
]);

/** Encodings in which a byte of a character can look like a quote or a backslash (PostgreSQL manual, table 23.3). */
const unreadableEncodings = /^(BIG5|GB18030|GBK|JOHAB|SHIFT_JIS_2004|SJIS|UHC)$/i;

export class DumpScript extends ScriptLexer {
  readonly #tables = new Map<string, { name: QualifiedName; defined: boolean; rows: number | null | undefined }>();
  readonly #roles = new Set<string>();
  readonly #schemas = new Set<string>();
  #begun = false;
  #complete = false;
  /** Where names without a schema are. */
  #schema = "public";
  #copied: string | undefined;

  constructor(private readonly there: AlreadyThere = newDatabaseHas) {
    super({
      statement: (statement) => this.#judge(statement),
      rows: (count) => this.#addRows(this.#copied, count),
      comment: (text) => {
        if (text === firstLine) this.#begun = true;
        if (text === endLine) this.#complete = true;
      },
      command: (text) => judgeCommand(text),
    });
  }

  /**
   * After its end.
   *
   * @throws Damage when it does not end as pg_dump ends a script; Refusal when it defines no table, or has no row for
   *   any of those that it defines.
   */
  summary(what: string): DumpSummary {
    const tables = [...this.#tables.values()].map(({ name, ...rest }) => ({ ...name, ...rest }));
    // A dump without its comments has no such end: what it lacks besides says more.
    if (!this.#begun && this.isBetweenStatements) demandRows(what, tables);
    if (!this.isBetweenStatements || !this.#complete)
      throw new Damage(`${what} is unfinished: it does not end with the line "${endLine}"`, {
        hint: this.#begun
          ? "whatever wrote it was interrupted, or the file was cut short on its way"
          : "supabase db dump takes that line out: write it with --keep-comments",
      });
    demandRows(what, tables);
    return { tables, roles: [...this.#roles].sort(), schemas: [...this.#schemas].sort(), bytes: this.bytes };
  }

  #judge(statement: LexedStatement): "pass" | "drop" | "rows" {
    const { word, values } = statement;
    // Some tools append it to what pg_dump wrote.
    if (!/^RESET\s+ALL$/i.test(statement.text)) this.#complete = false;
    if (word === "INSERT") this.#addRows(this.#idOf(insertedInto(statement.text)), values);
    if (this.there.extensions.has(commentedExtension(statement) ?? "")) return "drop";
    if (unparsed.has(word)) return "pass";
    const node = parseOne(statement.text);
    // Of a newer server than the parser: this one decides.
    if (node === undefined) return "pass";
    if ("AlterDefaultPrivilegesStmt" in node) {
      const whose = rolesIn(node.AlterDefaultPrivilegesStmt.options);
      if (whose.some((role) => this.there.otherRoles.has(role))) return "drop";
    }
    for (const role of rolesIn(node)) this.#roles.add(role);
    return this.#judgeNode(node, word);
  }

  #judgeNode(node: Node, word: string): "pass" | "drop" | "rows" {
    const [kind = ""] = Object.keys(node);
    if (ofTheCluster.has(kind)) throw ofAnother(node, word);
    if ("TransactionStmt" in node) {
      const action = node.TransactionStmt.kind ?? "";
      if (["TRANS_STMT_BEGIN", "TRANS_STMT_START", "TRANS_STMT_COMMIT"].includes(action)) return "drop";
      throw new Refusal(`the file holds ${word}: expected a dump, which ends no transaction but by COMMIT`);
    }
    if ("CreateStmt" in node) {
      const { relation, partspec } = node.CreateStmt;
      if (relation !== undefined && partspec === undefined) this.#table(this.#nameOf(relation)).defined = true;
    }
    if ("CreateSchemaStmt" in node) {
      const { schemaname = "" } = node.CreateSchemaStmt;
      this.#schemas.add(schemaname);
      if (this.there.schemas.has(schemaname)) return "drop";
    }
    if ("VariableSetStmt" in node) this.#noteSetting(node);
    if ("CopyStmt" in node) {
      const { relation, is_from: isFrom, filename, is_program: isProgram } = node.CopyStmt;
      if (isFrom !== true || filename !== undefined || isProgram === true || relation === undefined)
        throw new Refusal("the file holds a COPY that reads or writes elsewhere: expected only COPY … FROM stdin");
      this.#copied = this.#idOf(this.#nameOf(relation));
      this.#addRows(this.#copied, 0);
      return "rows";
    }
    return "pass";
  }

  #noteSetting(node: Extract<Node, { VariableSetStmt: unknown }>): void {
    const { name, args } = node.VariableSetStmt;
    const [first] = args ?? [];
    const value = first !== undefined && "A_Const" in first ? first.A_Const.sval?.sval : undefined;
    if (name === "search_path" && value !== undefined) this.#schema = value;
    if (name === "standard_conforming_strings" && value === "off")
      throw new Refusal(
        "the file sets standard_conforming_strings off, so that a backslash may hide the end of a text",
        {
          hint: "write it with PGOPTIONS='-c standard_conforming_strings=on' pg_dump …",
        },
      );
    if (name === "client_encoding" && value !== undefined && unreadableEncodings.test(value))
      throw new Refusal(`the file is in ${value}, in which a quote cannot be told from half a character`, {
        hint: "write it with pg_dump --encoding=UTF8",
      });
  }

  #nameOf(relation: { schemaname?: string; relname?: string }): QualifiedName {
    return { schema: relation.schemaname ?? this.#schema, name: relation.relname ?? "" };
  }

  #idOf(name: QualifiedName | { name: string } | undefined): string | undefined {
    if (name === undefined) return undefined;
    const qualified = "schema" in name ? name : { schema: this.#schema, ...name };
    this.#table(qualified);
    return displayName(qualified);
  }

  #table(name: QualifiedName): { defined: boolean; rows: number | null | undefined } {
    const id = displayName(name);
    const known = this.#tables.get(id) ?? { name, defined: false, rows: undefined };
    this.#tables.set(id, known);
    return known;
  }

  /** @param rows null: it has rows, but how many cannot be told. */
  #addRows(id: string | undefined, rows: number | null): void {
    const table = id === undefined ? undefined : this.#tables.get(id);
    if (table === undefined) return;
    table.rows = rows === null || table.rows === null ? null : (table.rows ?? 0) + rows;
  }
}

/** Whoever is named anywhere in it: owner, grantee, member of a policy. */
function rolesIn(tree: unknown): string[] {
  if (typeof tree !== "object" || tree === null) return [];
  return Object.entries(tree).flatMap(([key, value]): string[] => {
    const role = value as { roletype?: string; rolename?: string } | null;
    if (role?.roletype === "ROLESPEC_CSTRING" && role.rolename !== undefined) return [role.rolename];
    return key === "location" ? [] : rolesIn(value);
  });
}

function commentedExtension({ word, text }: LexedStatement): string | undefined {
  if (word !== "COMMENT") return undefined;
  const [, quoted, bare] = commentOnExtension.exec(text) ?? [];
  return quoted?.replaceAll('""', '"') ?? bare?.toLowerCase();
}

function parseOne(text: string): Node | undefined {
  try {
    return parseSync(text).stmts?.[0]?.stmt;
  } catch {
    return undefined;
  }
}

/** Only what pg_dump itself writes since the fix of CVE-2025-8714; psql would run the others, some of them as a shell. */
function judgeCommand(text: string): "drop" {
  if (/^\\(un)?restrict \w+$/.test(text)) return "drop";
  const command = /^\\\S*/.exec(text)?.[0] ?? "\\";
  throw new Refusal(`the file holds psql's command ${command}: expected the statements of one database only`, {
    hint: /^\\c(onnect)?$/.test(command)
      ? "write it with pg_dump, without --create, one file for each database; pg_dumpall's are not restored"
      : "take the command out of a copy of the file, if its statements are enough",
  });
}

function ofAnother(node: Node, word: string): Refusal {
  const [kind = ""] = Object.keys(node);
  const what = kind.includes("Role") ? "roles" : kind.includes("Table") ? "tablespaces" : "databases or the server";
  return new Refusal(`the file changes ${what} (${word} …), which belong to the whole server and not to one database`, {
    hint: "write it with pg_dump, without --create; pg_dumpall's are not restored",
  });
}

const identifier = String.raw`(?:"((?:[^"]|"")*)"|([^\s".(]+))`;
const inserted = new RegExp(String.raw`^INSERT\s+INTO\s+${identifier}(?:\s*\.\s*${identifier})?`, "i");

const commentOnExtension = new RegExp(String.raw`^COMMENT\s+ON\s+EXTENSION\s+${identifier}\s`, "i");

function insertedInto(text: string): QualifiedName | { name: string } | undefined {
  const parts = inserted.exec(text);
  if (parts === null) return undefined;
  const [first, second] = [
    [parts[1], parts[2]],
    [parts[3], parts[4]],
  ].map(([quoted, bare]) => quoted?.replaceAll('""', '"') ?? bare?.toLowerCase());
  if (first === undefined) return undefined;
  return second === undefined ? { name: first } : { schema: first, name: second };
}

function demandRows(what: string, tables: readonly DumpedTable[]): void {
  const defined = tables.filter((table) => table.defined);
  if (defined.length === 0)
    throw new Refusal(`${what} defines no table: expected a whole dump, definitions and rows`, {
      hint: "write it with pg_dump, without --data-only",
    });
  if (tables.some(({ rows }) => rows === null || (rows ?? 0) > 0)) return;
  const names = defined.map(displayName);
  const which = names.slice(0, 5).join(", ") + (names.length > 5 ? ", …" : "");
  throw new Refusal(`${what} is a schema without data: no row for any of its ${names.length} tables (${which})`, {
    hint: "restore a dump that holds rows; supabase db dump writes them only with --data-only, pg_dump without --schema-only",
    details: names,
  });
}

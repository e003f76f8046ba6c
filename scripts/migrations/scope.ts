/**
 * What the migrations judged so far have made: tables that nobody else has rows in yet, columns without old
 * values, functions whose bodies are known. Only what is certainly new counts: `IF NOT EXISTS` and
 * `OR REPLACE` may have met an existing object, and a branch of a DO block may not have run.
 */
import type { CreateFunctionStmt, TypeName } from "libpg-query";
import type { Fragment } from "./fragment";
import type { WrittenName } from "./syntaxTree";

/** A function or procedure that the set defines. */
export interface Routine {
  /** Tells it from every other one. */
  readonly id: string;
  /** Of the live database: what findings in it say of where they are. */
  readonly live?: string;
  readonly definition: CreateFunctionStmt;
  readonly fragment: Fragment;
  /** UTF-8 byte offsets of its CREATE statement in the fragment. */
  readonly start: number;
  readonly end: number;
}

interface CreatedTable {
  readonly temporary: boolean;
  /** Rows of existing tables hang on it (foreign key, partition, inheritance), or others may have filled it. */
  entangled: boolean;
}

/** Everything besides tables that a drop may name. */
export type ObjectKind =
  | "column"
  /** A new column that the application need not write: it has a default, or numbers itself. */
  | "filled column"
  /** A new column that refuses NULL. */
  | "required column"
  | "constraint"
  | "extension"
  | "foreign table"
  | "function"
  | "index"
  | "materialized view"
  /** A column that a checked constraint keeps from being NULL. */
  | "checked column"
  /** An existing column that the set made NOT NULL. */
  | "not null"
  /** A constraint that is NOT VALID yet. */
  | "unchecked constraint"
  | "policy"
  | "row security"
  | "rule"
  | "schema"
  | "sequence"
  | "trigger"
  | "type"
  | "view"
  | "other";

/** What all branches of a set share. */
interface Session {
  /** Counts what changed in this session. */
  changes: number;
  searchPath: readonly string[];
  readonly prepared: Set<string>;
  readonly extensions: Set<string>;
}

/** Numbers scopes: only told apart by it. */
let scopesMade = 0;

export class Scope {
  private readonly parent: Scope | undefined;
  private readonly id: number;
  /** A loop's body runs again: what it drops must be made in it. */
  private readonly loop: boolean;
  private readonly session: Session;
  private readonly defaultPath: readonly string[];
  private readonly tables = new Map<string, CreatedTable>();
  private readonly objects = new Set<string>();
  private readonly columnTypes: Map<string, TypeName>;
  private readonly requiredColumns: Map<string, string>;
  private readonly definitions: Map<string, Routine[]>;
  private readonly attached: Set<string>;

  constructor(searchPath: readonly string[], parent?: Scope, loop = false) {
    this.defaultPath = searchPath;
    this.parent = parent;
    this.id = scopesMade += 1;
    this.loop = loop;
    this.session =
      parent === undefined ? { changes: 0, searchPath, prepared: new Set(), extensions: new Set() } : parent.session;
    this.columnTypes = parent === undefined ? new Map<string, TypeName>() : parent.columnTypes;
    this.requiredColumns = parent === undefined ? new Map<string, string>() : parent.requiredColumns;
    this.definitions = parent === undefined ? new Map<string, Routine[]>() : parent.definitions;
    this.attached = parent === undefined ? new Set() : parent.attached;
  }

  /** For code that may run or not (`loop`: or again): what it creates is known inside it only. */
  branch(loop: boolean): Scope {
    return new Scope(this.defaultPath, this, loop);
  }

  /** A file starts: the session's settings, temporary tables and prepared statements of the last one are gone. */
  startFile(): void {
    this.session.searchPath = this.defaultPath;
    this.session.prepared.clear();
    for (const [key, table] of this.tables) if (table.temporary) this.tables.delete(key);
  }

  /**
   * Undefined: set to something that cannot be told; unqualified names then match nothing. Returns what
   * puts the former path back.
   */
  setSearchPath(path: readonly string[] | undefined): () => void {
    const former = this.session.searchPath;
    this.session.searchPath = path ?? [];
    return () => {
      this.session.searchPath = former;
    };
  }

  /** Two moments with the same text know the same of everything. */
  get situation(): string {
    return `${this.session.changes} ${this.session.searchPath.join(",")} ${this.chain}`;
  }

  /** The scopes that know something of their own. */
  private get chain(): string {
    const own = this.tables.size + this.objects.size > 0 || this.loop ? `/${this.id}` : "";
    return `${this.parent?.chain ?? ""}${own}`;
  }

  private changed(): void {
    this.session.changes += 1;
  }

  /** Where unqualified names are looked up; empty: that cannot be told. */
  get searchPath(): readonly string[] {
    return this.session.searchPath;
  }

  /** The schema that an unqualified name of a new object goes to, and is found in first. */
  schemaOf(name: WrittenName): string | undefined {
    return name.schema ?? this.session.searchPath[0];
  }

  addTable(name: WrittenName, temporary: boolean, entangled: boolean): void {
    const schema = temporary ? temporarySchema : this.schemaOf(name);
    if (schema === undefined) return;
    this.changed();
    this.tables.set(tableKey(schema, name.name), { temporary: schema === temporarySchema, entangled });
  }

  /** Is this a table that the set made and that nothing existing hangs on? */
  isFreeTable(name: WrittenName): boolean {
    const table = this.findTable(name, false);
    return table !== undefined && !table.entangled;
  }

  /** Did the set make this table, whatever hangs on it? */
  isCreatedTable(name: WrittenName): boolean {
    return this.findTable(name, false) !== undefined;
  }

  entangle(name: WrittenName): void {
    const table = this.findTable(name, false);
    if (table === undefined) return;
    table.entangled = true;
    this.changed();
  }

  /** Takes a table out of the scope; true if it was the set's own to drop. The next of that name is another. */
  dropTable(name: WrittenName): boolean {
    const free = this.findTable(name, true)?.entangled === false;
    const [key, holder] = this.locateTable(name);
    if (holder?.tables.delete(key) === true) this.changed();
    return free;
  }

  /** The set renames a table of its own. */
  renameTable(from: WrittenName, newName: string): void {
    const [key, holder] = this.locateTable(from);
    const table = holder?.tables.get(key);
    if (table === undefined) return;
    holder?.tables.delete(key);
    const schema = table.temporary ? undefined : this.schemaOf(from);
    this.addTable({ schema, name: newName }, table.temporary, table.entangled);
  }

  addObject(kind: ObjectKind, name: WrittenName, part?: string): void {
    const key = this.objectKey(kind, name, part);
    if (key === undefined) return;
    this.objects.add(key);
    this.changed();
  }

  hasObject(kind: ObjectKind, name: WrittenName, part?: string): boolean {
    const key = this.objectKey(kind, name, part);
    return key !== undefined && this.findObject(key) !== undefined;
  }

  /** Takes an object out of the scope; true if the set had made it. */
  dropObject(kind: ObjectKind, name: WrittenName, part?: string): boolean {
    const key = this.objectKey(kind, name, part);
    const holder = key === undefined ? undefined : this.findObject(key);
    this.changed();
    return key !== undefined && (holder?.objects.delete(key) ?? false);
  }

  /** The type that the set itself gave a column of an existing table. */
  columnType(table: WrittenName, column: string): TypeName | undefined {
    return this.columnTypes.get(`${this.key(table) ?? ""} ${column}`);
  }

  setColumnType(table: WrittenName, column: string, type: TypeName): void {
    const key = this.key(table);
    if (key !== undefined) this.columnTypes.set(`${key} ${column}`, type);
  }

  /** The constraint says, once it is checked, that the column is never NULL. */
  noteRequired(table: WrittenName, constraint: string, column: string): void {
    const key = this.key(table);
    if (key !== undefined) this.requiredColumns.set(`${key} ${constraint}`, column);
  }

  requiredBy(table: WrittenName, constraint: string): string | undefined {
    return this.requiredColumns.get(`${this.key(table) ?? ""} ${constraint}`);
  }

  /** A second definition of one name may be an overload or a replacement: both are kept. */
  addRoutine(name: WrittenName, routine: Routine): void {
    const key = this.key(name);
    this.changed();
    if (key !== undefined) this.definitions.set(key, [...(this.definitions.get(key) ?? []), routine]);
  }

  routines(name: WrittenName): readonly Routine[] {
    return this.definitions.get(this.key(name) ?? "") ?? [];
  }

  /** Something existing runs this function from now on: a later replacement of its body counts too. */
  attach(name: WrittenName): void {
    const key = this.key(name);
    if (key !== undefined) this.attached.add(key);
  }

  isAttached(name: WrittenName): boolean {
    return this.attached.has(this.key(name) ?? "");
  }

  /** An extension that is certainly there once the set ran, whether it was before or not. */
  addExtension(name: string): void {
    this.session.extensions.add(name);
  }

  hasExtension(name: string): boolean {
    return this.session.extensions.has(name);
  }

  prepare(name: string): void {
    this.session.prepared.add(name);
  }

  isPrepared(name: string): boolean {
    return this.session.prepared.has(name);
  }

  private key(name: WrittenName): string | undefined {
    const schema = this.schemaOf(name);
    return schema === undefined ? undefined : tableKey(schema, name.name);
  }

  private objectKey(kind: ObjectKind, name: WrittenName, part: string | undefined): string | undefined {
    const key = this.key(name);
    return key === undefined ? undefined : `${kind} ${key} ${part ?? ""}`;
  }

  private findObject(key: string): Scope | undefined {
    return this.objects.has(key) ? this : this.parent?.findObject(key);
  }

  private findTable(name: WrittenName, stopAtLoop: boolean): CreatedTable | undefined {
    const [key, holder] = this.locateTable(name, stopAtLoop);
    return holder?.tables.get(key);
  }

  /** A temporary table hides one of the same name, unless the search path names `pg_temp` further back. */
  private locateTable(name: WrittenName, stopAtLoop = false): [key: string, holder: Scope | undefined] {
    const temporary = tableKey(temporarySchema, name.name);
    const place = this.session.searchPath.indexOf(temporarySchema);
    const hides = name.schema === undefined && this.session.searchPath.length > 0 && place <= 0;
    const hidden = hides ? this.holderOf(temporary, stopAtLoop) : undefined;
    if (hidden !== undefined) return [temporary, hidden];
    const key = this.key(name) ?? "";
    return [key, this.holderOf(key, stopAtLoop)];
  }

  private holderOf(key: string, stopAtLoop: boolean): Scope | undefined {
    if (this.tables.has(key)) return this;
    return stopAtLoop && this.loop ? undefined : this.parent?.holderOf(key, stopAtLoop);
  }
}

/** The alias of the session's own schema; what lies in it ends with the session. */
const temporarySchema = "pg_temp";

function tableKey(schema: string, name: string): string {
  return JSON.stringify([schema, name]);
}

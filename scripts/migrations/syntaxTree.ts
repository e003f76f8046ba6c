/** Small readers of libpg-query's syntax trees: names, node kinds, and a walk over everything below a node. */
import type { Node, RangeVar, TypeName } from "libpg-query";

type KeyOf<T> = T extends unknown ? keyof T : never;

/** `SelectStmt`, `FuncCall`, …: the key that wraps a node. */
export type NodeKind = KeyOf<Node>;

export type NodeOf<K extends NodeKind> = Extract<Node, Record<K, unknown>> extends Record<K, infer V> ? V : never;

/** The kind of a node and what it wraps. */
export function unwrap(node: Node): { kind: NodeKind; value: object } {
  const [kind, value] = Object.entries(node)[0] as [NodeKind, object];
  return { kind, value };
}

/** The value of a node if it is of that kind. */
export function as<K extends NodeKind>(node: Node | undefined, kind: K): NodeOf<K> | undefined {
  if (node === undefined || !(kind in node)) return undefined;
  return (node as Record<K, NodeOf<K>>)[kind];
}

/** The strings of a list of `String` nodes: a qualified name, an option's words. */
export function strings(nodes: readonly Node[] | undefined): string[] {
  return (nodes ?? []).flatMap((node) => as(node, "String")?.sval ?? []);
}

/** A name as written: with its schema, or without. */
export interface WrittenName {
  /** Empty for what lies in no schema: schemas, extensions. */
  readonly schema: string | undefined;
  readonly name: string;
}

/** The last two parts of a qualified name; a database's name before them is the current database. */
export function writtenName(parts: readonly string[]): WrittenName {
  return { schema: parts.at(-2), name: parts.at(-1) ?? "" };
}

export function relationName(relation: RangeVar | undefined): WrittenName {
  return { schema: relation?.schemaname, name: relation?.relname ?? "" };
}

export function typeNameOf(type: TypeName | undefined): WrittenName {
  return writtenName(strings(type?.names));
}

export function display(name: WrittenName): string {
  return name.schema === undefined || name.schema === "" ? name.name : `${name.schema}.${name.name}`;
}

/** Is a yes-or-no option of a utility statement on? Without a value it is (PostgreSQL's defGetBoolean). */
export function hasOption(options: readonly Node[] | undefined, name: string): boolean {
  const option = (options ?? []).map((node) => as(node, "DefElem")).findLast((one) => one?.defname === name);
  if (option === undefined) return false;
  const word = as(option.arg, "String")?.sval?.toLowerCase() ?? "";
  const number = as(option.arg, "Integer");
  return !["false", "off"].includes(word) && (number === undefined || (number.ival ?? 0) !== 0);
}

/**
 * Calls `onNode` for every wrapped node below (and including) `tree`, in the order of the tree's fields.
 * Returning false leaves out what is below that node. Not recursive: expressions nest thousands deep.
 */
export function visit(tree: unknown, onNode: (kind: NodeKind, value: object) => boolean | void): void {
  const stack: unknown[] = [tree];
  while (stack.length > 0) {
    const next = stack.pop();
    if (typeof next !== "object" || next === null) continue;
    if (Array.isArray(next)) {
      for (let place = next.length - 1; place >= 0; place--) stack.push(next[place]);
      continue;
    }
    const entries = Object.entries(next);
    for (const [key, value] of entries.reverse()) {
      // Fields are written in lower case, wrapping kinds with a capital.
      const wraps = /^[A-Z]/.test(key) && typeof value === "object" && value !== null;
      if (!wraps || onNode(key as NodeKind, value as object) !== false) stack.push(value);
    }
  }
}

/**
 * Which changes of a column's type keep every value: the casts of PostgreSQL that widen (manual, "8.1 Numeric
 * Types" to "8.5 Date/Time Types"). Whatever is not listed counts as narrowing.
 */
import type { TypeName } from "libpg-query";
import { parseStatements } from "./parser";
import { SourceText } from "./sourceText";
import { as, typeNameOf } from "./syntaxTree";

interface ColumnType {
  /** The server's own name: `int4`, `varchar`. */
  readonly name: string;
  /** Length, or precision and scale; empty: unlimited. */
  readonly modifiers: readonly number[];
  readonly dimensions: number;
}

/** Does every value of `from` fit into `to` unchanged? */
export function keepsEveryValue(from: TypeName, to: TypeName): boolean {
  const [before, after] = [columnTypeOf(from), columnTypeOf(to)];
  if (before.dimensions !== after.dimensions) return false;
  return before.name === after.name
    ? modifiersWiden(before, after)
    : (widenings[before.name]?.(before, after) ?? false);
}

/**
 * Must the server write every row anew for a change that keeps every value? Not where the bytes stay the same: casts
 * without a function, and lengths that only grow (ATColumnChangeRequiresRewrite, and the support functions of numeric,
 * varchar, varbit and the times in PostgreSQL's source).
 */
export function rewritesEveryRow(from: TypeName, to: TypeName): boolean {
  const [before, after] = [columnTypeOf(from), columnTypeOf(to)];
  if (before.name === after.name) {
    return after.name === "numeric" && !unlimited(after) && scale(before) !== scale(after);
  }
  return !sameBytes.has(before.name);
}

/** Types that widen to another one, above, by relabelling alone. */
const sameBytes = new Set(["varchar", "citext", "text", "cidr"]);

/** `text`, or `varchar` without a length: whatever is cast to it without USING keeps its value as text. */
export function isUnlimitedText(type: TypeName | undefined): boolean {
  const name = typeNameOf(type).name;
  return (name === "text" || name === "varchar") && (type?.typmods ?? []).length === 0;
}

type Widening = (from: ColumnType, to: ColumnType) => boolean;

const unlimited = (to: ColumnType): boolean => to.modifiers.length === 0;

/** Integers of up to `digits` decimal digits: into wider integers, numerics with room, exact floats. */
const fromInteger =
  (digits: number, wider: readonly string[]): Widening =>
  (_, to) =>
    wider.includes(to.name) || (to.name === "numeric" && (unlimited(to) || integerDigits(to) >= digits));

const toText: Widening = (_, to) => to.name === "text" && unlimited(to);

const widenings: Readonly<Record<string, Widening>> = {
  int2: fromInteger(5, ["int4", "int8", "float4", "float8"]),
  int4: fromInteger(10, ["int8", "float8"]),
  int8: fromInteger(19, []),
  float4: (_, to) => to.name === "float8",
  varchar: toText,
  citext: toText,
  // Without a length, text and varchar are the same; with one, text is narrowed.
  text: (_, to) => to.name === "varchar" && unlimited(to),
  cidr: (_, to) => to.name === "inet",
};

function modifiersWiden(from: ColumnType, to: ColumnType): boolean {
  if (unlimited(to)) return !["bpchar", "bit"].includes(to.name) || unlimited(from);
  if (from.modifiers.join() === to.modifiers.join()) return true;
  if (unlimited(from)) return false;
  switch (to.name) {
    case "numeric":
      return scale(to) >= scale(from) && integerDigits(to) >= integerDigits(from);
    case "varchar":
    case "varbit":
    case "timestamp":
    case "timestamptz":
    case "time":
    case "timetz":
      return (to.modifiers[0] ?? 0) >= (from.modifiers[0] ?? 0);
    default:
      return false;
  }
}

function scale(type: ColumnType): number {
  return type.modifiers[1] ?? 0;
}

function integerDigits(type: ColumnType): number {
  return (type.modifiers[0] ?? 0) - scale(type);
}

function columnTypeOf(type: TypeName): ColumnType {
  return {
    name: typeNameOf(type).name,
    modifiers: (type.typmods ?? []).map((modifier) => integerOf(as(modifier, "A_Const")?.ival)),
    dimensions: type.arrayBounds?.length ?? 0,
  };
}

/** The tree leaves zeros out: `numeric(10,0)`. */
function integerOf(constant: { ival?: number } | undefined): number {
  return constant === undefined ? Number.NaN : (constant.ival ?? 0);
}

/** The tree of a type as `format_type` writes it; undefined where that is not a type. */
export function parseTypeName(text: string): TypeName | undefined {
  try {
    const [statement] = parseStatements(new SourceText("", `SELECT NULL::${text}`));
    const target = as(as(statement?.node, "SelectStmt")?.targetList?.[0], "ResTarget");
    return as(target?.val, "TypeCast")?.typeName;
  } catch {
    return undefined;
  }
}

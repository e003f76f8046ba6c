/** What a data check expects of its query's result: the grammar of `-- expect:`, and the judgement. Pure. */

const comparisons = {
  "=": (order: number) => order === 0,
  "<>": (order: number) => order !== 0,
  "<": (order: number) => order < 0,
  "<=": (order: number) => order <= 0,
  ">": (order: number) => order > 0,
  ">=": (order: number) => order >= 0,
} as const;

type Operator = keyof typeof comparisons;

export type Expectation =
  /** Of the number of rows. */
  | { readonly of: "rows"; readonly operator: Operator; readonly number: string; readonly text: string }
  /** Of the first column of the only row. */
  | { readonly of: "value"; readonly operator: Operator; readonly number: string; readonly text: string }
  | { readonly of: "text"; readonly expected: string; readonly text: string };

export const expectationForms = "no rows, rows, rows >= N, value <op> N or value = text (op: = <> < <= > >=)";

/** Undefined when the text has none of the `expectationForms`. */
export function parseExpectation(text: string): Expectation | undefined {
  if (text === "no rows") return { of: "rows", operator: "=", number: "0", text };
  if (text === "rows") return { of: "rows", operator: ">", number: "0", text };
  const parts = /^(rows|value)\s*(<>|<=|>=|=|<|>)\s*(\S.*)$/.exec(text);
  if (parts === null) return undefined;
  const [, of, operator, expected] = parts as unknown as [string, "rows" | "value", Operator, string];
  if (of === "rows") return /^\d+$/.test(expected) ? { of, operator, number: expected, text } : undefined;
  if (isNumeric(expected)) return { of, operator, number: expected, text };
  return operator === "=" ? { of: "text", expected, text } : undefined;
}

export interface QueryResult {
  /** Names of the columns. */
  readonly columns: readonly string[];
  /** The first rows, every value as PostgreSQL writes it (booleans as true and false), SQL NULL as null. */
  readonly rows: readonly (readonly (string | null)[])[];
  readonly rowCount: number;
}

/** Whether the result is as expected, and what was found in words. */
export function judge(
  expectation: Expectation,
  result: QueryResult,
): { readonly met: boolean; readonly found: string } {
  const counted = result.rowCount === 1 ? "1 row" : `${result.rowCount} rows`;
  if (expectation.of === "rows") {
    return { met: holds(String(result.rowCount), expectation.operator, expectation.number), found: counted };
  }
  if (result.rowCount !== 1) return { met: false, found: `${counted} instead of one` };
  const value = result.rows[0]?.[0] ?? null;
  if (value === null) return { met: false, found: "NULL" };
  if (expectation.of === "text") return { met: value === expectation.expected, found: value };
  return { met: isNumeric(value) && holds(value, expectation.operator, expectation.number), found: value };
}

function isNumeric(text: string): boolean {
  return /^-?\d+(\.\d+)?$/.test(text);
}

function holds(found: string, operator: Operator, expected: string): boolean {
  return comparisons[operator](orderOf(found, expected));
}

/** Whole numbers exactly (a count may exceed 2^53), others as floating point. */
function orderOf(a: string, b: string): number {
  if (a.includes(".") || b.includes(".")) return Math.sign(Number(a) - Number(b));
  return BigInt(a) < BigInt(b) ? -1 : BigInt(a) > BigInt(b) ? 1 : 0;
}

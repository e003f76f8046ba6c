/** JSON that somebody hands to a command, in a file or a variable: read and checked, or one line that says what is wrong with it. */
import type { z } from "zod";
import { UsageError, messageOf } from "./failure";

/**
 * @param read gives the text; may throw.
 * @param source the option or variable, as the message begins: `--plan: found plan.json`.
 * @throws UsageError when it cannot be read, is no JSON, or does not fit the schema.
 */
export function readJson<T extends z.ZodType>(schema: T, read: () => string, source: string): z.output<T> {
  let document: unknown;
  try {
    document = JSON.parse(read());
  } catch (error) {
    throw new UsageError(`${source}: cannot be read as JSON: ${messageOf(error)}`);
  }
  return parseDocument(schema, document, source);
}

/** Parses `value` or throws one line for the first mistake: `<source>: <key>: found …: <expected>`. */
export function parseDocument<T extends z.ZodType>(schema: T, value: unknown, source: string): z.output<T> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const key = issue?.path.join(".") ?? "";
  const found = issue?.input === undefined ? "nothing" : JSON.stringify(issue.input).slice(0, 80);
  throw new UsageError(`${source}: ${key === "" ? "document" : key}: found ${found}: ${issue?.message ?? "invalid"}`);
}

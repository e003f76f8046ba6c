/** Quotes identifiers and literals for SQL that cannot take parameters (PostgreSQL manual, "4.1 Lexical Structure"). */
import { escapeIdentifier, escapeLiteral } from "pg";

export const quoteIdentifier = escapeIdentifier;
export const quoteLiteral = escapeLiteral;

export interface QualifiedName {
  readonly schema: string;
  readonly name: string;
}

/** `"schema"."name"`: for SQL. */
export function quoteName(name: QualifiedName): string {
  return `${quoteIdentifier(name.schema)}.${quoteIdentifier(name.name)}`;
}

/** `schema.name`: for people, settings and manifests. */
export function displayName(name: QualifiedName): string {
  return `${name.schema}.${name.name}`;
}

/** What another linter says of a file, and which of our own rules say the same. */
import type { RuleId } from "./ruleCatalog";

/** What squawk says of a file. */
export interface Opinion {
  readonly rule: SquawkRule;
  /** UTF-16 index in the file's text. */
  readonly index: number;
  readonly reason: string;
}

/**
 * Left out is its `adding-field-with-default`: which functions give one value for all rows is PostgreSQL's catalog to say.
 * By squawk's rule: those of ours that say the same of a statement, be it that it is refused or that it is harmless.
 */
export const squawkRules = {
  "adding-foreign-key-constraint": ["constraint-scans-table", "reference-locks-parent", "cascading-foreign-key"],
  "adding-not-nullable-field": ["set-not-null", "required-column", "checked-not-null"],
  "adding-serial-primary-key-field": ["constraint-builds-index", "rewrites-table"],
  "changing-column-type": ["narrow-type", "change-type", "rewrites-table"],
  "constraint-missing-not-valid": [
    "long-lock",
    "constraint-scans-table",
    "constraint-builds-index",
    "validate-in-same-file",
  ],
  "disallowed-unique-constraint": ["constraint-builds-index"],
  "prefer-repack": ["vacuum-full"],
  "require-concurrent-index-creation": ["index-blocks-writers"],
  "require-concurrent-index-deletion": ["drop-index-blocks-writers", "drop-cascade"],
  "require-concurrent-partition-detach": ["detach-partition"],
  "require-concurrent-reindex": ["reindex-blocks-writers"],
  "require-lock-timeout": [],
  "require-statement-timeout": [],
} as const satisfies Record<string, readonly RuleId[]>;

export type SquawkRule = keyof typeof squawkRules;

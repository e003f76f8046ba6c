/** What a source of environment variables answers, whichever it is. */

/** What one source holds of one variable. */
export interface SourceVariable {
  /** Undefined: it is there, but the platform gives its value to nobody. */
  readonly value: string | undefined;
  /** What stands for the value that cannot be read: it differs after every edit. */
  readonly mark?: string;
  /** Who changed it last, and when (UTC, ISO 8601), where the source tells. */
  readonly edited?: { readonly at: string; readonly by: string | null };
}

/** What a source holds, and which one it is within its kind. */
export interface ReadSource {
  readonly target: string;
  readonly found: Readonly<Record<string, SourceVariable>>;
}

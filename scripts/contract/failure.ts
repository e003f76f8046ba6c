/**
 * How this program says no: one class per exit code of the contract, so that whoever throws decides the
 * code and nobody has to map messages to numbers. Anything that is not a `Failure` is a bug of ours and
 * the only thing that prints a stack trace.
 */

/** The process exit codes that scripts and CI may rely on. */
export const exitCode = {
  /** Everything that was asked for was done and proven. */
  pass: 0,
  /** A check said no: halt, migration refused, verification failed, right missing, prompt declined. */
  refused: 1,
  /** Usage or configuration: nothing was changed. */
  usage: 2,
  /** A database, store or API cannot be reached, or a lock or lease is held by somebody else. */
  unreachable: 3,
  /** Stored data is damaged: checksum, truncation. Nothing was overwritten. */
  damaged: 4,
  /** SIGINT, SIGTERM or SIGHUP. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

/** The user-facing error: a one-line message and, where there is one, what to do about it. */
export abstract class Failure extends Error {
  abstract readonly exitCode: ExitCode;
  /** What to do about it; printed after the message. */
  readonly hint: string | undefined;

  constructor(message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.hint = options.hint;
  }
}

/** A check said no (exit 1). `details` are further lines for the person who has to act. */
export class Refusal extends Failure {
  readonly exitCode = exitCode.refused;
  readonly details: readonly string[];

  constructor(message: string, options: { hint?: string; cause?: unknown; details?: readonly string[] } = {}) {
    super(message, options);
    this.details = options.details ?? [];
  }
}

/** A wrong flag, key or environment variable (exit 2): which, what was found, what is expected, what to do. */
export class UsageError extends Failure {
  readonly exitCode = exitCode.usage;
}

/** Unreachable or busy (exit 3): names the host, never the password. */
export class Unavailable extends Failure {
  readonly exitCode = exitCode.unreachable;
}

/** Stored data is damaged (exit 4). */
export class Damage extends Failure {
  readonly exitCode = exitCode.damaged;
}

/** The run was interrupted by SIGINT, SIGTERM or SIGHUP (exit 130). */
export class Interrupted extends Failure {
  readonly exitCode = exitCode.interrupted;
}

/** The text of whatever was thrown, without its stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node.js or PostgreSQL error ("ENOENT", "42P01"), if it has one. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

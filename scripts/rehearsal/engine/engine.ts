/** What the rehearsal asks of an engine: one `pulumi up` of the project's own program, preview first. */

export interface UpOptions {
  /** Folder of `Pulumi.yaml` and the program; nothing is written there. */
  readonly projectDir: string;
  /** Where the engine keeps the stacks' state between calls; created when absent. */
  readonly stateDir: string;
  readonly stack: string;
  /** Stack configuration by full key (`database-protection:checks`); objects and lists as they are. */
  readonly config: Readonly<Record<string, ConfigValue>>;
  /** The same, for what `pulumi config set --secret` would hold. Default: none. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Added to this process's environment for everything that the program starts. Default: nothing. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called with each line of progress. Default: progress is dropped. */
  readonly onLine?: (line: string) => void;
  /** Stops the engine and what it started. */
  readonly signal?: AbortSignal;
}

export type ConfigValue = string | number | boolean | readonly unknown[] | { readonly [key: string]: unknown };

/** `not-run`: the preview announced it, but what it depends on failed. */
export type ResourceOperation = "create" | "update" | "same" | "delete" | "failed" | "not-run";

export interface ResourceOutcome {
  readonly urn: string;
  readonly type: string;
  readonly op: ResourceOperation;
}

export interface UpResult {
  /** Whether everything converged, as `pulumi up`'s exit code 0 says. */
  readonly ok: boolean;
  /** The phase that the run ended in: a failing preview changes nothing. */
  readonly phase: "preview" | "update";
  /** What happened to each resource in that phase. */
  readonly resources: readonly ResourceOutcome[];
  /** The messages that the user sees, each once. */
  readonly errors: readonly string[];
  /** The stack's outputs, secret ones as `[secret]`; empty unless `ok`. */
  readonly outputs: Readonly<Record<string, unknown>>;
}

export interface Engine {
  /** `automation`: the real CLI. `in-process`: the stand-in. */
  readonly name: "automation" | "in-process";
  up(options: UpOptions): Promise<UpResult>;
  /** Begins to load what the first `up` needs, while something else is being waited for; then `close` is due. */
  prepare(): void;
  /** Ends what it keeps ready for the next `up`; a process that doesn't call it does not end by itself. */
  close(): void;
}

/** The text that Pulumi keeps for a configuration value: objects and lists as JSON. */
export function configText(value: ConfigValue): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

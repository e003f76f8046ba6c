/** What the engine and the process that runs programs tell each other, as JSON lines. */
import type { ResourceOutcome } from "./engine";
import type { Properties } from "./wire";

export interface HostJob {
  readonly projectDir: string;
  readonly program: string;
  readonly project: string;
  readonly stack: string;
  readonly preview: boolean;
  readonly config: Readonly<Record<string, string>>;
  readonly secretKeys: readonly string[];
  readonly stateFile: string;
  readonly passphrase: string;
  /** Added to the environment before the program is loaded. */
  readonly env: Readonly<Record<string, string>>;
}

export type HostEvent =
  | { readonly kind: "line"; readonly line: string }
  | { readonly kind: "outcome"; readonly outcome: ResourceOutcome }
  | { readonly kind: "error"; readonly message: string }
  | { readonly kind: "outputs"; readonly outputs: Properties }
  /** The last one of a job. */
  | { readonly kind: "end"; readonly ok: boolean };

/** What every step of the gate is given, and what steps hand on to later ones. */
import type { BackupReference } from "../backup/manifest";
import type { DatabaseIdentity } from "../database/identity";
import type { DatabaseTarget } from "../database/target";
import type { EndpointBaseline } from "../record/healthBaseline";
import type { Receipt, RollbackTargets, StepReport } from "../record/receipt";
import type { Trial } from "../record/trial";
import type { Override, OperationSettings } from "../settings";
import type { ScratchDatabase } from "../scratch/scratchServer";
import type { Store } from "../store/store";
import type { VerificationResult } from "../verification/verificationResult";

export interface GateContext {
  readonly settings: OperationSettings;
  readonly target: DatabaseTarget;
  /** Undefined while its address is not known: the very first preview. */
  readonly store: Store | undefined;
  readonly runId: string;
  readonly releaseVersion: string;
  /** `project/stack`, or who runs the gate by hand: may take over what the same holder left behind. */
  readonly stack: string;
  /** Of the application; may hold credentials, which go into no receipt. */
  readonly addresses: { readonly appUrl: string | undefined; readonly frontendUrl: string | undefined };
  /**
   * Whether a lease that the same stack left behind may be taken over at once. True for a stack of Pulumi's,
   * whose own lock proves that the former run has ended; by hand only a person can know.
   */
  readonly takeOver: boolean;
  /** Seconds to wait for a lease that another run holds. */
  readonly waitSeconds: number;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/** Filled step by step; a step that needs something names the step it comes from when it is absent. */
export interface GateState {
  identity?: DatabaseIdentity;
  /** The pending migrations as they were judged. */
  migrations?: Receipt["migrations"];
  /** What running them on the restored copy did. */
  trial?: Trial;
  /** What is live on the platforms. */
  rollback?: RollbackTargets;
  backup?: BackupReference & {
    readonly lsn: string;
    readonly takenAt: string;
    /** How old a reused one is; null: this gate took it. */
    readonly rpoSeconds: number | null;
  };
  verification?: VerificationResult;
  /** How the application answers. */
  baseline?: readonly EndpointBaseline[];
  restorePoint?: Exclude<Receipt["restorePoint"], null>;
  /** Where the backup is restored: starts while it is taken. Whoever ends the gate without a receipt closes it. */
  scratch?: Promise<ScratchDatabase>;
  readonly usedOverrides: Override[];
  /** The steps that ended so far, for the receipt. */
  readonly reports: StepReport[];
  receiptSha256?: string;
}

/** Something a step found wrong that an override in the stack's config may let pass. */
export interface GateFinding {
  /** With the step's name before it, what an override names: `migrations:20260103_purge.sql:delete`. */
  readonly id: string;
  readonly message: string;
  /** Lets it pass where no override names it: of an earlier step, for the same statement. */
  readonly coveredBy?: Override;
}

export interface StepResult {
  readonly summary: string;
  readonly evidence?: readonly string[];
  /** Not empty: the step halts the gate, unless each finding is overridden. */
  readonly findings?: readonly GateFinding[];
  /** What to do about the findings. */
  readonly hint?: string;
  /** True: the step could not do its work yet, and `summary` says why. */
  readonly skipped?: boolean;
}

export interface GateStep {
  readonly name: string;
  run(context: GateContext, state: GateState): Promise<StepResult>;
}

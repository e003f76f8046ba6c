/**
 * What the gate guards: migrations, then Railway, then Vercel, each a Command where it is configured, then the watch over
 * what they released, then the verification that no row was lost. Nothing of it starts unless the gate of the same `up` passed.
 */
import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { OperationSettings } from "../scripts/settings";
import { type CommandAccess, type CommandName, commandLine, releaseEnvironment } from "./commands";

export interface GuardedReleaseArgs {
  /** How the commands find their program, the store and the database. */
  readonly access: CommandAccess;
  /** What is released, say a git SHA. Meant to be the only input that changes from release to release. */
  readonly releaseVersion: string;
  /** Which steps there are; a step that is not configured is absent. The rest of their settings is in the receipt. */
  readonly operation: Pick<OperationSettings, "migrations" | "railway" | "vercel" | "watch" | "replica">;
  /** What the release waits for: the gate's Command, and the environment's snapshot. */
  readonly after: readonly pulumi.Resource[];
  /** Resources of your own that are part of the release, so that the verification waits for them. Defaults to none. */
  readonly alsoReleased?: readonly pulumi.Resource[];
}

/** A failing release compares every table before it exits, and the verification always does. */
const comparisonSeconds = 2 * 60 * 60;

/** Migrations have no deadline of their own: one that is stopped half-way helps nobody. */
const migrationSeconds = 4 * 60 * 60;

/** New tables are copied, and tables with new columns compared. */
const syncSeconds = 4 * 60 * 60;

export class GuardedRelease extends pulumi.ComponentResource {
  /** The configured steps in the order in which they run. */
  readonly steps: readonly local.Command[];
  /** Carries what the migrations added over to the live replica; nothing waits for it. Undefined: there are not both. */
  readonly replicaSync: local.Command | undefined;
  /** Runs after every step, and after your own resources; undefined where `watch.soakMinutes` is 0. */
  readonly watch: local.Command | undefined;
  /** Runs after every step and the watch; fails, naming the rows, when one was lost. */
  readonly verification: local.Command;

  constructor(name: string, args: GuardedReleaseArgs, opts?: pulumi.ComponentResourceOptions) {
    super("database-protection:index:GuardedRelease", name, {}, opts);
    const { migrations, railway, vercel, watch, replica } = args.operation;
    const steps: local.Command[] = [];
    const addStep = (step: string, command: CommandName, seconds: number): void => {
      steps.push(this.command(`${name}-${step}`, command, args, seconds + comparisonSeconds, steps));
    };
    if (migrations !== undefined) addStep("migrations", "releaseMigrations", migrationSeconds);
    this.replicaSync =
      migrations === undefined || replica === undefined
        ? undefined
        : this.command(`${name}-replica-sync`, "replicaSync", args, syncSeconds, [...steps], {
            DBPROTECT_SETTINGS: JSON.stringify({ replica }),
          });
    if (railway !== undefined) addStep("railway", "releaseRailway", railway.timeoutSeconds);
    if (vercel !== undefined) addStep("vercel", "releaseVercel", vercel.timeoutSeconds);
    this.steps = steps;
    const released = [...steps, ...(args.alsoReleased ?? [])];
    const soakSeconds = Math.ceil(watch.soakMinutes * 60);
    this.watch =
      soakSeconds === 0
        ? undefined
        : this.command(`${name}-watch`, "watch", args, soakSeconds + comparisonSeconds, released);
    const watched = this.watch === undefined ? released : [...released, this.watch];
    this.verification = this.command(`${name}-verification`, "verifyPostDeploy", args, comparisonSeconds, watched);
    this.registerOutputs({});
  }

  /** Depends on the gate itself, not only on its predecessor: no step may outlive the removal of another. */
  private command(
    name: string,
    command: CommandName,
    args: GuardedReleaseArgs,
    seconds: number,
    predecessors: readonly pulumi.Resource[],
    environment: Record<string, string> = {},
  ): local.Command {
    return new local.Command(
      name,
      {
        create: commandLine(command, args.access.program),
        environment: { ...releaseEnvironment(args.access, args.releaseVersion), ...environment },
        addPreviousOutputInEnv: false,
      },
      {
        parent: this,
        dependsOn: [...args.after, ...predecessors],
        customTimeouts: { create: `${seconds}s`, update: `${seconds}s` },
      },
    );
  }
}

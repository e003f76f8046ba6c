/**
 * The gate before a release, as resources: its read-only part at every preview, all of it at every `up`.
 * Whatever must not happen when the gate halts depends on `command`.
 */
import { randomBytes } from "node:crypto";
import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import { type CommandAccess, type OperationContext, commandLine, gateEnvironment } from "./commands";
import { halt, knownOr } from "./sdk";

export interface DeployGateArgs {
  /** How the gate finds its program, the store and the database. */
  readonly access: CommandAccess;
  /** What the gate checks, and for which release. */
  readonly context: OperationContext;
}

/** What `gate preview` prints; it exits 0 with either verdict. */
const previewSchema = z.object({
  verdict: z.enum(["pass", "halt"]),
  message: z.string().nullable(),
  hint: z.string().nullable(),
  /** Steps that could not be judged yet. */
  skipped: z.array(z.string()),
});

/** Stands for what was not printed; never empty, so that a program which prints nothing is not mistaken for it. */
const notKnown = "not known before pulumi up";

export class DeployGate extends pulumi.ComponentResource {
  /** The Command that a release must depend on. It runs at every `up` and fails when the gate halts. */
  readonly command: local.Command;
  /** SHA-256 of the receipt that this run wrote, or `unchanged` where `releaseVersion` is live already. */
  readonly receipt: pulumi.Output<string>;

  /** @param opts `dependsOn` names what the gate needs first, such as the bucket with its versioning and policy. */
  constructor(name: string, args: DeployGateArgs, opts?: pulumi.ComponentResourceOptions) {
    super("database-protection:index:DeployGate", name, {}, opts);
    const passed = this.preview(args);
    // Past it the gate is ended, cleans up, and nothing is released.
    const longest = `${args.context.operation.gate.timeoutSeconds}s`;
    this.command = new local.Command(
      `${name}-run`,
      {
        create: commandLine("gateRun", args.access.program),
        // The run id makes an input differ each time, so that the gate runs at every `up`.
        environment: {
          ...gateEnvironment(args.access, args.context),
          DBPROTECT_RUN_ID: randomBytes(8).toString("hex"),
        },
        // The last run's progress has no business in this run's environment, where its size could exceed the limit.
        addPreviousOutputInEnv: false,
      },
      {
        parent: this,
        dependsOn: passed,
        customTimeouts: { create: longest, update: longest },
      },
    );
    // With a secret among its inputs the engine marks every output secret; the hash of a receipt is none.
    this.receipt = pulumi.unsecret(this.command.stdout);
    this.registerOutputs({ receipt: this.receipt });
  }

  /**
   * Runs the read-only part and fails the program with one line when it halts. Resolves to no resources, for
   * `dependsOn`: an environment would carry the failure too, but with the SDK's own words around it. An update has
   * nothing to add: the Command checks all of it again, against the database as it is then.
   */
  private preview(args: DeployGateArgs): pulumi.Output<pulumi.Resource[]> {
    if (!pulumi.runtime.isDryRun()) return pulumi.output([]);
    // The read-only part does not look at the replica.
    const { awsRegion, replicaUrl, ...access } = args.access;
    const known: CommandAccess = {
      ...access,
      backupStore: knownOr(pulumi.output(args.access.backupStore), ""),
      ...(awsRegion === undefined ? {} : { awsRegion: knownOr(pulumi.output(awsRegion), "") }),
    };
    const printed = local.runOutput(
      {
        command: commandLine("gatePreview", args.access.program),
        environment: gateEnvironment(known, args.context),
        logging: local.Logging.Stderr,
        addPreviousOutputInEnv: false,
      },
      { parent: this },
    ).stdout;
    return knownOr(pulumi.unsecret(printed), notKnown).apply((text) => {
      if (text === notKnown) {
        void pulumi.log.info("gate not previewed: the database's address is not known before pulumi up", this);
        return [];
      }
      const { verdict, message, hint, skipped } = parsePreview(text);
      if (verdict === "halt") {
        throw halt([`the gate halts: ${message ?? "no reason given"}`, ...(hint === null ? [] : [hint])].join(": "));
      }
      if (skipped.length > 0) {
        void pulumi.log.info(`not judged before the store exists: ${skipped.join(", ")}`, this);
      }
      return [];
    });
  }
}

function parsePreview(text: string): z.infer<typeof previewSchema> {
  try {
    return previewSchema.parse(JSON.parse(text));
  } catch {
    throw halt("the gate halts: its preview printed no verdict: run `dbprotect gate preview` to see why");
  }
}

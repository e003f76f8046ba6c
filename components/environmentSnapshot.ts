/**
 * Holds the environment variables that must not change during a deployment, as a Pulumi resource: a critical
 * one that changed without an acknowledgement fails `check()`, so `pulumi preview` halts with one line.
 *
 * The provider below is serialised into the stack's state and runs in Pulumi's own provider process, so it may
 * capture nothing but Node.js itself: all it knows of environments is what `env:snapshot` prints.
 */
import { exec } from "node:child_process";
import * as pulumi from "@pulumi/pulumi";
import { type CommandAccess, type OperationContext, commandLine, stackName } from "./commands";
import { knownOr } from "./sdk";

/** One watched variable. `digest` is keyed: it tells that a value changed, never what it is. */
export interface WatchedVariable {
  readonly name: string;
  readonly source: string;
  readonly target: string;
  readonly kind: string;
  /** Whether it must not change during a deployment. */
  readonly critical: boolean;
  /** Absent until the store has a salt (before its first backup). */
  readonly digest?: string;
}

export interface EnvironmentSnapshotArgs {
  /** How the command finds its program and the store. Credentials come from the stack's config or the environment. */
  readonly access: CommandAccess;
  /** What the command is told; `operation.environment` says which variables are critical, and where they are. */
  readonly context: OperationContext;
}

/** Shape of the state; raise it when a field changes its meaning, and keep reading the older ones. */
const schemaVersion = 1;

/** The marker that stands for a value which the engine does not know yet (Pulumi's wire format). */
const unknownValue = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

interface SnapshotInputs {
  readonly schemaVersion?: number;
  readonly command: string;
  readonly backupStore: string;
  readonly awsRegion?: string;
  readonly environmentKeyArn?: string;
  readonly settings: string;
  readonly stack: string;
  /** Filled in by `check`: what is there now, and which accepted snapshot it was compared with. */
  readonly variables?: readonly WatchedVariable[];
  readonly baseline?: string;
}

/** The state: the inputs, with `variables` and `baseline` as they were accepted. */
interface SnapshotState extends SnapshotInputs {
  /** What the last `pulumi refresh` saw. It never becomes the baseline: a refresh must not launder a change. */
  readonly observed?: readonly WatchedVariable[];
}

/** What `env:snapshot --json` prints, as far as the provider reads it. */
interface SnapshotReport {
  readonly verdict: "pass" | "halt";
  /** Why it halts. */
  readonly message: string | null;
  readonly baseline: string | null;
  /** Name of the snapshot that `--accept` made, or found to say the same already. */
  readonly accepted: string | null;
  readonly variables: readonly WatchedVariable[];
}

class EnvironmentSnapshotProvider implements pulumi.dynamic.ResourceProvider<SnapshotInputs, SnapshotState> {
  /** Secrets of the stack's config, as environment variables; they are never inputs, so never in this state. */
  private credentials: Record<string, string> = {};

  async configure(request: pulumi.dynamic.ConfigureRequest): Promise<void> {
    const databaseUrl = request.config.get("database-protection:databaseUrl");
    const backupPassphrase = request.config.get("database-protection:backupPassphrase");
    if (databaseUrl !== undefined) this.credentials["DATABASE_URL"] = databaseUrl;
    if (backupPassphrase !== undefined) this.credentials["BACKUP_PASSPHRASE"] = backupPassphrase;
  }

  async check(_olds: SnapshotInputs, news: SnapshotInputs): Promise<pulumi.dynamic.CheckResult<SnapshotInputs>> {
    // The very first preview: there is no store to compare with yet, and the component says so.
    if (news.backupStore === unknownValue || news.environmentKeyArn === unknownValue) return { inputs: news };
    // With a property the engine would print that property's value as well; a rejection it would print with its stack.
    const failed = (reason: string) => ({ inputs: news, failures: [{ property: "", reason }] });
    try {
      const report = await readReport(news, "", this.credentials);
      return report.verdict === "pass" ? { inputs: withReport(news, report) } : failed(reasonOf(report));
    } catch (error) {
      return failed((error as Error).message);
    }
  }

  /** Only the fields that mean something: the program's path and the provider's own text may differ freely. */
  async diff(_id: string, olds: SnapshotState, news: SnapshotInputs): Promise<pulumi.dynamic.DiffResult> {
    const same =
      olds.schemaVersion === news.schemaVersion &&
      olds.backupStore === news.backupStore &&
      olds.baseline === news.baseline &&
      JSON.stringify(olds.variables ?? []) === JSON.stringify(news.variables ?? []);
    return { changes: !same };
  }

  async create(inputs: SnapshotInputs): Promise<pulumi.dynamic.CreateResult<SnapshotState>> {
    return { id: inputs.stack, outs: await this.accept(inputs) };
  }

  async update(
    _id: string,
    _olds: SnapshotState,
    news: SnapshotInputs,
  ): Promise<pulumi.dynamic.UpdateResult<SnapshotState>> {
    return { outs: await this.accept(news) };
  }

  async read(id: string, state?: SnapshotState): Promise<pulumi.dynamic.ReadResult<SnapshotState>> {
    if (state?.command === undefined) throw new Error("EnvironmentSnapshot cannot be imported; declare it instead");
    const report = await readReport(state, "", this.credentials);
    return { id, props: { ...state, observed: watchedVariables(report) } };
  }

  /** The stored snapshots outlive the resource: they are part of the backups. */
  async delete(): Promise<void> {}

  private async accept(inputs: SnapshotInputs): Promise<SnapshotState> {
    const report = await readReport(inputs, " --accept", this.credentials);
    if (report.verdict !== "pass") throw new Error(reasonOf(report));
    return withReport(inputs, report);
  }
}

/**
 * Runs `env:snapshot`, which prints one document whatever happens.
 *
 * @throws Error with the document's message and hint when there was nothing to report (exit 2, 3, 4).
 */
function readReport(
  inputs: SnapshotInputs,
  flags: string,
  credentials: Record<string, string>,
): Promise<SnapshotReport> {
  const env: Record<string, string | undefined> = {
    ...process.env,
    ...credentials,
    BACKUP_STORE: inputs.backupStore,
    DBPROTECT_SETTINGS: inputs.settings,
    DBPROTECT_STACK: inputs.stack,
  };
  if (inputs.awsRegion !== undefined) env["AWS_REGION"] = inputs.awsRegion;
  if (inputs.environmentKeyArn !== undefined) env["BACKUP_KMS_KEY"] = inputs.environmentKeyArn;
  return new Promise((resolve, reject) => {
    exec(`${inputs.command}${flags}`, { env, maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      try {
        const document = JSON.parse(stdout) as SnapshotReport & { readonly hint?: string | null };
        if (document.verdict === "pass" || document.verdict === "halt") resolve(document);
        else reject(new Error(`${document.message}${document.hint ? `: ${document.hint}` : ""}`));
      } catch {
        const lines = stderr.split("\n").filter((line) => line.trim() !== "");
        reject(new Error(`env:snapshot ended with ${error?.code ?? 0}: ${lines.at(-1) ?? "no message"}`));
      }
    });
  });
}

function withReport(inputs: SnapshotInputs, report: SnapshotReport): SnapshotInputs {
  const baseline = report.accepted ?? report.baseline;
  return { ...inputs, variables: watchedVariables(report), ...(baseline === null ? {} : { baseline }) };
}

/** Field by field, so that nothing else the command may print one day reaches the state. */
function watchedVariables(report: SnapshotReport): WatchedVariable[] {
  return report.variables.map(({ name, source, target, kind, critical, digest }) => ({
    name,
    source,
    target,
    kind,
    critical,
    ...(digest === undefined ? {} : { digest }),
  }));
}

function reasonOf(report: SnapshotReport): string {
  return (report.message ?? "no reason given").replace(/\s+/g, " ").trim();
}

export class EnvironmentSnapshot extends pulumi.dynamic.Resource {
  /** The watched variables as they were accepted; never a value. */
  declare readonly variables: pulumi.Output<WatchedVariable[]>;
  /** Name of the accepted snapshot in the store that the next deployment is compared with. */
  declare readonly baseline: pulumi.Output<string>;

  constructor(name: string, args: EnvironmentSnapshotArgs, opts?: pulumi.CustomResourceOptions) {
    const backupStore = pulumi.output(args.access.backupStore);
    super(
      new EnvironmentSnapshotProvider(),
      name,
      {
        schemaVersion,
        command: commandLine("environmentSnapshot", args.access.program),
        backupStore,
        ...(args.access.awsRegion === undefined ? {} : { awsRegion: args.access.awsRegion }),
        ...(args.access.environmentKeyArn === undefined ? {} : { environmentKeyArn: args.access.environmentKeyArn }),
        settings: JSON.stringify(args.context.operation),
        stack: stackName(),
        // Outputs must be there, undefined, for the engine to fill them in.
        variables: undefined,
        baseline: undefined,
        observed: undefined,
      },
      opts,
      "database-protection",
      "EnvironmentSnapshot",
    );
    knownOr(backupStore, "").apply((url) => {
      if (url === "") {
        void pulumi.log.info("environment not compared: the store does not exist before the first pulumi up", this);
      }
    });
  }
}

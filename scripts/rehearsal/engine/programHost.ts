/**
 * Runs the project's program once, as a preview or an update, against the stand-in engine. A process of its own,
 * because a failing resource rejects in dozens of places that nobody awaits: they are collected here.
 *
 * The job comes as JSON on stdin (it holds secrets, so it is no argument); events leave as JSON lines on
 * descriptor 3; stdout and stderr are the program's own.
 */
import { writeSync } from "node:fs";
import { createRequire } from "node:module";
import * as path from "node:path";
import { text } from "node:stream/consumers";
import * as pulumi from "@pulumi/pulumi";
import type { RegisterResourceOutputsRequest, RegisterResourceRequest } from "@pulumi/pulumi/proto/resource_pb";
import type { ResourceOutcome } from "./engine";
import { stopCommands } from "./localCommand";
import { StackState } from "./stackState";
import { StandIn } from "./standIn";
import { type Properties, mapSecrets } from "./wire";

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
  | { readonly kind: "outputs"; readonly outputs: Properties };

/** The part of the SDK's mock monitor that is wrapped here: mocks alone see neither dependencies nor options. */
interface Monitor {
  newUrn(parent: string, type: string, name: string): string;
  registerResource(request: RegisterResourceRequest, done: unknown): Promise<void>;
  registerResourceOutputs(request: RegisterResourceOutputsRequest, done: unknown): void;
}

function emit(event: HostEvent): void {
  writeSync(3, `${JSON.stringify(event)}\n`);
}

async function main(job: HostJob): Promise<void> {
  process.chdir(job.projectDir);
  Object.assign(process.env, job.env);
  const failures = new Failures();
  const standIn = new StandIn({
    state: StackState.open(job.stateFile, job.passphrase),
    preview: job.preview,
    config: job.config,
    onLine: (line) => emit({ kind: "line", line }),
    onOutcome: (outcome) => emit({ kind: "outcome", outcome }),
  });
  await installMonitor(job, standIn, failures);
  pulumi.runtime.setAllConfig({ ...job.config }, [...job.secretKeys]);
  const finish = once(async () => {
    if (failures.count === 0) await standIn.deleteUndeclared().catch((error: unknown) => failures.report(error));
    await standIn.stop();
    process.exitCode = failures.count === 0 ? 0 : 1;
  });
  // As under the real language host, the program is over when nothing it started is left to do.
  process.on("beforeExit", () => void finish());
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      stopCommands();
      process.exit(130);
    });
  }
  process.on("unhandledRejection", (reason) => failures.report(reason));
  process.on("uncaughtException", (error) => failures.report(error));
  const load = createRequire(path.join(job.projectDir, "Pulumi.yaml"));
  await pulumi.runtime.runInPulumiStack(() => Promise.resolve(load(job.program) as Record<string, unknown>));
}

async function installMonitor(job: HostJob, standIn: StandIn, failures: Failures): Promise<void> {
  let current: RegisterResourceRequest | undefined;
  await pulumi.runtime.setMocks(
    {
      newResource: async () => {
        // Read before anything is awaited: the monitor calls this in the same turn that it got the request.
        const request = current;
        if (request === undefined || monitor === undefined)
          throw new Error("a resource was registered past the monitor");
        try {
          const registered = await standIn.register({
            urn: monitor.newUrn(request.getParent(), request.getType(), request.getName()),
            type: request.getType(),
            name: request.getName(),
            custom: request.getCustom(),
            inputs: request.getObject()?.toJavaScript() ?? {},
            dependencies: request.getDependenciesList(),
            protect: request.getProtect() ?? false,
          });
          return { id: registered.id, state: registered.outputs };
        } catch (error) {
          throw failures.registration(error);
        }
      },
      call: async ({ token, inputs }) => {
        try {
          return await standIn.invoke(token, inputs as Properties);
        } catch (error) {
          // The SDK shows `details` of what it takes for a gRPC error.
          throw Object.assign(new Error((error as Error).message), { details: (error as Error).message });
        }
      },
    },
    job.project,
    job.stack,
    job.preview,
  );
  const monitor = (pulumi.runtime as unknown as { getMonitor(): Monitor }).getMonitor();
  const register = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request, done) => {
    current = request;
    return register(request, done);
  };
  const registerOutputs = monitor.registerResourceOutputs.bind(monitor);
  monitor.registerResourceOutputs = (request, done) => {
    if (request.getUrn().includes("::pulumi:pulumi:Stack::")) {
      const outputs = (request.getOutputs()?.toJavaScript() ?? {}) as Properties;
      emit({ kind: "outputs", outputs: mapSecrets(outputs, () => "[secret]") as Properties });
    }
    registerOutputs(request, done);
  };
}

/** Reports each failure once, however many rejections it shows up as. */
class Failures {
  private readonly reported = new Set<string>();

  get count(): number {
    return this.reported.size;
  }

  /** A resource that failed: what depends on it rejects with the same words in the SDK's own around them. */
  registration(error: unknown): Error {
    const failure = error instanceof Error ? error : new Error(String(error));
    this.add(failure.message.trim());
    return failure;
  }

  report(reason: unknown): void {
    const message = (reason instanceof Error ? reason.message : String(reason)).trim();
    if (!this.add(message)) return;
    // Not the user's mistake but a bug: where it comes from matters.
    const isMistake: boolean = pulumi.RunError.isInstance(reason);
    if (!isMistake && reason instanceof Error) emit({ kind: "line", line: reason.stack ?? message });
  }

  /** False when it was reported before. */
  private add(message: string): boolean {
    if ([...this.reported].some((known) => message.includes(known))) return false;
    this.reported.add(message);
    emit({ kind: "error", message });
    return true;
  }
}

function once(action: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= action());
}

void text(process.stdin).then(async (given) => {
  // The engine ended before it had a job for us.
  if (given === "") return;
  const job = JSON.parse(given) as HostJob;
  await main({ ...job, program: path.resolve(job.projectDir, job.program) }).catch(() => {
    // Every rejection was collected above; this one is the stack's own copy of the first.
  });
});

/**
 * Runs the project's program once, as a preview or an update, against the stand-in engine. A failing resource rejects
 * in dozens of places that nobody awaits: they are collected here.
 */
import { createRequire } from "node:module";
import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { RegisterResourceOutputsRequest, RegisterResourceRequest } from "@pulumi/pulumi/proto/resource_pb";
import type { DynamicProvider } from "./dynamicProvider";
import type { HostEvent, HostJob } from "./hostMessages";
import { StackState } from "./stackState";
import { StandIn } from "./standIn";
import { type Properties, mapSecrets } from "./wire";

/** The part of the SDK's mock monitor that is wrapped here: mocks alone see neither dependencies nor options. */
interface Monitor {
  newUrn(parent: string, type: string, name: string): string;
  registerResource(request: RegisterResourceRequest, done: unknown): Promise<void>;
  registerResourceOutputs(request: RegisterResourceOutputsRequest, done: unknown): void;
}

export interface ProgramRun {
  /** For what was rejected or thrown where nobody caught it. */
  report(reason: unknown): void;
  /** To be called once nothing that the program started is left to do. @returns whether everything converged. */
  finish(): Promise<boolean>;
}

/** Begins to run the program; what it registers is executed as it comes. */
export async function startProgram(
  job: HostJob,
  provider: () => Promise<DynamicProvider>,
  emit: (event: HostEvent) => void,
): Promise<ProgramRun> {
  const failures = new Failures(emit);
  const standIn = new StandIn({
    state: StackState.open(job.stateFile, job.passphrase),
    preview: job.preview,
    provider,
    onLine: (line) => emit({ kind: "line", line }),
    onOutcome: (outcome) => emit({ kind: "outcome", outcome }),
  });
  await installMonitor(job, standIn, failures, emit);
  pulumi.runtime.setAllConfig({ ...job.config }, [...job.secretKeys]);
  const load = createRequire(path.join(job.projectDir, "Pulumi.yaml"));
  pulumi.runtime
    .runInPulumiStack(() => Promise.resolve(load(job.program) as Record<string, unknown>))
    // Every rejection is collected; this one is the stack's own copy of the first.
    .catch((error: unknown) => failures.report(error));
  return {
    report: (reason) => failures.report(reason),
    finish: async () => {
      if (failures.count === 0) await standIn.deleteUndeclared().catch((error: unknown) => failures.report(error));
      return failures.count === 0;
    },
  };
}

async function installMonitor(
  job: HostJob,
  standIn: StandIn,
  failures: Failures,
  emit: (event: HostEvent) => void,
): Promise<void> {
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

  constructor(private readonly emit: (event: HostEvent) => void) {}

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
    if (!isMistake && reason instanceof Error) this.emit({ kind: "line", line: reason.stack ?? message });
  }

  /** False when it was reported before. */
  private add(message: string): boolean {
    if ([...this.reported].some((known) => message.includes(known))) return false;
    this.reported.add(message);
    this.emit({ kind: "error", message });
    return true;
  }
}

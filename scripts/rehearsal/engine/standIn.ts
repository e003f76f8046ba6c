/**
 * The stand-in for Pulumi's engine: decides from the kept state whether a resource is created, updated or left
 * alone, and does it. It knows what this project's program declares without AWS: components, local Commands and
 * dynamic resources. Anything else needs the real CLI and is refused.
 */
import { isDeepStrictEqual } from "node:util";
import type { DynamicProvider } from "./dynamicProvider";
import type { ResourceOperation, ResourceOutcome } from "./engine";
import { type CommandInputs, type CommandOutputs, runCommand } from "./localCommand";
import type { ResourceState, StackState } from "./stackState";
import { type Properties, asSecret, containsSecret, containsUnknown, unwrapSecrets } from "./wire";

export interface Registration {
  readonly urn: string;
  readonly type: string;
  readonly name: string;
  readonly custom: boolean;
  readonly inputs: Properties;
  readonly dependencies: readonly string[];
  readonly protect: boolean;
}

/** What the program gets back; an output that is absent is unknown during a preview. */
export interface Registered {
  /** Absent: not known yet. */
  readonly id: string | undefined;
  readonly outputs: Properties;
}

export interface StandInOptions {
  readonly state: StackState;
  readonly preview: boolean;
  /** The process for the program's dynamic resources. */
  readonly provider: () => Promise<DynamicProvider>;
  readonly onLine: (line: string) => void;
  readonly onOutcome: (outcome: ResourceOutcome) => void;
}

const commandType = "command:local:Command";
const dynamicType = /^pulumi-nodejs:dynamic/;

export class StandIn {
  private readonly registered = new Set<string>();

  constructor(private readonly options: StandInOptions) {}

  /** @throws Error with the words that the real engine would print. */
  async register(registration: Registration): Promise<Registered> {
    const { urn, type, custom } = registration;
    this.registered.add(urn);
    try {
      if (!custom) return this.component(registration);
      if (type === commandType) return await this.command(registration);
      if (dynamicType.test(type)) return await this.dynamic(registration);
      throw new Error(
        `${type} '${registration.name}' needs the real Pulumi CLI; the stand-in engine has no provider for it`,
      );
    } catch (error) {
      this.options.onOutcome({ urn, type, op: "failed" });
      throw error;
    }
  }

  /** `command.local.run`: executed at preview and at update. */
  async invoke(token: string, inputs: Properties): Promise<Properties> {
    if (token !== "command:local:run") throw new Error(`the stand-in engine does not know the function ${token}`);
    const outputs = await runCommand(String(inputs["command"]), inputs, undefined, this.options.onLine);
    return { ...inputs, ...outputs };
  }

  /** Deletes what the program no longer declares; only after everything else converged. */
  async deleteUndeclared(): Promise<void> {
    const { state, preview } = this.options;
    for (const urn of state.urns().filter((known) => !this.registered.has(known))) {
      const resource = state.get(urn);
      if (resource === undefined) continue;
      if (resource.protect) throw new Error(`${urn} cannot be deleted because it is protected`);
      if (!preview) {
        await this.deleteResource(urn, resource);
        state.delete(urn);
      }
      this.options.onOutcome({ urn, type: resource.type, op: "delete" });
    }
  }

  private component(registration: Registration): Registered {
    const op = this.options.state.get(registration.urn) === undefined ? "create" : "same";
    this.keep(registration, op, "", registration.inputs, {});
    return { id: undefined, outputs: {} };
  }

  private async command(registration: Registration): Promise<Registered> {
    const { state, preview, onLine } = this.options;
    const prior = state.get(registration.urn);
    const { inputs } = registration;
    if (prior !== undefined && isDeepStrictEqual(unwrapSecrets(prior.inputs), unwrapSecrets(inputs))) {
      this.keep(registration, "same", prior.id, inputs, prior.outputs);
      return { id: prior.id, outputs: prior.outputs };
    }
    const op = prior === undefined ? "create" : "update";
    if (prior !== undefined && !isDeepStrictEqual(prior.inputs["triggers"], inputs["triggers"])) {
      throw new Error(`'${registration.name}' changed its triggers; the stand-in engine replaces nothing`);
    }
    const id = prior?.id ?? registration.name;
    if (preview) {
      this.options.onOutcome({ urn: registration.urn, type: registration.type, op });
      return { id: prior?.id, outputs: inputs };
    }
    const plain = unwrapSecrets(inputs) as CommandInputs & { readonly create?: string; readonly update?: string };
    const text = op === "create" ? plain.create : (plain.update ?? plain.create);
    const previous = prior === undefined ? undefined : (unwrapSecrets(prior.outputs) as CommandOutputs);
    const printed = text === undefined ? { stdout: "", stderr: "" } : await runCommand(text, plain, previous, onLine);
    // The provider derives every output from every input, so one secret input makes all of them secret.
    const mark = (output: string): unknown => (containsSecret(inputs) ? asSecret(output) : output);
    const outputs = { ...inputs, stdout: mark(printed.stdout), stderr: mark(printed.stderr) };
    this.keep(registration, op, id, inputs, outputs);
    return { id, outputs };
  }

  private async dynamic(registration: Registration): Promise<Registered> {
    const { state, preview } = this.options;
    const { urn, type, name } = registration;
    const prior = state.get(urn);
    const provider = await this.options.provider();
    // The provider does not accept secrets: it gets them, and gives its answers, in plain.
    const olds = unwrapSecrets(prior?.inputs ?? {}) as Properties;
    const { inputs, failures } = await provider.check(urn, olds, unwrapSecrets(registration.inputs) as Properties);
    if (failures.length > 0) {
      throw new Error(failures.map((reason) => `${type} resource '${name}' has a problem: ${reason}`).join("\n"));
    }
    const secret = containsSecret(registration.inputs);
    const mark = (outputs: Properties): Properties =>
      secret ? Object.fromEntries(Object.entries(outputs).map(([key, value]) => [key, asSecret(value)])) : outputs;
    if (
      prior !== undefined &&
      !(await provider.diff(urn, prior.id, unwrapSecrets(prior.outputs) as Properties, inputs))
    ) {
      this.keep(registration, "same", prior.id, mark(inputs), prior.outputs);
      return { id: prior.id, outputs: prior.outputs };
    }
    const op = prior === undefined ? "create" : "update";
    if (preview) {
      this.options.onOutcome({ urn, type, op });
      return { id: prior?.id, outputs: mark(inputs) };
    }
    if (prior === undefined) {
      const created = await provider.create(urn, inputs);
      this.keep(registration, op, created.id, mark(inputs), mark(created.outputs));
      return { id: created.id, outputs: mark(created.outputs) };
    }
    const outputs = await provider.update(urn, prior.id, unwrapSecrets(prior.outputs) as Properties, inputs);
    this.keep(registration, op, prior.id, mark(inputs), mark(outputs));
    return { id: prior.id, outputs: mark(outputs) };
  }

  private async deleteResource(urn: string, resource: ResourceState): Promise<void> {
    const outputs = unwrapSecrets(resource.outputs) as Properties;
    if (dynamicType.test(resource.type)) await (await this.options.provider()).delete(urn, resource.id, outputs);
    const text = resource.type === commandType ? outputs["delete"] : undefined;
    if (typeof text === "string") {
      await runCommand(text, outputs, outputs as unknown as CommandOutputs, this.options.onLine);
    }
  }

  private keep(
    registration: Registration,
    op: ResourceOperation,
    id: string,
    inputs: Properties,
    outputs: Properties,
  ): void {
    const { urn, type, dependencies, protect } = registration;
    if (!this.options.preview) {
      if (containsUnknown(outputs)) throw new Error(`${urn} has outputs that nobody knows`);
      this.options.state.set(urn, { type, id, inputs, outputs, dependencies, protect });
    }
    this.options.onOutcome({ urn, type, op });
  }
}

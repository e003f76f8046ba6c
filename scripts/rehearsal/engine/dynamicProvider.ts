/**
 * Pulumi's own process for dynamic providers, spoken to over gRPC as the engine does: what passes here has been
 * serialised and run outside the program.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as provider from "@pulumi/pulumi/proto/provider_pb";
import { ResourceProviderClient } from "@pulumi/pulumi/proto/provider_grpc_pb";
import type { Properties } from "./wire";

// The SDK's own copies: a client made with another copy of grpc-js is refused.
const requireOfSdk = createRequire(require.resolve("@pulumi/pulumi"));
const grpc = requireOfSdk("@grpc/grpc-js") as typeof import("@grpc/grpc-js");
const { Struct } = requireOfSdk(
  "google-protobuf/google/protobuf/struct_pb",
) as typeof import("google-protobuf/google/protobuf/struct_pb");

type WireStruct = ReturnType<typeof Struct.fromJavaScript>;

export interface CheckAnswer {
  readonly inputs: Properties;
  /** Reasons to refuse; empty: none. */
  readonly failures: readonly string[];
}

export class DynamicProvider {
  private constructor(
    private readonly process: ChildProcess,
    private readonly client: ResourceProviderClient,
  ) {}

  /** @param onLine gets what the provider prints. */
  static async start(env: NodeJS.ProcessEnv, onLine: (line: string) => void): Promise<DynamicProvider> {
    const program = require.resolve("@pulumi/pulumi/cmd/dynamic-provider");
    const child = spawn(process.execPath, ["--require", join(__dirname, "endWithParent.js"), program, "none"], {
      env,
      stdio: ["pipe", "pipe", "pipe"],
    });
    createInterface(child.stderr).on("line", onLine);
    const lines = createInterface(child.stdout);
    const port = await new Promise<string>((resolve, reject) => {
      lines.once("line", resolve);
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the dynamic provider ended with ${code} before it listened`)));
    });
    lines.on("line", onLine);
    // It must not keep this process alive; that it does not outlive it is its own affair.
    child.unref();
    for (const stream of [child.stdin, child.stdout, child.stderr]) (stream as Socket).unref();
    const client = new ResourceProviderClient(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
    return new DynamicProvider(child, client);
  }

  /**
   * Before anything else is asked, and once: it hands this on to a provider when it first sees it.
   *
   * @param config the stack's whole configuration by full key, as the engine passes it.
   */
  async configure(config: Readonly<Record<string, string>>): Promise<void> {
    const request = new provider.ConfigureRequest();
    request.setArgs(Struct.fromJavaScript({ ...config }));
    await this.call<provider.ConfigureResponse>((done) => this.client.configure(request, done));
  }

  async check(urn: string, olds: Properties, news: Properties): Promise<CheckAnswer> {
    const request = new provider.CheckRequest();
    request.setUrn(urn);
    request.setOlds(toStruct(olds));
    request.setNews(toStruct(news));
    const response = await this.call<provider.CheckResponse>((done) => this.client.check(request, done));
    return {
      inputs: fromStruct(response.getInputs()),
      failures: response.getFailuresList().map((failure) => failure.getReason()),
    };
  }

  /** Whether anything differs. */
  async diff(urn: string, id: string, olds: Properties, news: Properties): Promise<boolean> {
    const request = new provider.DiffRequest();
    request.setUrn(urn);
    request.setId(id);
    request.setOlds(toStruct(olds));
    request.setNews(toStruct(news));
    const response = await this.call<provider.DiffResponse>((done) => this.client.diff(request, done));
    return response.getChanges() !== provider.DiffResponse.DiffChanges.DIFF_NONE;
  }

  async create(urn: string, inputs: Properties): Promise<{ readonly id: string; readonly outputs: Properties }> {
    const request = new provider.CreateRequest();
    request.setUrn(urn);
    request.setProperties(toStruct(inputs));
    const response = await this.call<provider.CreateResponse>((done) => this.client.create(request, done));
    return { id: response.getId(), outputs: fromStruct(response.getProperties()) };
  }

  async update(urn: string, id: string, olds: Properties, news: Properties): Promise<Properties> {
    const request = new provider.UpdateRequest();
    request.setUrn(urn);
    request.setId(id);
    request.setOlds(toStruct(olds));
    request.setNews(toStruct(news));
    return fromStruct(
      (await this.call<provider.UpdateResponse>((done) => this.client.update(request, done))).getProperties(),
    );
  }

  /** What `pulumi refresh` asks. */
  async read(urn: string, id: string, state: Properties): Promise<Properties> {
    const request = new provider.ReadRequest();
    request.setUrn(urn);
    request.setId(id);
    request.setProperties(toStruct(state));
    return fromStruct(
      (await this.call<provider.ReadResponse>((done) => this.client.read(request, done))).getProperties(),
    );
  }

  async delete(urn: string, id: string, state: Properties): Promise<void> {
    const request = new provider.DeleteRequest();
    request.setUrn(urn);
    request.setId(id);
    request.setProperties(toStruct(state));
    await this.call((done) => this.client.delete(request, done));
  }

  /** It ends by itself when its input does, and keeps what was compiled for the next one. */
  stop(): void {
    this.client.close();
    this.process.stdin?.end();
  }

  private async call<T>(start: (done: (error: Error | null, response: T) => void) => unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      start((error, response) => {
        if (error === null) resolve(response);
        else reject(new Error("details" in error ? String(error.details) : error.message));
      });
    });
  }
}

function toStruct(properties: Properties): WireStruct {
  return Struct.fromJavaScript(JSON.parse(JSON.stringify(properties)) as Parameters<typeof Struct.fromJavaScript>[0]);
}

function fromStruct(struct: { toJavaScript(): unknown } | undefined): Properties {
  return (struct?.toJavaScript() ?? {}) as Properties;
}

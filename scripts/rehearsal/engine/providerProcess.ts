/**
 * The process for dynamic resources, kept from one program to the next while it would be the same: a preview and the
 * update after it. One is always being started before it is asked for, because a program's own dynamic resource comes
 * late; one that no program asked for waits for the next.
 */
import { isDeepStrictEqual } from "node:util";
import { DynamicProvider } from "./dynamicProvider";

type Environment = Readonly<Record<string, string | undefined>>;

export class ProviderProcess {
  #started: { readonly env: Environment; readonly provider: Promise<DynamicProvider> } | undefined;
  /** What the started one was configured with; undefined: not yet. */
  #config: Readonly<Record<string, string>> | undefined;

  /** @param onLine gets what the provider prints. */
  constructor(private readonly onLine: (line: string) => void) {}

  /**
   * In the environment as it is now.
   *
   * @param config the stack's configuration by full key, secrets in plain: dynamic providers get all of it.
   * @returns what a dynamic resource asks for; rejects when it did not start.
   */
  for(config: Readonly<Record<string, string>>): () => Promise<DynamicProvider> {
    const env = { ...process.env };
    const isOther = this.#config !== undefined && !isDeepStrictEqual(this.#config, config);
    const kept = isOther || !isDeepStrictEqual(this.#started?.env, env) ? undefined : this.#started?.provider;
    const provider = kept ?? this.#start(env);
    let configured: Promise<DynamicProvider> | undefined;
    return () => (configured ??= this.#configure(provider, config));
  }

  #start(env: Environment): Promise<DynamicProvider> {
    void this.#started?.provider.then((former) => former.stop()).catch(() => undefined);
    const provider = DynamicProvider.start(env, this.onLine);
    const started = { env, provider };
    // Who needs it hears that it did not start.
    provider.catch(() => {
      if (this.#started === started) this.#started = undefined;
    });
    this.#started = started;
    this.#config = undefined;
    return provider;
  }

  async #configure(
    provider: Promise<DynamicProvider>,
    config: Readonly<Record<string, string>>,
  ): Promise<DynamicProvider> {
    const started = await provider;
    if (this.#config === undefined) await started.configure(config);
    this.#config = config;
    return started;
  }

  /** It has started, or not: nothing of it is left to do. */
  async settled(): Promise<void> {
    await this.#started?.provider.catch(() => undefined);
  }
}

/**
 * The process for dynamic resources, kept from one program to the next while it would be the same: a preview and the
 * update after it. It is started at once, for a program's own dynamic resource comes late.
 */
import { isDeepStrictEqual } from "node:util";
import { DynamicProvider } from "./dynamicProvider";

export class ProviderProcess {
  #made: { readonly of: unknown; readonly provider: Promise<DynamicProvider> } | undefined;

  /** @param onLine gets what the provider prints. */
  constructor(private readonly onLine: (line: string) => void) {}

  /**
   * In the environment as it is now.
   *
   * @param config the stack's configuration by full key, secrets in plain: dynamic providers get all of it.
   */
  for(config: Readonly<Record<string, string>>): Promise<DynamicProvider> {
    const env = { ...process.env };
    const of = { config, env };
    if (this.#made === undefined || !isDeepStrictEqual(this.#made.of, of)) {
      void this.#made?.provider.then((former) => former.stop()).catch(() => undefined);
      const provider = DynamicProvider.start(config, env, this.onLine);
      // Who needs it hears that it did not start.
      provider.catch(() => (this.#made = undefined));
      this.#made = { of, provider };
    }
    return this.#made.provider;
  }

  /** It has started, or not: nothing of it is left to do. */
  async settled(): Promise<void> {
    await this.#made?.provider.catch(() => undefined);
  }
}

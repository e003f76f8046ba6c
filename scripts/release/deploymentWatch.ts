/** Watches one platform's deployments: lines of the log as they come, and the moment when one stops being good. */
import { Failure } from "../contract/failure";
import type { Platform } from "./rollbackTargets";
import type { DeploymentSource, SeenDeployment } from "./watchedDeployment";

/**
 * `release`: a new deployment may begin, and is followed; `soak`: what was released must stay what people get.
 */
export type WatchMode = "release" | "soak";

export interface DeploymentReport {
  readonly platform: Platform;
  /** The newest one; null: none was seen. */
  readonly id: string | null;
  readonly status: string | null;
  readonly logLines: number;
  readonly errorLines: number;
  /** Why the platform could not be asked the last time; null: it could. */
  readonly unseen: string | null;
}

export class DeploymentWatch {
  readonly #started = new Date();
  #first: string | undefined;
  #last: SeenDeployment | undefined;
  /** Of the newest one. */
  #served = false;
  #logLines = 0;
  #errorLines = 0;
  #unseen: string | null = null;

  constructor(
    private readonly source: DeploymentSource,
    private readonly mode: WatchMode,
    private readonly onLine: (line: string) => void,
  ) {}

  /** @returns what went wrong, in one line; undefined: nothing. A platform that cannot be asked is a line, no finding. */
  async look(): Promise<string | undefined> {
    try {
      const latest = await this.source.latest();
      const finding = this.#judge(latest);
      // Also then: the last lines say why.
      if (latest !== null) await this.#follow(latest.id);
      this.#unseen = null;
      return finding;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error.message !== this.#unseen) this.#say(`not known: ${error.message}`);
      this.#unseen = error.message;
      return undefined;
    }
  }

  /** @returns what is wrong at the end of a soak. */
  conclude(): string | undefined {
    const last = this.#last;
    if (this.mode !== "soak" || last === undefined || last.serving) return undefined;
    const { platform } = this.source;
    return last.phase === "live"
      ? `${platform}: deployment ${last.id} is ${last.status}, but production does not point to it: ${platform} promote ${last.id}`
      : `${platform}: deployment ${last.id} is still ${last.status}`;
  }

  report(): DeploymentReport {
    return {
      platform: this.source.platform,
      id: this.#last?.id ?? null,
      status: this.#last?.status ?? null,
      ...{ logLines: this.#logLines, errorLines: this.#errorLines, unseen: this.#unseen },
    };
  }

  #judge(latest: SeenDeployment | null): string | undefined {
    const { platform } = this.source;
    if (latest === null) return this.mode === "soak" ? `${platform}: there is no deployment` : undefined;
    const { id, status, phase, serving } = latest;
    this.#first ??= id;
    const isNew = id !== this.#first;
    if (this.#last?.id !== id || this.#last.status !== status) this.#say(`deployment ${id}: ${status}`);
    if (this.#last?.id !== id) this.#served = false;
    this.#last = latest;
    if (this.mode === "soak" && isNew) {
      return `${platform}: deployment ${id} takes the place of ${this.#first}, which was released: somebody else deploys`;
    }
    const served = this.#served;
    this.#served ||= serving;
    if (phase === "ended" && (this.mode === "soak" || isNew || served)) {
      return `${platform}: deployment ${id} is ${status}`;
    }
    if (this.mode === "soak" && served && !serving && phase === "live") {
      return `${platform}: production no longer points to deployment ${id}`;
    }
    return undefined;
  }

  /** Of a deployment that was there before only what comes from now on. While one is released, the old one's is noise. */
  async #follow(id: string): Promise<void> {
    const isNew = id !== this.#first;
    if (this.mode === "release" && !isNew) return;
    for (const { message, isError } of await this.source.newLines(id, isNew ? undefined : this.#started)) {
      this.#logLines++;
      if (isError) this.#errorLines++;
      this.#say(`| ${message}`);
    }
  }

  #say(line: string): void {
    this.onLine(`${this.source.platform}: ${line}`);
  }
}

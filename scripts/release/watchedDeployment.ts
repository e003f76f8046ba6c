/** What a platform tells of its newest production deployment, and of its log, whatever its API looks like. */
import type { DeploymentPhase } from "../platforms/deploymentPhase";
import { type Railway, railwayPhase } from "../platforms/railway";
import { type Vercel, vercelPhase } from "../platforms/vercel";
import type { Platform } from "./rollbackTargets";

export interface SeenDeployment {
  readonly id: string;
  /** As the platform calls it. */
  readonly status: string;
  readonly phase: DeploymentPhase;
  /** Whether people get it. */
  readonly serving: boolean;
}

export interface LogLine {
  readonly message: string;
  readonly isError: boolean;
}

export interface DeploymentSource {
  readonly platform: Platform;
  /** The newest one, whatever became of it; null: there never was one. */
  latest(): Promise<SeenDeployment | null>;
  /**
   * What its log gained since the last call.
   *
   * @param since of the first call: lines from then on only; default: all.
   */
  newLines(id: string, since?: Date): Promise<readonly LogLine[]>;
}

/** The log is that of the running deployment; what building it wrote is what `railway up --ci` shows. */
export function railwaySource(railway: Railway): DeploymentSource {
  const seen = new SeenLines();
  return {
    platform: "railway",
    latest: async () => {
      const latest = await railway.latest();
      if (latest === null) return null;
      const phase = railwayPhase(latest.status);
      return { id: latest.id, status: latest.status, phase, serving: phase === "live" };
    },
    newLines: async (id, since) => {
      const lines = await railway.logs(id, seen.moment(id) ?? since?.toISOString());
      return seen
        .fresh(id, lines, ({ timestamp }) => timestamp)
        .map(({ message, severity }) => ({ message, isError: severity === "error" }));
    },
  };
}

/**
 * The log is the build's. What a deployment says while it runs Vercel tells as a live stream only
 * (`/v1/projects/…/deployments/…/runtime-logs`), which cannot be asked for what came before, or since.
 */
export function vercelSource(vercel: Vercel): DeploymentSource {
  const seen = new SeenLines();
  return {
    platform: "vercel",
    latest: async () => {
      const latest = await vercel.latest();
      if (latest === null) return null;
      const { productionId } = await vercel.project();
      const phase = vercelPhase(latest.readyState);
      return {
        ...{ id: latest.id, status: latest.readyState, phase },
        serving: phase === "live" && productionId === latest.id,
      };
    },
    newLines: async (id, since) => {
      const moment = seen.moment(id);
      const lines = await vercel.buildLog(id, moment === undefined ? since?.getTime() : Number(moment));
      return seen.fresh(id, lines, ({ created }) => String(created));
    },
  };
}

/** A log is asked for from its last line on, so that line, and others of its very moment, may come again. */
class SeenLines {
  readonly #last = new Map<string, { readonly moment: string; readonly messages: ReadonlySet<string> }>();

  /** Of the last line that was seen. */
  moment(id: string): string | undefined {
    return this.#last.get(id)?.moment;
  }

  fresh<T extends { readonly message: string }>(id: string, lines: readonly T[], momentOf: (line: T) => string): T[] {
    const last = this.#last.get(id);
    const fresh = lines.filter((line) => momentOf(line) !== last?.moment || !last.messages.has(line.message));
    const newest = fresh.at(-1);
    if (newest === undefined) return fresh;
    const moment = momentOf(newest);
    const messages = fresh.filter((line) => momentOf(line) === moment).map(({ message }) => message);
    const before = last?.moment === moment ? last.messages : [];
    this.#last.set(id, { moment, messages: new Set([...before, ...messages]) });
    return fresh;
  }
}

/** What a scene can do and see: run `pulumi up` and the CLI as a user would, and look at the world past both. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describeDifferences, readDatabaseState, type DatabaseState } from "./databaseState";
import type { Engine, UpResult } from "./engine/engine";
import { projectFolder, type ReleasePlan, type World } from "./world";

/** One statement of a scene about the world, and whether it holds. */
export interface SceneEvidence {
  readonly claim: string;
  readonly found: string;
  readonly holds: boolean;
}

/** A command that a scene ran. */
export interface Action {
  readonly label: string;
  /** Seconds since the rehearsal's start. */
  readonly from: number;
  readonly seconds: number;
}

/** A line that a command printed. */
export interface LoggedLine {
  /** Seconds since the rehearsal's start. */
  readonly at: number;
  readonly line: string;
}

export interface CliResult {
  readonly exitCode: number | null;
  readonly output: string;
}

export interface StageOptions {
  readonly world: World;
  readonly engine: Engine;
  /** Seconds since the rehearsal's start. */
  readonly clock: () => number;
  readonly onLine: (line: string) => void;
  readonly signal?: AbortSignal;
  /** The database as the stage before this one left it. */
  readonly state?: DatabaseState;
}

/** The stack that is rehearsed, and one of the same project that protects the same database. */
export type RehearsedStack = "rehearsal" | "rehearsal-2";

export class Stage {
  readonly actions: Action[] = [];
  readonly log: LoggedLine[] = [];
  readonly world: World;
  /** As it was read last. */
  #state: DatabaseState | undefined;

  constructor(private readonly options: StageOptions) {
    this.world = options.world;
    this.#state = options.state;
  }

  /** `pulumi up` of the real program. */
  up(plan: ReleasePlan, stack: RehearsedStack = "rehearsal"): Promise<UpResult> {
    const { world, engine, signal } = this.options;
    return this.timed(stack === "rehearsal" ? "pulumi up" : `pulumi up --stack ${stack}`, () =>
      engine.up({
        projectDir: projectFolder,
        ...{ stateDir: world.engineFolder, stack },
        config: world.config(plan),
        env: world.environment,
        onLine: (line) => this.note(line),
        ...(signal === undefined ? {} : { signal }),
      }),
    );
  }

  /** `dbprotect <words>`; `environment` goes before the world's. */
  dbprotect(words: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<CliResult> {
    return this.timed(`dbprotect ${words[0] ?? ""}`, async () => {
      const child = spawn(process.execPath, [join(projectFolder, "bin", "dbprotect.js"), ...words], {
        cwd: projectFolder,
        env: { ...process.env, ...this.world.environment, ...environment },
        stdio: ["ignore", "pipe", "pipe"],
        signal: this.options.signal,
      });
      const lines: string[] = [];
      for (const stream of [child.stdout, child.stderr]) {
        createInterface(stream).on("line", (line) => {
          lines.push(line);
          this.note(line);
        });
      }
      const exitCode = await new Promise<number | null>((resolve, reject) => {
        child.on("error", reject);
        child.on("close", resolve);
      });
      return { exitCode, output: lines.join("\n") };
    });
  }

  /** All that the scene's commands printed. */
  printed(): string {
    return this.log.map(({ line }) => line).join("\n");
  }

  async state(): Promise<DatabaseState> {
    this.#state = await readDatabaseState(this.world.database.url, this.#state);
    return this.#state;
  }

  /** Whether any of the world's secrets, or of these, is in the store, the engine's state or what was printed. */
  secretsTold(more: Readonly<Record<string, string>>): SceneEvidence {
    const { storeFolder, engineFolder } = this.world;
    const files = [storeFolder, engineFolder].flatMap((folder) =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name)),
    );
    const places = [
      { place: "output", text: this.printed() },
      ...files.map((file) => ({ place: file, text: readFileSync(file, "latin1") })),
    ];
    const secrets = Object.entries({ ...this.world.secrets, ...more });
    const told = secrets.flatMap(([what, value]) =>
      places.filter(({ text }) => text.includes(value)).map(({ place }) => `${what} in ${place}`),
    );
    return {
      claim: "secret values in store, receipts, state and output",
      found: told.length === 0 ? `none of ${secrets.length}, in ${files.length} files` : told.join(", "),
      holds: told.length === 0 && files.length > 0,
    };
  }

  /** What the store says happened to a run: `["migrations-started", "migrations-live", …]`; the newest run by default. */
  releaseEvents(): string[] {
    const folder = join(this.world.storeFolder, "releases");
    const run = existsSync(folder) ? readdirSync(folder).sort().at(-1) : undefined;
    if (run === undefined) return [];
    return readdirSync(join(folder, run))
      .sort()
      .map((file) => file.replace(/^\d+-/, "").replace(/\.json$/, ""));
  }

  /** Names of the receipts in the store. */
  receipts(): string[] {
    const folder = join(this.world.storeFolder, "receipts");
    return existsSync(folder) ? readdirSync(folder).sort() : [];
  }

  /** A point in time to prove later that nothing was released since. */
  async before(): Promise<Moment> {
    return { requests: this.world.log.requests.length, receipts: this.receipts().length, state: await this.state() };
  }

  /** The proof that a halt came before any release: no request for a deployment, no receipt, nothing written. */
  async nothingReleasedSince(moment: Moment): Promise<SceneEvidence[]> {
    const { log } = this.world;
    const deploys = log.deploysSince(moment.requests);
    const receipts = this.receipts().length - moment.receipts;
    const state = await this.state();
    const differences = describeDifferences(moment.state, state);
    return [
      {
        claim: "requests for a deployment that reached Railway or Vercel",
        found: deploys.length === 0 ? "none" : deploys.map(({ platform, call }) => `${platform} ${call}`).join(", "),
        holds: deploys.length === 0,
      },
      {
        claim: "catalog and rows, read directly",
        found: differences.length === 0 ? `unchanged (catalog ${state.catalog.slice(0, 12)})` : differences.join("; "),
        holds: differences.length === 0,
      },
      {
        claim: "receipts that would admit a release",
        found: receipts === 0 ? "none written" : `${receipts} written`,
        holds: receipts === 0,
      },
    ];
  }

  private note(line: string): void {
    this.log.push({ at: this.options.clock(), line });
    this.options.onLine(line);
  }

  private async timed<T>(label: string, work: () => Promise<T>): Promise<T> {
    const from = this.options.clock();
    this.note(`$ ${label}`);
    try {
      return await work();
    } finally {
      this.actions.push({ label, from, seconds: this.options.clock() - from });
    }
  }
}

export interface Moment {
  /** How many requests the log held. */
  readonly requests: number;
  readonly receipts: number;
  readonly state: DatabaseState;
}

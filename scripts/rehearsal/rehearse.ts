/**
 * The rehearsal: builds its world, plays the scenes one after the other, compares what happened with what must, and
 * writes down both.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { messageOf } from "../contract/failure";
import type { NumberedScene } from "./chooseScenes";
import type { DatabaseState } from "./databaseState";
import type { EngineChoice } from "./engine";
import { Stage } from "./stage";
import { buildWorld, reportFile, type World } from "./world";

const secondsSchema = z.number().nonnegative();

const actionSchema = z.object({
  label: z.string(),
  /** Since the rehearsal's start. */
  from: secondsSchema,
  seconds: secondsSchema,
});

const sceneResultSchema = z.object({
  /** Its place among all scenes, from 1. */
  number: z.int(),
  name: z.string(),
  does: z.string(),
  expected: z.string(),
  actual: z.string(),
  /** Whether `actual` is `expected` and all evidence holds. */
  asExpected: z.boolean(),
  from: secondsSchema,
  seconds: secondsSchema,
  evidence: z.array(z.object({ claim: z.string(), found: z.string(), holds: z.boolean() })),
  actions: z.array(actionSchema),
  /** Rows by `schema.table` after the scene. */
  rows: z.record(z.string(), z.int()),
  log: z.array(z.object({ at: secondsSchema, line: z.string() })),
});

export type SceneResult = z.output<typeof sceneResultSchema>;

/** What `rehearse --json` prints. */
export const rehearsalResultSchema = z.object({
  schemaVersion: z.literal(1),
  verdict: z.enum(["pass", "fail"]),
  startedAt: z.iso.datetime(),
  seconds: secondsSchema,
  /** Which engine ran the program: Pulumi's CLI through the Automation API, or the stand-in. */
  engine: z.object({ name: z.enum(["automation", "in-process"]), reason: z.string() }),
  postgresMajor: z.int(),
  /** Seconds until the world was there. */
  worldSeconds: secondsSchema,
  /** Rows by `schema.table` before the first scene. */
  rowsBefore: z.record(z.string(), z.int()),
  scenes: z.array(sceneResultSchema),
  /** The HTML report's path. */
  report: z.string(),
});

export type RehearsalResult = z.output<typeof rehearsalResultSchema>;

export interface RehearsalOptions {
  readonly engine: EngineChoice;
  /** Keeps the whole folder (store, state, project), not only the report. */
  readonly keep: boolean;
  readonly signal?: AbortSignal;
}

export class Rehearsal {
  readonly #startedAt = new Date();
  readonly #start = performance.now();
  readonly #results: SceneResult[] = [];
  #world: World | undefined;
  #worldSeconds = 0;
  #rowsBefore: Record<string, number> = {};
  /** The database after the last scene. */
  #state: DatabaseState | undefined;

  constructor(private readonly options: RehearsalOptions) {}

  /** Starts every server of the world. */
  async open(onLine: (line: string) => void): Promise<void> {
    this.#world = await buildWorld(onLine, this.options.signal);
    this.#state = await this.stage(onLine).state();
    this.#rowsBefore = rowsOf(this.#state);
    this.#worldSeconds = this.seconds();
  }

  /** Plays one scene. A scene that breaks is a scene that ended differently; an interruption ends the rehearsal. */
  async play(scene: NumberedScene, onLine: (line: string) => void): Promise<SceneResult> {
    this.options.signal?.throwIfAborted();
    const from = this.seconds();
    const stage = this.stage(onLine);
    const { actual, evidence } = await scene.act(stage).catch((error: unknown) => {
      this.options.signal?.throwIfAborted();
      return { actual: `broke off: ${messageOf(error)}`, evidence: [] };
    });
    this.#state = await stage.state();
    const result: SceneResult = {
      number: scene.number,
      name: scene.name,
      does: scene.does,
      expected: scene.expected,
      actual,
      asExpected: actual === scene.expected && evidence.every(({ holds }) => holds),
      from,
      seconds: this.seconds() - from,
      evidence: [...evidence],
      actions: stage.actions,
      rows: rowsOf(this.#state),
      log: stage.log,
    };
    this.#results.push(result);
    return result;
  }

  /** Ends the world; what `render` makes of the result stays as an HTML file. */
  async conclude(render: (result: RehearsalResult) => string): Promise<RehearsalResult> {
    const world = this.demandWorld();
    const report = join(world.folder, reportFile);
    const result: RehearsalResult = {
      schemaVersion: 1,
      verdict: this.#results.every(({ asExpected }) => asExpected) ? "pass" : "fail",
      startedAt: this.#startedAt.toISOString(),
      seconds: this.seconds(),
      engine: { name: this.options.engine.engine.name, reason: this.options.engine.reason },
      postgresMajor: world.serverMajor,
      worldSeconds: this.#worldSeconds,
      rowsBefore: this.#rowsBefore,
      scenes: this.#results,
      report,
    };
    writeFileSync(report, render(result));
    await this.close();
    return result;
  }

  /** Ends the world, whatever has been reached. Fine to call twice. */
  async close(): Promise<void> {
    const world = this.#world;
    this.#world = undefined;
    this.options.engine.engine.close();
    await world?.close({ keep: this.options.keep });
  }

  private stage(onLine: (line: string) => void): Stage {
    const { engine, signal } = this.options;
    return new Stage({
      world: this.demandWorld(),
      engine: engine.engine,
      clock: () => this.seconds(),
      onLine,
      ...(signal === undefined ? {} : { signal }),
      ...(this.#state === undefined ? {} : { state: this.#state }),
    });
  }

  private demandWorld(): World {
    if (this.#world === undefined) throw new Error("the rehearsal's world is not open");
    return this.#world;
  }

  private seconds(): number {
    return Math.round(performance.now() - this.#start) / 1000;
  }
}

function rowsOf(state: DatabaseState): Record<string, number> {
  return Object.fromEntries([...state.tables].map(([name, { rows }]) => [name, rows]));
}

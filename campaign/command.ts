/** One command of a run as a child process, its outputs kept; and what an exit code may be, given what went wrong. */
import { type CliRun, type RunningCli, startCli } from "../tests/servers/cli";
import type { Fault, PlannedFault } from "./plan";
import { type Armed, arm, otherStack } from "./faults";
import type { World } from "./world";

export interface CommandRun extends CliRun {
  readonly words: readonly string[];
  /** Only what differs from the run's own environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly seconds: number;
}

export interface Struck {
  readonly planned: PlannedFault;
  readonly struck: boolean;
}

/** Runs commands of one run, one after the other, and remembers them. */
export class Commands {
  readonly runs: CommandRun[] = [];
  readonly faults: Struck[] = [];

  constructor(private readonly world: World) {}

  /** @param planned what happens to it; undefined: nothing. */
  async run(
    words: readonly string[],
    env: Readonly<Record<string, string>>,
    planned?: PlannedFault,
  ): Promise<CommandRun> {
    const second = (stack: "same" | "other"): Promise<unknown> =>
      this.start(words, stack === "same" ? env : { ...env, DBPROTECT_STACK: otherStack }).ended;
    const armed: Armed | undefined = planned && (await arm(planned, this.world, second));
    try {
      const { cli, ended } = this.start(words, { ...env, ...armed?.env });
      armed?.onStart(cli);
      return await ended;
    } finally {
      if (planned !== undefined && armed !== undefined) {
        await armed.end();
        this.faults.push({ planned, struck: armed.struck() });
      }
    }
  }

  private start(
    words: readonly string[],
    env: Readonly<Record<string, string>>,
  ): { readonly cli: RunningCli; readonly ended: Promise<CommandRun> } {
    const start = performance.now();
    const cli = startCli(words, { ...this.world.env, ...env }, this.world.folder);
    const ended = cli.ended.then((result) => {
      const run = { ...result, words, env, seconds: (performance.now() - start) / 1000 };
      this.runs.push(run);
      return run;
    });
    return { cli, ended };
  }
}

/** Of docs/reference.md; null: killed. Anything else is a bug of the program. */
const knownCodes: readonly (number | null)[] = [0, 1, 2, 3, 4, 130, null];

/** What a command may exit with because of a fault, besides what it would without. */
export function excused(fault: Fault, run: CommandRun): readonly (number | null)[] {
  const isGate = run.words[0] === "gate";
  switch (fault.kind) {
    case "kill":
      // Before the program listens, and after its result, the signal ends it as it ends any process: Node.js puts the
      // listeners away before it is gone.
      return fault.signal === "SIGKILL" || run.stderr === "" || run.stdout !== "" ? [null, 130] : [130];
    case "server crash":
    case "session ended":
    case "network":
      // A release step that failed and could not compare afterwards says that it does not know: 1.
      return isGate ? [3] : [1, 3];
    case "slow network":
      return [];
    case "byte flip":
    case "truncation":
      return [4, 1];
    case "full disk":
      return [3, 1];
    case "store request":
      return [1, 3, 4];
    case "clock jump":
      return [1, 3];
    case "lost lease":
      return [1, 3];
    case "two operators":
      return [1, 3];
    case "platform":
      return [1, 3];
  }
}

/** What the exit of a command says that is wrong whatever happened. */
export function faultsOfExit(run: CommandRun): string[] {
  const name = run.words.join(" ");
  return [
    ...(knownCodes.includes(run.code) ? [] : [`${name}: exit ${run.code}, which is none of the documented ones`]),
    ...(/^\s+at .+[:(].+:\d+:\d+\)?$/m.test(run.stderr) ? [`${name}: printed a stack trace`] : []),
  ];
}

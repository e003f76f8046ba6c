/**
 * Shows a run of named steps while it happens: a live task list on a terminal, plain lines elsewhere. Always
 * on stderr, for stdout is the result's.
 */
import { redact } from "../contract/redaction";

export interface StepEnd {
  readonly step: string;
  readonly outcome: string;
  readonly seconds: number;
  readonly summary: string;
}

export interface StepObserver {
  readonly onStepEnd: (end: StepEnd) => void;
  /** What the running step is doing. */
  readonly onLine: (line: string) => void;
}

/** Runs `work` and shows its steps; `names` are those that are expected, in order. */
export async function showSteps<T>(names: readonly string[], work: (observer: StepObserver) => Promise<T>): Promise<T> {
  return process.stderr.isTTY ? showTaskList(names, work) : work(plainLines);
}

const plainLines: StepObserver = {
  onStepEnd: (end) => process.stderr.write(`${redact(lineOf(end))}\n`),
  onLine: (line) => process.stderr.write(`${redact(line)}\n`),
};

function lineOf({ step, outcome, seconds, summary }: StepEnd): string {
  return `${step}: ${outcome} (${seconds.toFixed(1)} s) ${summary.split("\n")[0] ?? ""}`;
}

/** listr2 wants its tasks beforehand: each waits for the end of the step of its name. */
async function showTaskList<T>(names: readonly string[], work: (observer: StepObserver) => Promise<T>): Promise<T> {
  const { Listr, ListrLogger, ProcessOutput } = await import("listr2");
  const ends = new Map(names.map((name) => [name, Promise.withResolvers<StepEnd | undefined>()]));
  let showLine: (line: string) => void = () => undefined;
  const list = new Listr(
    names.map((name) => ({
      title: name,
      task: async (_context: unknown, task: { title: string; output: string; skip(message: string): void }) => {
        showLine = (line) => (task.output = redact(line));
        const end = await ends.get(name)!.promise;
        if (end === undefined) return task.skip(`${name}: not run`);
        task.title = redact(lineOf(end));
        if (end.outcome === "halt") throw new Error(redact(end.summary));
      },
    })),
    {
      exitOnError: false,
      // Ctrl-C is ours: the lease has to be given back first.
      registerSignalListeners: false,
      renderer: "default",
      rendererOptions: {
        showErrorMessage: false,
        logger: new ListrLogger({ processOutput: new ProcessOutput(process.stderr, process.stderr) }),
      },
    },
  );
  const shown = list.run();
  try {
    return await work({ onStepEnd: (end) => ends.get(end.step)?.resolve(end), onLine: (line) => showLine(line) });
  } finally {
    for (const end of ends.values()) end.resolve(undefined);
    await shown;
  }
}

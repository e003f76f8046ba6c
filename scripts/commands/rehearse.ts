/** `rehearse`: the whole way of a protected deployment, good and bad, on throwaway servers of this machine. */
import type { Command } from "commander";
import { pathToFileURL } from "node:url";
import { Listr, ListrLogger, type ListrTask, ProcessOutput } from "listr2";
import { exitCode } from "../contract/failure";
import { chooseScenes, type NumberedScene } from "../rehearsal/chooseScenes";
import { chooseEngine } from "../rehearsal/engine";
import { Rehearsal } from "../rehearsal/rehearse";
import { forgetSurroundings } from "../rehearsal/surroundings";
import { renderReport } from "../report/html/renderReport";
import { reportOn, sceneTable } from "../report/rehearsalReport";
import { interrupted, printResult, progress } from "./session";

export function configure(command: Command): void {
  command
    .option(
      "--scenes <which>",
      "all: also the slow ones, such as a lost location; or numbers: 1,4 (1 is played in any case)",
      "default",
    )
    .option("--keep", "keep the rehearsal's folder: store, state, project")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { scenes: string; keep?: boolean; json?: boolean }) => {
      const scenes = chooseScenes(options.scenes);
      forgetSurroundings();
      const engine = await chooseEngine();
      progress(`rehearsing on local servers; engine: ${engine.reason}`);
      const rehearsal = new Rehearsal({ engine, keep: options.keep === true, signal: interrupted });
      try {
        engine.engine.prepare();
        await taskList(rehearsal, scenes, options.json === true).run();
        const result = await rehearsal.conclude((outcome) => renderReport(reportOn(outcome)));
        const passed = result.scenes.filter(({ asExpected }) => asExpected).length;
        const text = [
          sceneTable(result),
          "",
          `${result.verdict.toUpperCase()}: ${passed} of ${result.scenes.length} scenes as expected, ${result.seconds.toFixed(1)} s`,
          `report: ${pathToFileURL(result.report).href}`,
        ];
        printResult(options.json === true, result, text.join("\n"));
        process.exitCode = result.verdict === "pass" ? exitCode.pass : exitCode.refused;
      } finally {
        await rehearsal.close();
      }
    });
}

/** Live on a terminal, plain lines on stderr elsewhere: stdout is the result. */
function taskList(
  rehearsal: Rehearsal,
  scenes: readonly NumberedScene[],
  plain: boolean,
): Listr<object, "default", "simple"> {
  const tasks: ListrTask<object>[] = [
    {
      title: "Servers and data",
      task: async (_, task) => {
        await rehearsal.open((line) => {
          task.output = line;
        });
      },
    },
    ...scenes.map((scene): ListrTask<object> => ({
      title: `${scene.number} ${scene.name}`,
      task: async (_, task) => {
        const result = await rehearsal.play(scene, (line) => {
          if (process.stdout.isTTY && line.trim() !== "") task.output = line;
        });
        task.title = `${scene.number} ${scene.name}: ${result.actual} (${result.seconds.toFixed(1)} s)`;
        if (!result.asExpected) throw new Error(`expected ${result.expected}`);
      },
      // One that ended differently is shown as failed; the others are played all the same.
      exitOnError: false,
    })),
  ];
  const onStderr = { logger: new ListrLogger({ processOutput: new ProcessOutput(process.stderr, process.stderr) }) };
  return new Listr<object, "default", "simple">(tasks, {
    // Ctrl-C is ours: the servers have to end first.
    registerSignalListeners: false,
    renderer: "default",
    fallbackRenderer: "simple",
    fallbackRendererCondition: plain,
    fallbackRendererOptions: onStderr,
  });
}

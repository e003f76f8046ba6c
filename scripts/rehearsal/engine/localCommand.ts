/** Runs a shell command the way the command provider 1.2.1 does (`provider/pkg/provider/local/commandOutputs.go`). */
import { type ChildProcess, spawn } from "node:child_process";

export interface CommandInputs {
  readonly environment?: Readonly<Record<string, string>>;
  readonly dir?: string;
  readonly stdin?: string;
  readonly interpreter?: readonly string[];
  readonly logging?: string;
  readonly addPreviousOutputInEnv?: boolean;
}

export interface CommandOutputs {
  readonly stdout: string;
  readonly stderr: string;
}

const running = new Set<ChildProcess>();

/** Passes the end of this process on: a Command must not outlive the `up` that started it. */
export function stopCommands(): void {
  for (const child of running) child.kill("SIGTERM");
}

/**
 * @param previous what the resource's last run printed; handed on unless `addPreviousOutputInEnv` is false.
 * @param onLine gets each line as the provider would log it, which `logging` decides.
 * @throws Error with the provider's words: how it ended, the command, and all that it printed.
 */
export async function runCommand(
  command: string,
  inputs: CommandInputs,
  previous: CommandOutputs | undefined,
  onLine: (line: string) => void,
): Promise<CommandOutputs> {
  const [program, ...words] = [...(inputs.interpreter ?? ["/bin/sh", "-c"]), command];
  const child = spawn(program ?? "/bin/sh", words, {
    cwd: inputs.dir,
    env: { ...process.env, ...inputs.environment, ...previousOutput(inputs, previous) },
    stdio: ["pipe", "pipe", "pipe"],
  });
  running.add(child);
  let both = "";
  const collect = (stream: NodeJS.ReadableStream, logged: boolean): (() => string) => {
    let text = "";
    let line = "";
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      both += chunk;
      if (!logged) return;
      const lines = (line + chunk).split("\n");
      line = lines.pop() ?? "";
      lines.forEach(onLine);
    });
    stream.on("end", () => {
      if (line !== "") onLine(line);
    });
    return () => text.replace(/\n$/, "");
  };
  const logging = inputs.logging ?? "stdoutAndStderr";
  const stdout = collect(child.stdout, logging === "stdout" || logging === "stdoutAndStderr");
  const stderr = collect(child.stderr, logging === "stderr" || logging === "stdoutAndStderr");
  child.stdin.on("error", () => undefined); // it may end without reading
  child.stdin.end(inputs.stdin ?? "");
  const ending = await new Promise<string | undefined>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code, signal) =>
      resolve(signal !== null ? `signal: ${signal}` : code === 0 ? undefined : `exit status ${code}`),
    );
  });
  running.delete(child);
  if (ending !== undefined) throw new Error(`${ending}: running ${JSON.stringify(command)}:\n${both}`);
  return { stdout: stdout(), stderr: stderr() };
}

function previousOutput(inputs: CommandInputs, previous: CommandOutputs | undefined): Record<string, string> {
  if (inputs.addPreviousOutputInEnv === false || previous === undefined) return {};
  return {
    ...(previous.stdout === "" ? {} : { PULUMI_COMMAND_STDOUT: previous.stdout }),
    ...(previous.stderr === "" ? {} : { PULUMI_COMMAND_STDERR: previous.stderr }),
  };
}

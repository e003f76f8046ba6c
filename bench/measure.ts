/** Runs a command as a user would and measures all of it: time, CPU of what it started, memory while it ran. */
import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";

export interface Measurement {
  readonly seconds: number;
  /** User and system time of the command and what it started; not of the database server or the S3 server. */
  readonly cpuSeconds: number;
  /** Highest sum of resident memory seen, of the command and what it started, without pg_dump and psql. */
  readonly peakMegabytes: number;
}

/** Between two looks at the memory. */
const sampleMilliseconds = 50;

/** Programs whose memory is the same whoever starts them. */
const notCounted = /^(pg_dump|pg_dumpall|psql)$/;

const pageBytes = 4096;

/**
 * @param command bash, with `pipefail` and `-e`.
 * @throws Error with the command's last words when it fails: a figure of a failed run says nothing.
 */
export async function measure(command: string, env: NodeJS.ProcessEnv): Promise<Measurement> {
  const started = performance.now();
  const script = `TIMEFORMAT='cpu %U %S'; time (set -eo pipefail; ${command}\n)`;
  const child = spawn("bash", ["-c", script], { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4000)));
  let peak = 0;
  const sampler = setInterval(() => (peak = Math.max(peak, residentBytes(child.pid ?? 0))), sampleMilliseconds);
  const code = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  clearInterval(sampler);
  const seconds = (performance.now() - started) / 1000;
  const [, user, system] = /cpu ([\d.]+) ([\d.]+)\s*$/.exec(said) ?? [];
  if (code !== 0 || user === undefined || system === undefined)
    throw new Error(`${command}\nended with ${String(code)}: ${said}`);
  return { seconds, cpuSeconds: Number(user) + Number(system), peakMegabytes: peak / 1e6 };
}

function residentBytes(root: number): number {
  const children = new Map<number, number[]>();
  const pages = new Map<number, number>();
  const commands = new Map<number, string>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!(pid > 0)) continue;
    try {
      // Before its memory: whoever becomes another program in between is known by the line of its starter, and not counted.
      commands.set(pid, readFileSync(`/proc/${pid}/cmdline`, "utf8"));
      const [, program = "", rest = ""] = /\((.*)\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
      const fields = rest.split(" ");
      const parent = Number(fields[1]);
      children.set(parent, [...(children.get(parent) ?? []), pid]);
      pages.set(pid, notCounted.test(program) ? 0 : Number(fields[21]));
    } catch {
      // ended meanwhile
    }
  }
  let sum = 0;
  for (const waiting = [{ pid: root, starter: "" }]; waiting.length > 0;) {
    const { pid, starter } = waiting.pop()!;
    const command = commands.get(pid) ?? "";
    // With the command line of who started it, it has not begun its own program yet: its memory is the other's.
    if (command !== starter) sum += (pages.get(pid) ?? 0) * pageBytes;
    waiting.push(...(children.get(pid) ?? []).map((child) => ({ pid: child, starter: command })));
  }
  return sum;
}

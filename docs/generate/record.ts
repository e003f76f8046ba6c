/**
 * `npm run docs:record -- <file> <command>`: runs a command in a terminal of its own (util-linux's `script`) and writes what it prints,
 * and when, as an asciicast (https://docs.asciinema.org/manual/asciicast/v2/).
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";

const [width, height] = [120, 40];

/** Seconds that a player shows of a pause at most; the recording keeps its true length. */
const idleSeconds = 2;

/** @returns the command's exit code; the recording is written whatever it is. */
function record(file: string, command: string): Promise<number | null> {
  const started = process.hrtime.bigint();
  const lines: string[] = [
    JSON.stringify({
      ...{ version: 2, width, height, title: command, command, idle_time_limit: idleSeconds },
      env: { TERM: "xterm-256color", SHELL: "/bin/bash" },
    }),
  ];
  const print = (text: string): void => {
    const seconds = Number(process.hrtime.bigint() - started) / 1e9;
    lines.push(JSON.stringify([Number(seconds.toFixed(3)), "o", text]));
    process.stdout.write(text);
  };
  print(`$ ${command}\r\n`);
  const sized = `stty cols ${width} rows ${height}; ${command}`;
  const child = spawn("script", ["--quiet", "--return", "--command", sized, "/dev/null"], {
    env: { ...process.env, TERM: "xterm-256color" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  child.stdout.setEncoding("utf8").on("data", print);
  return new Promise((done, fail) => {
    child.once("error", fail);
    child.once("close", (code) => {
      writeFileSync(file, `${lines.join("\n")}\n`);
      done(code);
    });
  });
}

const [file, ...words] = process.argv.slice(2);
if (file === undefined || words.length === 0) {
  process.stderr.write("docs:record: expected a file and a command\n");
  process.exitCode = 2;
} else void record(file, words.join(" ")).then((code) => (process.exitCode = code ?? 1));

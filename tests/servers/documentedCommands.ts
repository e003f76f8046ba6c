/**
 * Runs a page of the documentation as its reader would: all its `sh` blocks in one bash, in their order. A block may be
 * followed by what it prints (`text`; `…` stands for anything within a line) and by `<!-- exits N -->`; before one that
 * needs what no test has stands `<!-- not run: why -->`.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

export interface Block {
  readonly script: string;
  /** Lines that its output has, in this order. */
  readonly shows: readonly string[];
  /** What its last command exits with. */
  readonly exits: number;
  /** Why no test runs it; undefined: it is run. */
  readonly notRun: string | undefined;
}

const projectFolder = resolve(__dirname, "../..");

const blockPattern =
  /(?:<!-- not run: (.*) -->\n+)?```sh\n([\s\S]*?)```\n(?:\n+```text\n([\s\S]*?)```\n)?(?:\n+<!-- exits (\d+) -->\n)?/g;

/** @param page relative to the project's folder. */
function blocksOf(page: string): Block[] {
  return [...readFileSync(resolve(projectFolder, page), "utf8").matchAll(blockPattern)].map(
    ([, notRun, script = "", shows = "", exits = "0"]) => ({
      ...{ script, notRun, exits: Number(exits) },
      shows: shows.split("\n").filter((line) => line.trim() !== ""),
    }),
  );
}

/** For a regular expression. */
function escaped(text: string): string {
  return text.trim().replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

const mark = "::end of block";

/** @throws AssertionError naming the first block that does not do what its page says. */
export async function runBlocks(page: string, env: Record<string, string>): Promise<void> {
  const blocks = blocksOf(page).filter(({ notRun }) => notRun === undefined);
  const script = blocks.map(({ script }) => `${script}echo "${mark} $?"\n`).join("");
  const outputs = (await bash(script, env)).split(new RegExp(`${mark} (\\d+)\n`));
  for (const [number, block] of blocks.entries()) {
    const [output = "", code] = [outputs[2 * number], outputs[2 * number + 1]];
    const told = `${page}:\n${block.script}\n${output}`;
    assert.equal(Number(code), block.exits, told);
    let rest = output;
    for (const line of block.shows) {
      const found = new RegExp(line.split("…").map(escaped).join(".*")).exec(rest);
      assert.ok(found !== null, `no line like ${line}: ${told}`);
      rest = rest.slice(found.index + found[0].length);
    }
  }
}

/** Both streams as a terminal shows them. Only `env`, besides what a shell needs. */
function bash(script: string, env: Record<string, string>): Promise<string> {
  const child = spawn("bash", ["-c", `exec 2>&1\n${script}`], {
    cwd: projectFolder,
    env: { ...env, PATH: `${env["PATH"] ?? ""}:${process.env["PATH"] ?? ""}` },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  return new Promise((done, fail) => {
    child.once("error", fail);
    child.once("close", () => done(output));
  });
}

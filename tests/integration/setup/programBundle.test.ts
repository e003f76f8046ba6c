/** The launcher and the bundle it runs, on a small project of its own: never older than the sources, never in the way. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const clone = resolve(__dirname, "../../..");

describe("the command line's bundle", () => {
  let project = "";

  beforeEach(() => {
    project = mkdtempSync(join(tmpdir(), "dbprotect-bundle-"));
    for (const part of ["bin", "package.json", "package-lock.json", "scripts/contract/bugReport.ts"])
      cpSync(join(clone, part), join(project, part), { recursive: true });
    mkdirSync(join(project, "node_modules"));
    for (const name of ["esbuild", "tsx"])
      symlinkSync(dirname(require.resolve(`${name}/package.json`)), join(project, "node_modules", name));
    writeProgram('"first"');
  });

  afterEach(() => rmSync(project, { recursive: true, force: true }));

  function writeProgram(expression: string): void {
    mkdirSync(join(project, "scripts", "part"), { recursive: true });
    writeFileSync(join(project, "scripts", "part", "said.ts"), `export const said: string = ${expression};\n`);
    writeFileSync(
      join(project, "scripts", "cli.ts"),
      'import { said } from "./part/said";\nconsole.log(said, process.argv.slice(2).join());\n',
    );
  }

  function run(words: readonly string[] = []): Promise<{ code: number | null; output: string }> {
    const child = spawn(process.execPath, [join(project, "bin", "dbprotect.js"), ...words]);
    let output = "";
    child.stdout.on("data", (chunk) => (output += String(chunk)));
    child.stderr.on("data", (chunk) => (output += String(chunk)));
    return new Promise((done) => child.once("close", (code) => done({ code, output: output.trim() })));
  }

  function bundles(): string[] {
    return readdirSync(join(project, "node_modules", ".cache", "dbprotect")).sort();
  }

  it("is made once, and anew when a source changed", async () => {
    assert.equal((await run(["a", "b"])).output, "first a,b");
    const made = bundles();
    assert.equal(made.length, 1);
    await run();
    assert.deepEqual(bundles(), made);
    writeProgram('"later"');
    assert.equal((await run()).output, "later");
    assert.equal(bundles().length, 2);
  });

  it("is made by two runs at once without one seeing the half of the other's", async () => {
    const runs = await Promise.all([run(["1"]), run(["2"]), run(["3"])]);
    assert.deepEqual(
      runs.map(({ output }) => output),
      ["first 1", "first 2", "first 3"],
    );
    assert.match(bundles().join(), /^cli-[0-9a-f]{16}$/);
  });

  it("leaves the sources their own places, and gives a bug's stack in them", async () => {
    writeProgram('require("node:path").relative(process.argv[1] + "/../..", __filename)');
    assert.equal((await run()).output, join("scripts", "part", "said.ts"));
    writeFileSync(
      join(project, "scripts", "cli.ts"),
      'import { sourceStack } from "./contract/bugReport";\n\nconsole.log(sourceStack(new Error("a bug")));\n',
    );
    const { output } = await run();
    assert.match(output, /^Error: a bug\n.*scripts\/cli\.ts:3:\d+/);
  });

  it("keeps the compiled code of each command beside it, and what is damaged there harms nobody", async () => {
    await run(["say", "--x"]);
    const [bundle = ""] = bundles();
    const folder = join(project, "node_modules", ".cache", "dbprotect", bundle);
    const code = (): string[] => readdirSync(folder).filter((name) => name.endsWith(".code"));
    const [kept = ""] = code();
    assert.match(kept, /^say-[0-9a-f]+\.code$/);
    assert.equal((await run(["say", "--x"])).output, "first say,--x");
    await run(["hear"]);
    assert.deepEqual(code().length, 2);
    const whole = readFileSync(join(folder, kept));
    const flipped = Buffer.from(whole).fill(0, whole.length / 2);
    for (const damaged of [whole.subarray(0, whole.length / 2), flipped, Buffer.alloc(0)]) {
      writeFileSync(join(folder, kept), damaged);
      assert.equal((await run(["say", "--x"])).output, "first say,--x");
      assert.ok(!readFileSync(join(folder, kept)).equals(damaged));
    }
  });

  it("is done without where its folder cannot be written", async () => {
    writeFileSync(join(project, "node_modules", ".cache"), "in the way");
    assert.deepEqual(await run(["x"]), { code: 0, output: "first x" });
  });

  it("does not hide where a source is wrong", async () => {
    writeFileSync(join(project, "scripts", "part", "said.ts"), "export const said: string = ;\n");
    const { code, output } = await run();
    assert.notEqual(code, 0);
    assert.match(output, /said\.ts:1:28/);
  });
});

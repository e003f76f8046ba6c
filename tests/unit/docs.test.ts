/** The documentation names everything that exists and nothing that does not; its links lead somewhere. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { Command, Option } from "commander";
import * as library from "../../components";
import { configKeys } from "../../components/settings";
import { declaredCommands, optionTable } from "../../docs/generate/commands";
import { errorsOf } from "../../docs/generate/errors";
import { drawImports, importGraph, lintedLayers } from "../../docs/generate/imports";
import { anchorOf } from "../../docs/generate/markdown";
import { generatedPages } from "../../docs/generate/pages";
import { regionNames } from "../../docs/generate/regions";
import { declaredSettings } from "../../docs/generate/settings";
import { scripts as npmScripts } from "../../package.json";
import { policies } from "../../policy/rules";
import { commandEntries } from "../../scripts/commandList";
import { exitCode } from "../../scripts/contract/failure";
import { fullSteps, readOnlySteps } from "../../scripts/gate/gate";
import { ruleCatalog } from "../../scripts/migrations/ruleCatalog";
import { type SignalDefinition, signalDefinitions, signalNames } from "../../scripts/thresholds";
import { s3Parameters } from "../../scripts/store/openStore";

const root = resolve(__dirname, "../..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");

const pages = [
  ...["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "checks/README.md"],
  ...readdirSync(join(root, "docs"))
    .filter((file) => file.endsWith(".md"))
    .map((file) => `docs/${file}`),
  ...readdirSync(join(root, "docs/how-to")).map((file) => `docs/how-to/${file}`),
];
const readme = read("README.md");
const reference = read("docs/reference.md");
const architecture = read("docs/architecture.md");
const releasing = read("docs/releasing.md");

const commandNames = commandEntries.map(({ name }) => name);

/** The text below a heading, up to the next one of its level or above. */
function section(page: string, heading: string): string {
  const level = /^#+/.exec(heading)?.[0].length ?? 0;
  const lines = page.split("\n");
  const start = lines.indexOf(heading);
  assert.notEqual(start, -1, `no heading ${JSON.stringify(heading)}`);
  const length = lines.slice(start + 1).findIndex((line) => new RegExp(`^#{1,${level}} `).test(line));
  return lines.slice(start + 1, length === -1 ? undefined : start + 1 + length).join("\n");
}

/** The cells of every table row but the headings. */
function rows(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => /^\|(?! -)(?!\s*:?-+)/.test(line))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

function codeIn(text: string): string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code ?? "");
}

/** What stands as code in the first column of the section's tables. */
function firstColumn(text: string): string[] {
  return rows(text).flatMap(([first = ""]) => codeIn(first));
}

function assertSame(documented: readonly string[], existing: readonly string[]): void {
  assert.deepEqual([...new Set(documented)].sort(), [...new Set(existing)].sort());
}

/** What the `sh` blocks of a page run of ours: the line, and the words of the command line behind an npm script or a launcher. */
function documentedCalls(page: string): [line: string, words: string[]][] {
  return [...read(page).matchAll(/^```sh\n([\s\S]*?)^```/gm)]
    .flatMap(([, block = ""]) => block.replaceAll("\\\n", " ").split("\n"))
    .flatMap((line) => line.replace(/ #.*/, "").split(/&&|\|\||[;|]/))
    .flatMap((call): [string, string[]][] => {
      const script = /\bnpm run (?:-s )?([a-z][\w:-]*)(?: -- (.*))?/.exec(call);
      const launched = /(?:\bnpx |^\s*|bin\/)dbprotect(?:\.js)? (.*)/.exec(call);
      const behind = script === null ? undefined : /bin\/dbprotect\.js (.*)$/.exec(scriptOf(script[1]))?.[1];
      const words = behind === undefined ? launched?.[1] : `${behind} ${script?.[2] ?? ""}`;
      return words === undefined
        ? []
        : [
            [
              call.trim(),
              words
                .replace(/"[^"]*"|'[^']*'/g, "x")
                .replace(/["']/g, "")
                .split(/\s+/),
            ],
          ];
    });
}

function scriptOf(name = ""): string {
  return (npmScripts as Readonly<Record<string, string>>)[name] ?? "";
}

describe("documentation", function () {
  this.timeout(600_000);

  describe("what is generated", () => {
    it("is what npm run docs:generate writes, each part on one page", async () => {
      for (const [file, text] of await generatedPages())
        assert.ok(read(`docs/${file}`) === text, `docs/${file} is stale: npm run docs:generate`);
    });

    it("an option's default and meaning are those of the command line", () => {
      const command = new Command("x")
        .argument("[stores...]", "addresses; default: those of BACKUP_STORE")
        .requiredOption("--person <name>", "who says so")
        .option("--wait <duration>", "how long", (text) => Number(text), 300)
        .addOption(new Option("--print <what>", "only this, as db:list does").choices(["receipt"]).default("receipt"));
      assert.deepEqual(rows(optionTable(command)).slice(1), [
        ["`<stores...>`", "those of `BACKUP_STORE`", "addresses"],
        ["`--person <name>`", "required", "who says so"],
        ["`--wait <duration>`", "`5m`", "how long"],
        ["`--print <what>`", "`receipt`", "`receipt`: only this, as [`db:list`](#dblist) does"],
      ]);
    });

    it("an error's message, exit code and cure are those of the code that throws it", () => {
      const source = `
        const hint = "wait for it";
        throw new Unavailable(\`\${store.url}: \${messageOf(error)} of \${describeTarget(t)} is held\`, { hint });
        throw new UsageError(none ? "found nothing" : "found too much");
        throw new Damage(said);`;
      assert.deepEqual(errorsOf(source), [
        { message: "<store url>: <the error> of <target> is held", exitCode: 3, hint: "wait for it" },
        { message: "found nothing", exitCode: 2, hint: "" },
        { message: "found too much", exitCode: 2, hint: "" },
      ]);
    });
  });

  describe("commands", () => {
    const optionsOf = (help: string): string[] =>
      [...help.matchAll(/^ {2}(?:-\w, )?(--[\w-]+(?: <[^>]+>| \w+(?= {2}))?)/gm)]
        .map(([, option]) => option ?? "")
        .filter((option) => !["--help", "--version"].includes(option));

    it("each has a section in the reference, and each section a command", () => {
      const headings = [...section(reference, "## Commands").matchAll(/^### `(.+)`$/gm)].map(([, name]) => name ?? "");
      assertSame(headings, commandNames);
    });

    it("each section has the table of its command", () => {
      for (const name of commandNames)
        assert.deepEqual(regionNames(section(reference, `### \`${name}\``)), [`options of ${name}`]);
    });

    it("setup's options are named", () => {
      const help = execFileSync(process.execPath, [join(root, "bin", "setup.js"), "--help"], { encoding: "utf8" });
      assertSame(firstColumn(section(reference, "### Setup")), optionsOf(help));
    });

    it("on every page are those that exist, with options that they have", () => {
      const commands = declaredCommands();
      for (const page of pages) {
        for (const [call, words] of documentedCalls(page)) {
          const name = [words.slice(0, 2).join(" "), words[0] ?? ""].find((name) => commands.has(name));
          assert.ok(name !== undefined, `${page}: ${call}: no such command`);
          const known = commands.get(name)?.options.map(({ long }) => long) ?? [];
          for (const word of words.filter((word) => word.startsWith("--")))
            assert.ok([...known, "--help"].includes(word.replace(/=.*/, "")), `${page}: ${call}: no option ${word}`);
        }
      }
    });

    it("names of the strategy's form, anywhere, exist", () => {
      const known = [...Object.keys(npmScripts), ...commandNames];
      for (const page of pages) {
        for (const [name] of read(page).matchAll(/\b(?:db|env|deploy|test):[a-z]+(?:[:-][a-z]+)*/g)) {
          assert.ok(known.includes(name), `${page} names ${name}`);
        }
        for (const [, name = ""] of read(page).matchAll(/npm run (?:-s )?([a-z][\w:-]*\w)/g)) {
          assert.ok(name in npmScripts, `${page} says npm run ${name}`);
        }
      }
    });
  });

  it("npm scripts are those of the README's table", () => {
    assertSame(firstColumn(section(readme, "## Commands")), Object.keys(npmScripts));
  });

  it("signals of monitoring.md are those of the thresholds, number by number", () => {
    const page = read("docs/monitoring.md");
    const shown = ({ bad, unit }: SignalDefinition, number: number | undefined): string =>
      number === undefined
        ? "-"
        : `${bad === "below" ? "< " : ""}${number.toLocaleString("en-US")}${unit === "" ? "" : ` ${unit}`}`;
    assert.deepEqual(
      rows(section(page, "## Signals")).filter(([first]) => first !== "signal"),
      signalNames.map((name) => {
        const signal = signalDefinitions[name];
        const { title, warn, critical, read: from, source = "-", advice = "-" } = signal;
        return [`\`${name}\``, title, shown(signal, warn), shown(signal, critical), from, source, advice];
      }),
    );
  });

  it("configuration keys are those of the program, of Pulumi.yaml and of the README", () => {
    const documented = rows(section(readme, "## Configuration")).flatMap(([first = ""]) => codeIn(first));
    assertSame(documented, configKeys);
    const declared = [...(read("Pulumi.yaml").split("\nconfig:\n")[1] ?? "").matchAll(/^ {2}(\w+):$/gm)];
    const secrets = [
      ...["databaseUrl", "backupPassphrase", "alertsWebhookUrl"],
      ...["replicaPassword", "replicaDatabaseUrl", "replicationSourceUrl"],
    ];
    assertSame([...declared.map(([, key]) => key ?? ""), ...secrets], configKeys);
  });

  for (const key of ["bucket", "schedule", "alerts", "replication", "logicalReplica", "restoreDrill"]) {
    it(`the keys of ${key} are those of Pulumi.prod.yaml`, () => {
      const [, after = ""] = read("Pulumi.prod.yaml").split(`database-protection:${key}:\n`);
      const [block = ""] = after.split(/^ {2}\S/m);
      const keys = [...block.matchAll(/^ {4}(?:# )?([a-z]\w+): \S/gm)].map(([, name]) => `${key}.${name}`);
      assertSame(
        declaredSettings()
          .get(key)
          ?.map((setting) => setting.key) ?? [],
        keys,
      );
    });
  }

  it("environment variables are those that the code reads", () => {
    const sources = ["bin", "components", "scripts"].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
        .filter((file) => /\.(ts|js)$/.test(file) && !file.startsWith("rehearsal"))
        .map((file) => read(join(folder, file))),
    );
    const text = sources.join("\n");
    const notOurs = ["PATH"];
    const named = [
      ...text.matchAll(/(?:\benv|process\.env)(?:\[|\??\.)"?([A-Z][A-Z0-9_]+)/g),
      ...text.matchAll(/"((?:DATABASE|SCRATCH_DATABASE)_[A-Z_]+)"/g),
    ].map(([, name]) => name ?? "");
    const table = section(reference, "## Environment variables");
    const documented = firstColumn(table);
    const mentioned = [...codeIn(table)];
    for (const name of named)
      assert.ok(notOurs.includes(name) || mentioned.includes(name), `${name} is not documented`);
    // What the AWS SDK reads by itself.
    const sdks = ["AWS_REGION", "AWS_PROFILE"];
    for (const name of documented) assert.ok(sdks.includes(name) || text.includes(name), `nothing reads ${name}`);
    for (const name of firstColumn(section(readme, "## Environment variables"))) assert.ok(documented.includes(name));
  });

  it("parameters of an s3:// store are those that are read", () => {
    assertSame(firstColumn(section(reference, "## Stores").split("takes parameters")[1] ?? ""), s3Parameters);
  });

  it("exit codes are those of the contract", () => {
    for (const text of [section(readme, "## Exit codes"), section(reference, "## Exit codes")]) {
      const codes = rows(text).flatMap(([first = ""]) => (/^\d+$/.test(first) ? [Number(first)] : []));
      assert.deepEqual(codes, Object.values(exitCode));
    }
  });

  it("gate steps stand in their order, and each says what to do", () => {
    const full = fullSteps.map(({ name }) => name);
    const readOnly = readOnlySteps.map(({ name }) => name);
    const stepsIn = (text: string): string[] =>
      codeIn(text.trim().split("\n\n")[0] ?? "").filter((code) => isStep(code));
    const isStep = (code: string): boolean => full.includes(code) || readOnly.includes(code);
    assert.deepEqual(stepsIn(section(reference, "### `gate run`")), full);
    assert.deepEqual(stepsIn(section(reference, "### `gate preview`")), readOnly);
    const headings = [...section(releasing, "## When the gate halts").matchAll(/^### `(.+)`$/gm)].map(
      ([, step]) => step,
    );
    assertSame(headings as string[], [...full, ...readOnly]);
  });

  it("migration rules are those of the catalog, told by what they protect", () => {
    const text = section(reference, "## Migration rules");
    const listed = text.split("\n\n").filter((paragraph) => /^(Refused|Reported)/.test(paragraph));
    assertSame(
      listed.flatMap((paragraph) => codeIn(paragraph)),
      Object.keys(ruleCatalog),
    );
    const informing = listed.filter((paragraph) => paragraph.startsWith("Reported")).flatMap(codeIn);
    assertSame(
      informing,
      Object.entries(ruleCatalog).flatMap(([rule, { severity }]) => (severity === "inform" ? [rule] : [])),
    );
  });

  it("every answer to a threat names a test that exists", () => {
    const answers = [...read("docs/security.md").matchAll(/`(tests\/[^`]+)`:\s+"([^"]+)"/g)];
    assert.ok(answers.length > 15, String(answers.length));
    for (const [, file = "", title = ""] of answers)
      assert.ok(read(file).includes(title.replace(/^[a-z-]+ \(\d\): /, "")), `${file}: ${title}`);
  });

  it("the strategy's data checks are named", () => {
    const checks = readdirSync(join(root, "scripts/verification/dataChecks/strategy")).map((file) =>
      file.replace(/\.sql$/, ""),
    );
    for (const check of checks) assert.ok(codeIn(section(reference, "## Data checks")).includes(check), check);
  });

  it("rules of the policy pack are those of the reference", () => {
    assertSame(
      firstColumn(section(reference, "## Policy pack").split("All are mandatory")[0] ?? ""),
      policies.map(({ name }) => name),
    );
  });

  it("the layers are lint's, and every folder of scripts/ is in one", () => {
    const layersOfLint = lintedLayers(root).map((layer) => layer.join(", "));
    const block = /enforces\s+it:\n\n```\n([^`]*)```/.exec(architecture)?.[1] ?? "";
    const layersOfPage = [...block.matchAll(/^([a-z]+(?:, [a-z]+)*)/gm)].map(([, layer]) => layer);
    assert.deepEqual(layersOfPage, layersOfLint);
    const folders = readdirSync(join(root, "scripts"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    assertSame(
      layersOfLint.flatMap((layer) => layer.split(", ")),
      folders.map(({ name }) => name),
    );
  });

  it("no folder of the sources imports from one that imports from it, by whatever way", () => {
    const graph = importGraph(root);
    const reach = (from: string, seen = new Set<string>()): Set<string> => {
      for (const to of graph.get(from) ?? []) if (!seen.has(to)) reach(to, seen.add(to));
      return seen;
    };
    for (const folder of graph.keys()) assert.ok(!reach(folder).has(folder), folder);
    assert.match(
      drawImports(
        new Map([
          ["a", new Set(["b", "c"])],
          ["b", new Set(["c"])],
        ]),
        [["a"]],
      ),
      /a --> b\n {2}b --> c/,
    );
  });

  it("the components are those of the library", () => {
    const classes = Object.entries(library).flatMap(([name, value]) =>
      typeof value === "function" && /^class\b/.test(value.toString()) ? [name] : [],
    );
    const [, table = ""] = section(architecture, "## Layout").split("| component ");
    assertSame(firstColumn(table), classes);
  });

  it("every source file says first what it is for", () => {
    for (const folder of ["bin", "components", "policy", "scripts", "tests", "bench", "campaign", "docs"]) {
      for (const file of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
        if (!/\.[jt]s$/.test(file)) continue;
        assert.match(read(join(folder, file)).replace(/^#!.*\n/, ""), /^\/[/*]/, `${folder}/${file}`);
      }
    }
  });

  it("the recording of npm start is an asciicast, of a run that passed", () => {
    const [header = "", ...events] = read("docs/rehearsal.cast").trim().split("\n");
    const { version, command } = JSON.parse(header) as { version: number; command: string };
    assert.deepEqual([version, command], [2, "npm start"]);
    let last = 0;
    const shown = events.map((line) => {
      const [seconds, kind, text] = JSON.parse(line) as [number, string, string];
      assert.ok(seconds >= last && kind === "o", line);
      last = seconds;
      return text;
    });
    assert.match(shown.join(""), /PASS: (\d+) of \1 scenes as expected/);
  });

  for (const page of pages) {
    it(`links of ${page} lead somewhere`, () => {
      const text = read(page).replace(/```[\s\S]*?```/g, "");
      for (const [, link = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(link)) continue;
        const [path = "", anchor] = link.split("#");
        const target = path === "" ? join(root, page) : resolve(root, dirname(page), path);
        assert.ok(existsSync(target), `${link}: no such file`);
        assert.ok(!relative(root, target).startsWith(".."), `${link} leaves the project`);
        if (anchor !== undefined)
          assert.ok(anchorsOf(readFileSync(target, "utf8")).includes(anchor), `${link}: no such heading`);
      }
    });
  }
});

/** Of every heading. */
function anchorsOf(page: string): string[] {
  return [...page.replace(/```[\s\S]*?```/g, "").matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading ?? ""));
}

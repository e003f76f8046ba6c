/** The Dockerfile, by hadolint's rules and some of our own; each is proven by a Dockerfile that breaks it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import * as path from "node:path";
import { DockerfileParser, type Dockerfile, type Instruction } from "dockerfile-ast";
import { fetchedNodeVersion } from "../../bin/setup/projectNode.js";

const root = path.resolve(__dirname, "../..");
const text = readFileSync(path.join(root, "Dockerfile"), "utf8");

/** What each stage is built from by default, with the ARG before the first stage filled in. */
function basesOf(dockerfile: Dockerfile): string[] {
  const defaults = new Map(
    dockerfile.getInitialARGs().map((arg) => [arg.getProperty()?.getName(), arg.getProperty()?.getValue() ?? ""]),
  );
  return dockerfile
    .getFROMs()
    .map((from) => (from.getImage() ?? "").replace(/\$\{(\w+)\}/g, (_, name: string) => defaults.get(name) ?? ""));
}

/** `name:1.2.3-variant`, with or without a digest. */
const exact = /^[\w./-]+:\d+\.\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$/;

type Rule = (dockerfile: Dockerfile, instructions: readonly Instruction[]) => unknown;

const named = (instructions: readonly Instruction[], ...keywords: string[]): Instruction[] =>
  instructions.filter((each) => keywords.includes(each.getKeyword()));
const argumentsOf = (each: Instruction): string => each.getArgumentsContent()?.replace(/\\\s*\n/g, " ") ?? "";
const lastStage = (instructions: readonly Instruction[]): Instruction[] =>
  instructions.slice(instructions.findLastIndex((each) => each.getKeyword() === "FROM"));

/** Truthy: the rule is broken. The codes are hadolint's. */
const rules: Readonly<Record<string, Rule>> = {
  "DL3006, DL3007: every base is of one exact version": (dockerfile) =>
    basesOf(dockerfile).some((base) => !exact.test(base)),
  "the base can be pinned by digest, in one place": (dockerfile) =>
    dockerfile.getFROMs().some((from) => from.getImage() !== "${NODE_IMAGE}"),
  "DL3002: the last user is not root": (_, all) =>
    /^(root|0)?(:|$)/.test(named(lastStage(all), "USER").map(argumentsOf).at(-1) ?? ""),
  "DL3020, DL3021: nothing is added, only copied": (_, all) => named(all, "ADD").length > 0,
  "DL3000: WORKDIR is absolute": (_, all) => named(all, "WORKDIR").some((each) => !argumentsOf(each).startsWith("/")),
  "DL3004: no sudo": (_, all) => named(all, "RUN").some((each) => /\bsudo\b/.test(argumentsOf(each))),
  "DL3009: the lists of apt-get are removed where they were fetched": (_, all) =>
    named(all, "RUN").some(
      (each) =>
        /apt-get update/.test(argumentsOf(each)) && !/rm -rf \/var\/lib\/apt\/lists\/\*/.test(argumentsOf(each)),
    ),
  "DL3014, DL3015: apt-get asks nothing and installs nothing else": (_, all) =>
    named(all, "RUN").some((each) =>
      [...argumentsOf(each).matchAll(/apt-get install([^&]*)/g)].some(
        ([, options = ""]) => !/ (--yes|-y) /.test(options) || !/ --no-install-recommends /.test(options),
      ),
    ),
  "DL3025: CMD and ENTRYPOINT are JSON": (_, all) =>
    named(all, "CMD", "ENTRYPOINT").some((each) => !argumentsOf(each).startsWith("[")),
  "DL4006: a pipe that breaks fails": (_, all) => {
    const shell = all.findIndex((each) => each.getKeyword() === "SHELL" && /pipefail/.test(argumentsOf(each)));
    return all.some((each, place) => /\w \| \w/.test(argumentsOf(each)) && (shell === -1 || place < shell));
  },
  "no secret among what stays in the image": (_, all) =>
    named(all, "ARG", "ENV").some((each) =>
      /(pass(word|phrase)?|secret|token|_key|database_url)\b/i.test(argumentsOf(each)),
    ),
  "nothing is fetched past the package managers": (_, all) =>
    named(all, "RUN").some((each) => /\b(curl|wget)\b|https?:\/\//.test(argumentsOf(each))),
  "nothing is copied whole, whatever lies there": (_, all) =>
    named(all, "COPY").some(
      (each) => !/--from=/.test(each.getTextContent()) && /(^|\s)\.\/?\s/.test(argumentsOf(each)),
    ),
  "development packages stay out": (_, all) =>
    named(all, "RUN").some((each) => /npm (ci|install)(?!.*--omit=dev)/.test(argumentsOf(each))),
  "no compiler, no sources in what runs": (_, all) =>
    named(lastStage(all), "RUN").some((each) => /\bnpm\b/.test(argumentsOf(each))),
  "only the scratch folder is a volume": (_, all) => named(all, "VOLUME").map(argumentsOf).join() !== '["/scratch"]',
};

function broken(content: string): string[] {
  const dockerfile = DockerfileParser.parse(content);
  const instructions = dockerfile.getInstructions();
  return Object.entries(rules)
    .filter(([, rule]) => rule(dockerfile, instructions))
    .map(([name]) => name.split(":")[0]!);
}

/** What is replaced, by what, and the rule that has to notice. */
const twins: readonly (readonly [string | RegExp, string, string])[] = [
  [/^ARG NODE_IMAGE=\S+$/m, "ARG NODE_IMAGE=node:latest", "DL3006"],
  [/^ARG NODE_IMAGE=\S+$/m, "ARG NODE_IMAGE=node", "DL3006"],
  [/^ARG NODE_IMAGE=\S+$/m, "ARG NODE_IMAGE", "DL3006"],
  [/^FROM \$\{NODE_IMAGE\}$/m, "FROM node:24.21.0-bookworm-slim", "the base can be pinned"],
  ["USER 1000:1000\n", "", "DL3002"],
  ["USER 1000:1000", "USER root", "DL3002"],
  ["USER 1000:1000", "USER 0:0", "DL3002"],
  ["COPY LICENSE ./", "ADD https://example.com/LICENSE ./", "DL3020"],
  ["WORKDIR /opt/dbprotect", "WORKDIR opt", "DL3000"],
  ["RUN ln -s", "RUN sudo ln -s", "DL3004"],
  [" \\\n  && rm -rf /var/lib/apt/lists/*", "", "DL3009"],
  ["--yes --no-install-recommends ca-certificates", "ca-certificates", "DL3014"],
  ['CMD ["dbprotect", "--help"]', "CMD dbprotect --help", "DL3025"],
  ["RUN node bin/pack.js /packed", "RUN node bin/pack.js /packed | tee log", "DL4006"],
  ["NODE_ENV=production", "DATABASE_URL=postgres://u:p@h/d", "no secret among"],
  ['ARG POSTGRES_EXTENSIONS=""', "ARG NPM_TOKEN", "no secret among"],
  ["RUN ln -s", "RUN curl -O https://example.com/x && ln -s", "nothing is fetched"],
  ["COPY bin ./bin", "COPY . .", "nothing is copied whole"],
  ["npm ci --omit=dev", "npm ci", "development packages"],
  ["RUN ln -s", "RUN npm install -g x --omit=dev && ln -s", "no compiler"],
  ['VOLUME ["/scratch"]', 'VOLUME ["/scratch", "/opt"]', "only the scratch folder"],
];

describe("Dockerfile", () => {
  it("breaks no rule", () => assert.deepEqual(broken(text), []));

  for (const [wanted, replacement, rule] of twins)
    it(`with ${JSON.stringify(replacement)} breaks: ${rule}`, () => {
      const twin = text.replace(wanted, replacement);
      assert.notEqual(twin, text);
      assert.ok(
        broken(twin).some((name) => name.startsWith(rule)),
        broken(twin).join("; ") || "nothing was noticed",
      );
    });

  it("has the project's own Node.js, and every major that is supported", () => {
    const bases = basesOf(DockerfileParser.parse(text));
    assert.deepEqual(bases, Array(2).fill(`node:${fetchedNodeVersion}-bookworm-slim`));
    assert.match(text, /^ARG POSTGRES_MAJORS="14 15 16 17 18"$/m);
  });

  it("has commands that its shell can read", () => {
    const commands = named(DockerfileParser.parse(text).getInstructions(), "RUN").map(argumentsOf);
    assert.ok(commands.length >= 4);
    for (const command of commands) execFileSync("bash", ["-n", "-c", command]);
  });

  it("copies only what is there and what .dockerignore lets through", () => {
    const [first = "", ...allowed] = readFileSync(path.join(root, ".dockerignore"), "utf8")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    assert.equal(first, "*");
    const copied = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, names = ""]) => names.split(" "));
    assert.deepEqual(copied.sort(), allowed.map((line) => line.replace(/^!/, "")).sort());
    for (const name of copied) assert.ok(existsSync(path.join(root, name)), name);
  });
});

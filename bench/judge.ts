/**
 * Precision and recall of the static judge beside squawk and postgres-language-server, per class, on a folder of labelled
 * fixtures: `<class>/<name>.sql`, each file one set; without a folder the project's own cases. Classes: destroys, breaks, weakens, blocks, additive. See docs/benchmarks.md.
 *
 * Usage: node --require tsx/cjs bench/judge.ts [<folder>] [--squawk <binary>] [--pgls <binary>] [--misses]
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { judgeTwice } from "../scripts/migrations/secondOpinion";
import {
  type Case,
  additive,
  blocking,
  breaking,
  destroying,
  opening,
  procedural,
} from "../tests/unit/migrations/cases";

const classes = ["destroys", "breaks", "weakens", "blocks", "additive"] as const;

interface Linter {
  readonly name: string;
  /** Does it refuse this file? */
  refuses(path: string): Promise<boolean>;
}

const ours: Linter = {
  name: "dbprotect",
  refuses: async (path) =>
    (await judgeTwice([{ file: basename(path), sql: readFileSync(path, "utf8") }])).verdict === "refused",
};

/** Rules of squawk that are about style, types and missing timeouts: it would refuse nearly every file by them. */
const styleRules = [
  ...["prefer-robust-stmts", "prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-text-field"],
  ...["prefer-identity", "prefer-timestamp-tz", "ban-char-field", "require-lock-timeout", "require-statement-timeout"],
];

const squawk = (binary: string): Linter => ({
  name: "squawk",
  refuses: (path) => fails(binary, ["--assume-in-transaction", `--exclude=${styleRules.join(",")}`, path]),
});

/** Its rules of the same kind, switched off. */
const styleRulesOfServer = [
  ...[
    "lockTimeoutWarning",
    "requireStatementTimeout",
    "requireIdleInTransactionTimeout",
    "preferBigInt",
    "preferJsonb",
  ],
  ...["preferBigintOverInt", "preferBigintOverSmallint", "preferIdentity", "preferRobustStmts", "preferTextField"],
  ...["preferTimestamptz", "banCharField", "transactionNesting", "multipleAlterTable"],
];

const languageServer = (binary: string, folder: string): Linter => {
  const safety = Object.fromEntries(styleRulesOfServer.map((rule) => [rule, "off"]));
  const settings = { linter: { enabled: true, rules: { recommended: true, safety } } };
  writeFileSync(join(folder, "postgres-language-server.jsonc"), JSON.stringify(settings));
  const words = ["check", "--error-on-warnings", "--config-path", join(folder, "postgres-language-server.jsonc")];
  return { name: "postgres-language-server", refuses: (path) => fails(binary, [...words, path]) };
};

/** The project's own cases of one file, as fixtures: what each family must refuse, and what must pass. */
function writeOwn(folder: string): string {
  const refused = (cases: readonly Case[]): readonly Case[] => cases.filter((one) => one.refused.length > 0);
  const own = {
    destroys: refused([...destroying, ...procedural]),
    breaks: refused(breaking),
    weakens: refused(opening),
    blocks: refused(blocking),
    additive: [...additive, ...opening, ...blocking].filter((one) => one.refused.length === 0),
  };
  for (const name of classes) {
    mkdirSync(join(folder, name), { recursive: true });
    own[name].forEach(({ sql }, place) => {
      if (typeof sql === "string") writeFileSync(join(folder, name, `${place}.sql`), sql);
    });
  }
  return folder;
}

async function fails(binary: string, words: readonly string[]): Promise<boolean> {
  try {
    await promisify(execFile)(binary, words, { timeout: 60_000 });
    return false;
  } catch (error) {
    if (typeof (error as { code?: unknown }).code !== "number") throw error; // it did not run at all
    return true;
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { squawk: { type: "string" }, pgls: { type: "string" }, misses: { type: "boolean", default: false } },
  });
  const scratch = mkdtempSync(join(tmpdir(), "dbprotect-judge-"));
  process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
  const folder = positionals[0] ?? writeOwn(scratch);
  const linters = [
    ours,
    ...(values.squawk === undefined ? [] : [squawk(values.squawk)]),
    ...(values.pgls === undefined ? [] : [languageServer(values.pgls, scratch)]),
  ];
  console.log(`| class | files | ${linters.map(({ name }) => `${name} refuses`).join(" | ")} |`);
  console.log(`| --- | --- | ${linters.map(() => "---").join(" | ")} |`);
  for (const name of classes) {
    const files = readdirSync(join(folder, name)).filter((file) => file.endsWith(".sql"));
    const cells: string[] = [];
    for (const linter of linters) {
      const refused: string[] = [];
      for (const file of files) if (await linter.refuses(join(folder, name, file))) refused.push(file);
      cells.push(`${refused.length} (${Math.round((100 * refused.length) / Math.max(files.length, 1))} %)`);
      const missed = files.filter((file) => refused.includes(file) === (name === "additive"));
      if (values.misses && linter === ours) console.error(`${name}: ${missed.join(", ") || "none"}`);
    }
    console.log(`| ${name} | ${files.length} | ${cells.join(" | ")} |`);
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});

/** The judge and the linters beside it: by which classes of rules each of them refuses a text. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Catalog } from "../../scripts/migrations/catalog";
import type { Family } from "../../scripts/migrations/ruleCatalog";
import { judgeTwice } from "../../scripts/migrations/secondOpinion";
import type { Class } from "./fixtures";

export interface Linter {
  readonly name: string;
  /** The classes of the rules by which it refuses; empty: it lets the text pass. */
  refuses(sql: string): Promise<ReadonlySet<Class>>;
}

const ownClasses: Readonly<Record<Family, Class>> = {
  "destroys-data": "destroys",
  "breaks-application": "breaks",
  "weakens-security": "weakens",
  "blocks-writers": "blocks",
  unanalysable: "other",
  "cannot-run": "other",
};

/** @param catalog of the database that the text is for; left out: as `migrations:lint`. */
async function judgeRefuses(sql: string, catalog?: Catalog): Promise<ReadonlySet<Class>> {
  const { findings } = await judgeTwice([{ file: "1.sql", sql }], catalog);
  return new Set(findings.filter(({ severity }) => severity === "refuse").map(({ family }) => ownClasses[family]));
}

export const judge: Linter = { name: "dbprotect", refuses: (sql) => judgeRefuses(sql) };

/**
 * The classes of their rules, which both name alike (`ban-drop-table`, `banDropTable`). Not listed, so not counted: rules on
 * style, names, types, enums and missing timeouts, by which they would refuse nearly every file.
 */
const classesOfRules: Readonly<Record<string, Class>> = {
  "ban-delete-without-where": "destroys",
  "ban-drop-column": "destroys",
  "ban-drop-database": "destroys",
  "ban-drop-schema": "destroys",
  "ban-drop-table": "destroys",
  "ban-truncate": "destroys",
  "ban-truncate-cascade": "destroys",
  "ban-update-without-where": "destroys",
  "adding-not-nullable-field": "breaks",
  "adding-not-null-field": "breaks",
  "adding-required-field": "breaks",
  "avoid-enable-disable-trigger": "breaks",
  "ban-drop-not-null": "breaks",
  "ban-drop-trigger": "breaks",
  "renaming-column": "breaks",
  "renaming-table": "breaks",
  "add-serial-column": "blocks",
  "adding-field-with-default": "blocks",
  "adding-foreign-key-constraint": "blocks",
  "adding-primary-key-constraint": "blocks",
  "adding-serial-primary-key-field": "blocks",
  "avoid-adding-exclusion-constraint": "blocks",
  "avoid-attaching-partition": "blocks",
  "ban-alter-domain-with-add-constraint": "blocks",
  "ban-vacuum-full": "blocks",
  "changing-column-type": "blocks",
  "constraint-missing-not-valid": "blocks",
  "disallowed-unique-constraint": "blocks",
  "prefer-repack": "blocks",
  "require-concurrent-detach-partition": "blocks",
  "require-concurrent-index-creation": "blocks",
  "require-concurrent-index-deletion": "blocks",
  "require-concurrent-partition-detach": "blocks",
  "require-concurrent-refresh-matview": "blocks",
  "require-concurrent-reindex": "blocks",
  "require-separate-constraint-validation": "blocks",
  "running-statement-while-holding-access-exclusive": "blocks",
  // What does not parse, or would fail in a transaction.
  syntax: "other",
  "syntax-error": "other",
  "ban-concurrent-index-creation-in-transaction": "other",
  "ban-uncommitted-transaction": "other",
  "transaction-nesting": "other",
};

function classesBy(rules: readonly string[]): ReadonlySet<Class> {
  return new Set(rules.flatMap((rule) => classesOfRules[rule] ?? []));
}

/** Its defaults, in the transaction that every migration tool runs a file in. */
export function squawk(binary: string): Linter {
  return {
    name: "squawk",
    refuses: (sql) =>
      withFile(sql, async (path) => {
        const output = await run(binary, ["--assume-in-transaction", "--reporter", "json", path]);
        const report = JSON.parse(output) as { rule_name: string }[];
        return classesBy(report.map(({ rule_name: rule }) => rule));
      }),
  };
}

/** Its recommended rules, without a database. */
export function languageServer(binary: string): Linter {
  return {
    name: "postgres-language-server",
    refuses: (sql) =>
      withFile(sql, async (path) => {
        const output = await run(binary, ["check", "--disable-db", "--reporter=json", "--max-diagnostics=none", path]);
        const { diagnostics } = JSON.parse(output) as { diagnostics: { category: string }[] };
        const rules = diagnostics.map(({ category }) => category.split("/").at(-1) ?? "");
        return classesBy(rules.map((rule) => rule.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)));
      }),
  };
}

async function withFile<T>(sql: string, work: (path: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-judge-"));
  try {
    writeFileSync(join(folder, "1.sql"), sql);
    return await work(join(folder, "1.sql"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Both exit 1 when they found something. What they say. */
function run(binary: string, words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(binary, words, { timeout: 60_000 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== "number")
        reject(new Error(`${binary} did not run`, { cause: error }));
      else if (stdout.trim() === "") reject(new Error(`${binary} said nothing: ${stderr}`));
      else resolve(stdout);
    });
  });
}

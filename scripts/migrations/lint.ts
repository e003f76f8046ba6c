/** Judges migration files without a database: those below some paths, or of them what changed since a git ref. */
import { execFile } from "node:child_process";
import { readFile, readdir, stat } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { promisify } from "node:util";
import { UsageError, messageOf } from "../contract/failure";
import { type Finding, type Judgement, judgeMigrations, noCatalog } from "./judge";
import { ruleCatalog } from "./ruleCatalog";
import { SourceText } from "./sourceText";
import { askSquawk } from "./squawk";
import { type MigrationTool, forwardPart, isRollbackScript } from "./toolFolders";

export interface LintOptions {
  /** Files, and folders, of which every `.sql` below is read. */
  readonly paths: readonly string[];
  /** Whose files they are: what only takes a migration back is left out. */
  readonly tool: MigrationTool;
  /** Only what is new or other than in this commit; these files are then one set, judged in the order of their numbers. */
  readonly since?: string;
}

export interface Lint extends Judgement {
  /** What was judged, relative to the current folder, in order. */
  readonly files: readonly string[];
}

/**
 * Without `since` each file is judged by itself: which of them a database has applied is not known here, and a table that
 * an older file made may hold rows by now.
 *
 * @throws UsageError for a path that cannot be read or holds no `.sql` file, and a ref that git does not know.
 */
export async function lintMigrations({ paths, tool, since }: LintOptions): Promise<Lint> {
  const found = (await Promise.all(paths.map((path) => sqlFilesBelow(path, tool)))).flat();
  const all = [...new Set(found.map((path) => relative(process.cwd(), path)))].sort(byNumbers);
  const changed = since === undefined ? undefined : await changedSince(since);
  const files = changed === undefined ? all : all.filter((file) => changed.has(resolve(file)));
  const texts = await Promise.all(files.map((file) => readText(file, tool)));
  const sets = since === undefined ? texts.map((text) => [text]) : [texts];
  const opinions = await askSquawk(texts);
  const findings: Finding[] = [];
  for (const set of sets) {
    const { findings: judged } = await judgeMigrations(set, noCatalog, opinions);
    const undecodable = set.flatMap(({ fault }) => fault ?? []);
    findings.push(...judged.filter(({ file }) => !undecodable.some((fault) => fault.file === file)), ...undecodable);
  }
  const verdict = findings.some(({ severity }) => severity === "refuse") ? "refused" : "pass";
  return { verdict, files, findings };
}

async function sqlFilesBelow(path: string, tool: MigrationTool): Promise<string[]> {
  const unreadable = (error: unknown): never => {
    throw new UsageError(`${path}: cannot be read: ${messageOf(error)}`, { hint: "expected a file or a folder" });
  };
  if ((await stat(path).catch(unreadable)).isFile()) return [resolve(path)];
  const names = await readdir(path, { recursive: true }).catch(unreadable);
  const named = names.filter((name) => name.endsWith(".sql") && !/(^|[/\\])(\.|node_modules[/\\])/.test(name));
  const kinds = await Promise.all(named.map((name) => stat(join(path, name)).catch(unreadable)));
  const files = named.filter((name, place) => kinds[place]!.isFile() && !isRollbackScript(tool, name));
  if (files.length === 0)
    throw new UsageError(`${path}: found no .sql file below it: expected the folder of migrations`);
  return files.map((name) => resolve(join(path, name)));
}

interface ReadText {
  readonly file: string;
  readonly sql: string;
  /** The file is not text: what is said of it, instead of a verdict on the rest. */
  readonly fault?: Finding;
}

async function readText(file: string, tool: MigrationTool): Promise<ReadText> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new UsageError(`${file}: cannot be read: ${messageOf(error)}`);
  });
  const text = decodeMigration(file, bytes);
  return { ...text, sql: forwardPart(tool, text.sql) };
}

/** Any bytes: those that are not UTF-8 give a finding with the place of the first. */
export function decodeMigration(file: string, bytes: Buffer): ReadText {
  const sql = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const text = sql.replace(/^\uFEFF/, "");
  const again = Buffer.from(sql);
  if (again.equals(bytes)) return { file, sql: text };
  const wrong = again.findIndex((byte, place) => byte !== bytes[place]);
  const place = new SourceText(file, text).place(
    Math.max(0, sql.indexOf("\uFFFD", again.subarray(0, wrong).toString().length - 1)),
  );
  const { family, severity, saferWay } = ruleCatalog.unparseable;
  const reason = "the file holds bytes that are not UTF-8";
  return { file, sql: "", fault: { file, rule: "unparseable", family, severity, ...place, reason, saferWay } };
}

/** Absolute paths of what the working tree has and the commit has not, or has otherwise; untracked files too. */
async function changedSince(ref: string): Promise<ReadonlySet<string>> {
  const commit = await git(["rev-parse", "--verify", "--quiet", "--end-of-options", `${ref}^{commit}`]).catch(() => {
    throw new UsageError(`--since ${ref}: git knows no such commit here: expected a branch, a tag or a commit`, {
      hint: "in CI the checkout must hold it: fetch the history (fetch-depth: 0)",
    });
  });
  const root = (await git(["rev-parse", "--show-toplevel"])).trimEnd();
  const changed = await git(["diff", "--name-only", "--no-renames", "--diff-filter=d", "-z", commit.trim()]);
  const untracked = await git(["ls-files", "--others", "--full-name", "--exclude-standard", "-z", "--", root]);
  return new Set([...changed.split("\0"), ...untracked.split("\0")].map((file) => resolve(root, file)));
}

async function git(words: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("git", words, { maxBuffer: 256 * 1024 * 1024 });
  return stdout;
}

/** `V2__a.sql` before `V10__b.sql`, as every tool runs them; Flyway's repeatable ones last. */
function byNumbers(a: string, b: string): number {
  const isRepeatable = (path: string): number => (/(^|[/\\])R__[^/\\]*$/.test(path) ? 1 : 0);
  return isRepeatable(a) - isRepeatable(b) || collator.compare(a, b) || (a < b ? -1 : 1);
}

const collator = new Intl.Collator("en", { numeric: true });

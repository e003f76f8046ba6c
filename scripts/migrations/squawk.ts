/**
 * The second opinion: squawk, an independent linter, on locks alone. Its binary comes with npm; without it nothing
 * passes. Its own judgement of everything else is left out: the judge knows the set and the database, squawk one file.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { getBinaryPath } from "squawk-cli/js/index.js";
import { z } from "zod";
import { UsageError, messageOf } from "../contract/failure";
import { type Opinion, type SquawkRule, squawkRules } from "./opinion";
import { SyntaxFault, loadParser, parseStatements, scanComments } from "./parser";
import { SourceText } from "./sourceText";

const reportSchema = z.array(
  z.object({
    file: z.string(),
    /** 0-based; the column counts bytes. */
    line: z.int(),
    column: z.int(),
    message: z.string(),
    rule_name: z.string(),
  }),
);

/**
 * By file name. A file that does not parse gets none: the judge refuses it.
 *
 * @throws UsageError when the binary is not there, or does not answer.
 */
export async function askSquawk(
  files: readonly { readonly file: string; readonly sql: string }[],
): Promise<ReadonlyMap<string, readonly Opinion[]>> {
  await loadParser();
  const readable = files.flatMap(({ file, sql }) => {
    const text = withoutComments(sql);
    return text === undefined || text.trim() === "" ? [] : [{ file, text }];
  });
  if (readable.length === 0) return new Map();
  const folder = await mkdtemp(join(tmpdir(), "dbp-squawk-"));
  try {
    await Promise.all(readable.map(({ text }, place) => writeFile(join(folder, `${place}.sql`), text)));
    // Its own settings: a .squawk.toml of the project would silence rules.
    await writeFile(join(folder, "squawk.toml"), "assume_in_transaction = true\n");
    const report = await run(folder);
    const opinions = new Map<string, Opinion[]>();
    for (const { file, line, column, message, rule_name: rule } of report) {
      const source = readable[Number.parseInt(basename(file), 10)];
      if (source === undefined || !isLockRule(rule)) continue;
      const text = new SourceText("", source.text);
      const start = text.indexOfLine(line + 1);
      const prefix = Buffer.from(source.text.slice(start, text.indexOfLine(line + 2))).subarray(0, column);
      const known = opinions.get(source.file) ?? [];
      known.push({ rule, index: start + prefix.toString().length, reason: message });
      opinions.set(source.file, known);
    }
    return opinions;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Comments become blanks, so that `squawk-ignore` silences nothing and every place stays. Undefined: does not parse. */
function withoutComments(sql: string): string | undefined {
  const source = new SourceText("", sql);
  try {
    parseStatements(source);
  } catch (error) {
    if (error instanceof SyntaxFault) return undefined;
    throw error;
  }
  let text = "";
  let end = 0;
  for (const { start, end: behind } of scanComments(sql)) {
    const [from, to] = [source.indexOfByte(start), source.indexOfByte(behind)];
    text += sql.slice(end, from) + sql.slice(from, to).replace(/[^\n]/g, " ");
    end = to;
  }
  return text + sql.slice(end);
}

function isLockRule(rule: string): rule is SquawkRule {
  return Object.hasOwn(squawkRules, rule);
}

/** Runs over every `.sql` of the folder. Exit 1 only says that it found something. */
async function run(folder: string): Promise<z.infer<typeof reportSchema>> {
  const words = ["--config", join(folder, "squawk.toml"), "--reporter", "json", join(folder, "*.sql")];
  const options = { cwd: folder, timeout: 60_000, maxBuffer: 256 * 1024 * 1024 };
  const output = await new Promise<string>((resolve, reject) => {
    execFile(squawkBinary(), words, options, (error, stdout, stderr) => {
      if (stdout.trimStart().startsWith("[")) resolve(stdout);
      else reject(unanswered(error === null ? stderr : `${messageOf(error)} ${stderr}`));
    });
  });
  const parsed = reportSchema.safeParse(JSON.parse(output));
  if (!parsed.success) throw unanswered("its report is not what this version reads");
  return parsed.data;
}

/** squawk-cli itself only starts the binary of the platform's own package. */
function squawkBinary(): string {
  try {
    return getBinaryPath();
  } catch (error) {
    throw unanswered(messageOf(error));
  }
}

function unanswered(why: string): UsageError {
  return new UsageError(`squawk gave no second opinion: ${why.replaceAll(/\s+/g, " ").trim().slice(0, 300)}`, {
    hint: "npm install --include=optional brings its binary",
  });
}

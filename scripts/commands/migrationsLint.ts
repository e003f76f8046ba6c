/** `migrations:lint`: migration files, judged without a database. */
import { type Command, Option } from "commander";
import { exitCode } from "../contract/failure";
import { type Lint, lintMigrations } from "../migrations/lint";
import { githubAnnotation, sarifOf } from "../report/lintFormats";
import { renderJudgement } from "../report/migrations";
import { readOperationSettings } from "../settings";
import { printResult } from "./session";

interface Options {
  readonly since?: string;
  readonly settings?: string;
  readonly json?: boolean;
  readonly sarif?: boolean;
  readonly github?: boolean;
}

/** What the Supabase CLI makes. */
const noSettings = { path: "supabase/migrations", tool: "supabase" } as const;

export function configure(command: Command): void {
  command
    .argument("[paths...]", "files and folders; default: migrations.path, else supabase/migrations")
    .option("--since <ref>", "only files that are new or other than in this git commit, as one set; default: all files")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .addOption(
      new Option("--json", "one JSON document on stdout: verdict, files, findings").conflicts(["sarif", "github"]),
    )
    .addOption(new Option("--sarif", "one SARIF 2.1.0 document on stdout").conflicts("github"))
    .option("--github", "annotations of GitHub Actions on stdout")
    .action(async (given: string[], options: Options) => {
      const { path: folder, tool } = readOperationSettings(options.settings).migrations ?? noSettings;
      const { since } = options;
      const lint = await lintMigrations({
        paths: given.length === 0 ? [folder] : given,
        tool,
        ...(since === undefined ? {} : { since }),
      });
      const structured = options.json === true || options.sarif === true;
      printResult(structured, options.sarif === true ? sarifOf(lint.findings) : lint, textOf(lint, options));
      process.exitCode = lint.verdict === "pass" ? exitCode.pass : exitCode.refused;
    });
}

function textOf(lint: Lint, { github }: Options): string {
  const text = renderJudgement(lint, lint.files.length);
  return github === true ? [...lint.findings.map(githubAnnotation), text.split("\n").at(-1)].join("\n") : text;
}

/** Runs cfn-lint, which knows offline what AWS takes, over CloudFormation documents. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { findCfnLint } from "../../bin/setup/cfnLint.js";
import type { CloudFormationDocument } from "./cloudFormation";

/** One process for all: loading it takes longer than judging. Its own exit code only repeats what it prints. */
const program = "from cfnlint.runner import main; main()";

/** @returns what is wrong with each resource, by logical name: `E3030 Properties/X: …`; those that are right are left out. */
export async function cfnLint(document: CloudFormationDocument): Promise<Record<string, string[]>> {
  const packages = findCfnLint();
  if (packages === undefined) throw new Error("no cfn-lint on this machine; run: npm run setup -- --for test");
  const folder = mkdtempSync(path.join(tmpdir(), "dbprotect-cfn-"));
  try {
    const file = path.join(folder, "document.json");
    writeFileSync(file, JSON.stringify(document));
    const output = await new Promise<string>((resolve, reject) => {
      const env = { ...process.env, PYTHONPATH: packages };
      const options = { env, cwd: folder, maxBuffer: 64 * 1024 * 1024 };
      const args = ["-c", program, "--regions", "eu-central-1", "--format", "json", file];
      execFile("python3", args, options, (error, stdout, stderr) => {
        if (stdout.trimStart().startsWith("[")) resolve(stdout);
        else reject(new Error(`cfn-lint: ${stderr.slice(-2000)}`, { cause: error }));
      });
    });
    const found: Record<string, string[]> = {};
    for (const { Rule, Message, Location } of JSON.parse(output)) {
      const [, resource = "", ...place] = (Location.Path ?? []) as string[];
      (found[resource] ??= []).push(`${Rule.Id} ${place.join("/")}: ${Message}`);
    }
    return found;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Which data checks run: the strategy's own set, and the `.sql` files of the project's folder. */
import { readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { UsageError, codeOf, messageOf } from "../../contract/failure";
import { type DataCheck, parseDataCheck } from "./parseDataCheck";

/** The default of the setting `checks`: the one folder that need not be there. */
const defaultFolder = "checks";

const strategyFolder = join(__dirname, "strategy");

/**
 * The strategy's checks, then the project's, each in the order of file names. A check of the project takes
 * the place of the strategy's with the same name.
 *
 * @param folder the setting `checks`, relative to `root`.
 * @throws UsageError when a configured folder is missing, or a file is not a data check.
 */
export async function loadDataChecks(folder: string, root: string): Promise<DataCheck[]> {
  const strategy = await loadFolder(strategyFolder, "strategy");
  const own = await loadFolder(resolve(root, folder), folder);
  const names = new Map<string, DataCheck>();
  for (const check of own) {
    const namesake = names.get(check.name);
    if (namesake !== undefined) {
      throw new UsageError(
        `${check.file}: name: found ${check.name}, the name of ${namesake.file}: expected a name of its own`,
      );
    }
    names.set(check.name, check);
  }
  return [...strategy.filter(({ name }) => !names.has(name)), ...own];
}

async function loadFolder(path: string, shownAs: string): Promise<DataCheck[]> {
  const checks: DataCheck[] = [];
  for (const file of sqlFiles(path, shownAs)) {
    checks.push(await parseDataCheck(readFileSync(join(path, file), "utf8"), `${shownAs}/${file}`));
  }
  return checks;
}

function sqlFiles(path: string, shownAs: string): string[] {
  try {
    return readdirSync(path)
      .filter((file) => file.endsWith(".sql"))
      .sort();
  } catch (error) {
    if (codeOf(error) === "ENOENT" && shownAs === defaultFolder) return [];
    const found = codeOf(error) === "ENOENT" ? "no such folder" : messageOf(error);
    throw new UsageError(`checks: found ${shownAs}: ${found}: expected a folder of .sql files at ${path}`, {
      hint: `create it, or set checks to none (leaves out the strategy's checks too)`,
    });
  }
}

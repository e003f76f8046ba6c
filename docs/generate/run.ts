/** `npm run docs:generate`: writes the generated parts and the charts of docs/ anew, and says which files changed. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generatedPages, projectFolder } from "./pages";

async function generate(): Promise<void> {
  for (const [file, text] of await generatedPages()) {
    const path = join(projectFolder, "docs", file);
    if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
    writeFileSync(path, text);
    process.stdout.write(`docs/${file}\n`);
  }
}

void generate();

/** `npm run docs:generate`: writes the generated parts of docs/ anew, and says which pages changed. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generatedPages, projectFolder } from "./pages";

async function generate(): Promise<void> {
  for (const [file, text] of await generatedPages()) {
    const path = join(projectFolder, "docs", file);
    if (readFileSync(path, "utf8") === text) continue;
    writeFileSync(path, text);
    process.stdout.write(`docs/${file}\n`);
  }
}

void generate();

/** Writes docs/resources.md anew: `npx tsx tests/components/writeResourcesPage.ts`. */
import { writeFileSync } from "node:fs";
import * as path from "node:path";
import { format } from "prettier";
import { record } from "./record";
import { renderResourcesPage } from "./resourcesPage";

export const resourcesPage = path.resolve(__dirname, "../../docs/resources.md");

/** As it has to be now, formatted like every other page. */
export async function currentResourcesPage(): Promise<string> {
  const { registered, errors } = await record("production");
  if (errors.length > 0) throw new Error(errors.join("; "));
  return format(renderResourcesPage(registered), { parser: "markdown", printWidth: 120 });
}

if (require.main === module) void currentResourcesPage().then((page) => writeFileSync(resourcesPage, page));

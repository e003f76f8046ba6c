/** Every page with generated parts, and every chart, as it should be. */
import { readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { format, resolveConfig } from "prettier";
import { commandOverview, declaredCommands, optionTable } from "./commands";
import { directDependencies, licenceTable } from "./dependencies";
import { declaredErrors, errorTable } from "./errors";
import { growthCharts, growthParts } from "./growth";
import { drawImports, importGraph, lintedLayers } from "./imports";
import { runbookParts } from "./runbook";
import { sideBySideCharts, sideBySideParts } from "./sideBySide";
import { fillRegions, regionNames } from "./regions";
import { declaredSettings, settingsTable } from "./settings";

export const projectFolder = resolve(__dirname, "../..");

/** What is generated, by the name of its part; `settings of a, b` is one table of two groups. */
interface Declared {
  readonly names: readonly string[];
  readonly contentOf: (name: string) => string;
}

function declared(): Declared {
  const commands = declaredCommands();
  const settings = declaredSettings();
  const errors = declaredErrors(projectFolder);
  const singles = new Map<string, () => string>([
    ["commands", () => commandOverview(commands)],
    ["imports", () => drawImports(importGraph(projectFolder), lintedLayers(projectFolder))],
    ...runbookParts(commands),
    ...growthParts(),
    ...sideBySideParts(),
    ["dependencies", directDependencies],
    ["licences", licenceTable],
    ...[...new Set(errors.map(({ exitCode }) => exitCode))].map(
      (code) => [`errors ${code}`, () => errorTable(errors.filter(({ exitCode }) => exitCode === code))] as const,
    ),
    ...[...commands].map(([name, command]) => [`options of ${name}`, () => optionTable(command)] as const),
  ]);
  return {
    names: [...singles.keys(), ...[...settings.keys()].map((key) => `settings of ${key}`)],
    contentOf: (name) => singles.get(name)?.() ?? settingsTable(keysOf(name).flatMap((key) => settings.get(key) ?? [])),
  };
}

function keysOf(name: string): string[] {
  return name.replace(/^settings of /, "").split(", ");
}

/**
 * The pages of docs/ that have generated parts, and the charts that are generated whole, by file name, with what they should hold.
 *
 * @throws when a part stands nowhere, twice, or is not known.
 */
export async function generatedPages(): Promise<Map<string, string>> {
  const { names, contentOf } = declared();
  const folder = join(projectFolder, "docs");
  const pages = readdirSync(folder)
    .filter((file) => file.endsWith(".md"))
    .map((file) => [file, readFileSync(join(folder, file), "utf8")] as const)
    .filter(([, text]) => regionNames(text).length > 0);
  demandEachOnce(
    names,
    pages.flatMap(([, text]) => regionNames(text)).flatMap((name) => expanded(name)),
  );
  const style = await resolveConfig(join(folder, "reference.md"));
  const filled = pages.map(async ([file, text]) => {
    const page = await format(fillRegions(text, contentOf), { ...style, parser: "markdown" });
    return [file, page] as const;
  });
  return new Map([...(await Promise.all(filled)), ...growthCharts(), ...sideBySideCharts()]);
}

function expanded(name: string): string[] {
  return name.startsWith("settings of ") ? keysOf(name).map((key) => `settings of ${key}`) : [name];
}

function demandEachOnce(declared: readonly string[], placed: readonly string[]): void {
  const wrong = [
    ...declared.filter((name) => !placed.includes(name)).map((name) => `no page has "${name}"`),
    ...placed.filter((name) => !declared.includes(name)).map((name) => `nothing is declared of "${name}"`),
    ...placed.filter((name, place) => placed.indexOf(name) !== place).map((name) => `"${name}" stands twice`),
  ];
  if (wrong.length > 0) throw new Error(wrong.join("; "));
}

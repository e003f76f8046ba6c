/** The picture of docs/architecture.md: which folder imports which, drawn from the imports in the sources. */
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";

/** Folders whose imports are drawn; those of scripts/ one by one. */
const tops = ["components", "policy", "scripts"];

/** From each folder to those that it imports from. */
export type ImportGraph = ReadonlyMap<string, ReadonlySet<string>>;

/** @param project its folder. Files beside the folders of scripts/ (settings, thresholds) are left out: everybody reads them. */
export function importGraph(project: string): ImportGraph {
  const graph = new Map<string, Set<string>>();
  for (const top of tops) {
    for (const file of readdirSync(join(project, top), { recursive: true, encoding: "utf8" })) {
      const path = join(project, top, file);
      const from = folderOf(relative(project, path));
      if (!/\.[jt]s$/.test(file) || from === undefined) continue;
      const targets = graph.get(from) ?? new Set();
      graph.set(from, targets);
      for (const module of importsOf(readFileSync(path, "utf8"))) {
        const to = folderOf(relative(project, resolve(dirname(path), module)));
        if (to !== undefined && to !== from) targets.add(to);
      }
    }
  }
  return graph;
}

/** What is loaded at run time: imports of types alone do not count. */
function importsOf(source: string): string[] {
  const statements = source.matchAll(
    /(import type [^;]*?|import [^;]*?|export [^;]*?)from "(\.\.?\/[^"]+)"|require\("(\.[^"]+)"\)/g,
  );
  return [...statements].flatMap(([, how = "", from, required]) => {
    const module = from ?? required;
    return module === undefined || how.startsWith("import type") ? [] : [module];
  });
}

/** The folders of scripts/, highest first, as lint holds them. */
export function lintedLayers(project: string): string[][] {
  const config = readFileSync(join(project, "eslint.config.mjs"), "utf8");
  const [, block = ""] = /const layers = \[\n([^;]*)\];/.exec(config) ?? [];
  return [...block.matchAll(/\[(.*)\]/g)].map(([, layer = ""]) => layer.replaceAll('"', "").split(", "));
}

/** `scripts/store/layout.ts` is in `store`, `components/settings.ts` in `components`. */
function folderOf(path: string): string | undefined {
  const [top = "", next, ...rest] = path.split(sep);
  if (top === "scripts") return rest.length === 0 ? undefined : next;
  return tops.includes(top) ? top : undefined;
}

/**
 * Mermaid: one box a layer, one arrow where a folder imports another and no way through others leads there too.
 *
 * @param layers folders of scripts/, highest first.
 */
export function drawImports(graph: ImportGraph, layers: readonly (readonly string[])[]): string {
  const boxes = [tops.filter((top) => top !== "scripts"), ...layers].flatMap((layer, place) => [
    `  subgraph layer${place} [" "]`,
    "    direction LR",
    ...layer.map((folder) => `    ${folder}`),
    "  end",
  ]);
  const arrows = [...graph].flatMap(([from, targets]) =>
    [...targets]
      .filter((to) => ![...targets].some((between) => between !== to && reaches(graph, between, to, new Set([from]))))
      .sort()
      .map((to) => `  ${from} --> ${to}`),
  );
  return ["```mermaid", "flowchart TB", ...boxes, ...arrows.sort(), "```"].join("\n");
}

function reaches(graph: ImportGraph, from: string, to: string, seen: Set<string>): boolean {
  if (from === to) return true;
  if (seen.has(from)) return false;
  seen.add(from);
  return [...(graph.get(from) ?? [])].some((next) => reaches(graph, next, to, seen));
}

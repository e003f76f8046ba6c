/** What is printed of a bug of ours: its stack in terms of the sources, also when it happened in their bundle. */
import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { dirname, resolve } from "node:path";

/** `/…/cli.js:120:15` of bin/programBundle.js, which writes the map beside it. */
const placeInBundle = /(\/[^\s()]+\/cli\.js):(\d+):(\d+)/g;

/** The error's stack, each place translated by the source map beside its file where there is one. */
export function sourceStack(error: Error): string {
  const maps = new Map<string, SourceMap | undefined>();
  return (error.stack ?? error.message).replace(placeInBundle, (place, file: string, line: string, column: string) => {
    if (!maps.has(file)) maps.set(file, readMap(file));
    // A map counts lines and columns from 0, a stack from 1.
    const entry = maps.get(file)?.findEntry(Number(line) - 1, Number(column) - 1);
    if (entry === undefined || !("originalSource" in entry)) return place;
    const source = resolve(dirname(file), entry.originalSource);
    return `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
  });
}

function readMap(file: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${file}.map`, "utf8")) as ConstructorParameters<typeof SourceMap>[0]);
  } catch {
    return undefined; // the sources themselves, or a bundle of older ones that is gone
  }
}

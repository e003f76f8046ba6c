/**
 * Labelled SQL, each file a set of its own: `.sql` files of a folder, and the cases inside Rust tests (`let sql = …`), which is
 * how squawk keeps its own. A class for each is the first folder of its path, or what a table of labels says.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join, matchesGlob } from "node:path";

/** `other`: outside of the classes, or nothing that a migration tool could run; not counted. */
export const classes = ["destroys", "breaks", "weakens", "blocks", "additive", "other"] as const;

export type Class = (typeof classes)[number];

export interface Fixture {
  /** Its path below the folder, without the ending; for a case of a Rust file the file and the test. */
  readonly name: string;
  readonly sql: string;
  readonly class: Class;
}

/**
 * @param labels path of a table of labels: `<class> <pattern>` a line, the first that fits counts, `*` stands for any
 *   characters of a name's part (alone: for every name), `#` begins a remark.
 * @throws Error for a fixture without a class, and a line or folder that names none.
 */
export function readFixtures(folder: string, labels?: string): Fixture[] {
  const table = labels === undefined ? undefined : parseLabels(readFileSync(labels, "utf8"));
  const found = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .sort()
    .flatMap((path) => {
      if (path.endsWith(".sql")) return [{ name: path.slice(0, -4), sql: readFileSync(join(folder, path), "utf8") }];
      if (path.endsWith(".rs")) return casesOf(path.slice(0, -3), readFileSync(join(folder, path), "utf8"));
      return [];
    });
  return found.map(({ name, sql }) => {
    const label = table === undefined ? name.split(/[/\\]/)[0] : table.find(({ fits }) => fits(name))?.label;
    return { name, sql, class: classOf(label, name) };
  });
}

function casesOf(file: string, source: string): { name: string; sql: string }[] {
  return source
    .split("#[test]")
    .slice(1)
    .flatMap((test) => {
      const name = /fn (\w+)\(/.exec(test)?.[1];
      const written = /let sql = (?:r#"(.*?)"#|r?"([^"\\]*)");/s.exec(test);
      const sql = written?.[1] ?? written?.[2];
      return name === undefined || sql === undefined ? [] : [{ name: `${file}/${name}`, sql }];
    });
}

interface Label {
  readonly label: string;
  readonly fits: (name: string) => boolean;
}

function parseLabels(text: string): Label[] {
  const lines = text.split("\n").map((line) => line.replace(/#.*/, "").trim());
  return lines
    .filter((line) => line !== "")
    .map((line) => {
      const [label = "", pattern = ""] = line.split(/\s+/);
      return { label: classOf(label, line), fits: (name) => pattern === "*" || matchesGlob(name, pattern) };
    });
}

function classOf(label: string | undefined, of: string): Class {
  const found = classes.find((name) => name === label);
  if (found === undefined)
    throw new Error(`${of}: found the class ${label ?? "(none)"}: expected ${classes.join(", ")}`);
  return found;
}

/** The two facts of `Pulumi.yaml` that an engine must know. */
import { readFileSync } from "node:fs";
import * as path from "node:path";

export interface Project {
  readonly name: string;
  /** The program's file, relative to the project's folder. */
  readonly main: string;
  /** The whole file. */
  readonly text: string;
}

/** @throws Error when the folder holds no project. */
export function readProject(projectDir: string): Project {
  const text = readFileSync(path.join(projectDir, "Pulumi.yaml"), "utf8");
  const valueOf = (key: string): string => {
    const value = new RegExp(`^${key}:\\s*(\\S+)\\s*$`, "m").exec(text)?.[1];
    if (value === undefined) throw new Error(`${path.join(projectDir, "Pulumi.yaml")}: ${key} is missing`);
    return value;
  };
  return { name: valueOf("name"), main: valueOf("main"), text };
}

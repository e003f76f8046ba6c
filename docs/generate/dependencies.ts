/** The table of direct dependencies and the count of licences, from package.json and package-lock.json. */
import { dependencies, devDependencies } from "../../package.json";
import { packages } from "../../package-lock.json";
import { code, markdownTable } from "./markdown";

export interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  /** Where it was fetched from; the lock file of this project names no host. */
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly dev?: boolean;
}

/** Every package that npm installs, by its folder: `node_modules/pg`. */
export const lockedPackages: ReadonlyMap<string, LockedPackage> = new Map(
  Object.entries(packages as Readonly<Record<string, LockedPackage>>).filter(([folder]) => folder !== ""),
);

export function directDependencies(): string {
  const rows = (names: object, use: string): string[][] =>
    Object.entries(names as Readonly<Record<string, string>>).map(([name, version]) => [
      ...[code(name), version, lockedPackages.get(`node_modules/${name}`)?.license ?? "", use],
    ]);
  return markdownTable(
    ["package", "version", "licence", "used by"],
    [...rows(dependencies, "the program"), ...rows(devDependencies, "development and tests")],
  );
}

/** Of all packages, direct or not: how many are under which licence. */
export function licenceTable(): string {
  const counts = new Map<string, [ofProgram: number, ofDevelopment: number]>();
  for (const { license = "none named", dev = false } of lockedPackages.values()) {
    const [program, development] = counts.get(license) ?? [0, 0];
    counts.set(license, dev ? [program, development + 1] : [program + 1, development]);
  }
  const rows = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  return markdownTable(
    ["licence", "packages of the program", "only for development"],
    rows.map(([licence, numbers]) => [licence, ...numbers.map(String)]),
  );
}

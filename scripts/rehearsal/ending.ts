/** How a `pulumi up` ended, in the few words that a scene expects. */
import type { UpResult } from "./engine/engine";

/** What halts or fails, by the words in which the program says it. The first that matches is the reason. */
const reasons: readonly (readonly [reason: string, pattern: RegExp])[] = [
  ["damaged backup (exit 4)", /exit status 4\b|ended with 4\b/],
  ["freeze", /releases are frozen since/],
  ["migrations", /\bmigrations: /],
  ["trial", /\btrial: /],
  ["data checks", /\bdata-checks: /],
  ["environment", /\benvironment: |changed since|critical variable/],
  ["rows lost", /row\(s\) of the snapshot are missing/],
  ["health", /\/api\/health: HTTP \d+/],
];

/** `released`, `preview halts: migrations`, `gate halts: damaged backup (exit 4)`, `railway fails: rows lost`. */
export function endingOf(result: UpResult): string {
  if (result.ok) return "released";
  // The first line of a failed Command says how it ended.
  const text = `${result.errors[0]?.split("\n")[0] ?? ""}\n${reasonGiven(result)}`;
  const reason = reasons.find(([, pattern]) => pattern.test(text))?.[0] ?? "another reason";
  if (result.phase === "preview") return `preview halts: ${reason}`;
  const failed =
    result.resources
      .find(({ op }) => op === "failed")
      ?.urn.split("::")
      .at(-1) ?? "an unknown resource";
  return failed === gateResource ? `gate halts: ${reason}` : `${failed.replace(/^release-/, "")} fails: ${reason}`;
}

/** The one line that tells the user why. */
export function reasonGiven(result: UpResult): string {
  const lines = result.errors.flatMap((error) => error.split("\n")).map((line) => line.trim());
  const telling =
    lines.find((line) => /^(HALT|error): |halts: /.test(line)) ?? lines.find((line) => line !== "") ?? "none";
  return telling.replace(/^(HALT|error): /, "");
}

/** The name of the gate's Command in `index.ts`. */
const gateResource = "database-gate-run";

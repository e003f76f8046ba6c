/** The program that is measured, as a shell calls it. */
import { execSync } from "node:child_process";
import { resolve } from "node:path";

/** As Pulumi's Commands, and the npm scripts of what streams much, call it. */
export const bin = `node --max-semi-space-size=2 ${resolve(__dirname, "../bin/dbprotect.js")}`;

/** Its sources are bundled at the first start, which no user waits for twice: not measured. */
export function startOnce(): void {
  execSync(`${bin} --version`);
}

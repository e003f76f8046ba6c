/** Runs sections of docs/restore-by-hand.md as a person would: in bash, with nothing of this project. */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { delimiter, resolve } from "node:path";

const page = readFileSync(resolve(__dirname, "../../docs/restore-by-hand.md"), "utf8");

/** The block of each section that has one, by its heading. */
const blocks = new Map(
  page.split(/^## /m).flatMap((section): [string, string][] => {
    const block = /^```sh\n([^]*?)^```/m.exec(section)?.[1];
    return block === undefined ? [] : [[section.slice(0, section.indexOf("\n")), block]];
  }),
);

/** Runs the blocks of these sections, in this order, in one bash, in the backup's folder. */
export function runByHand(
  sections: readonly RegExp[],
  folder: string,
  url: string,
  binDir: string,
  env: Record<string, string> = {},
): SpawnSyncReturns<string> {
  const chosen = sections.flatMap((wanted) => [...blocks].filter(([heading]) => wanted.test(heading)));
  assert.equal(chosen.length, sections.length, `sections of the page: ${[...blocks.keys()].join(", ")}`);
  const { hostname, port, username, password } = new URL(url);
  return spawnSync("bash", ["-c", chosen.map(([, block]) => block).join("\n")], {
    cwd: folder,
    encoding: "utf8",
    env: {
      PATH: [binDir, process.env["PATH"]].join(delimiter),
      ...{ PGHOST: hostname, PGPORT: port, PGUSER: username, PGPASSWORD: password, HOME: folder },
      ...env,
    },
  });
}

/** The sections of a whole restore. */
export const wholeRestore = [/^1\./, /^2\./, /^3\./, /^4\./, /^5\./, /^6\./, /^7\./];

/** The scene that loses one of two locations: everything in the first folder is gone, and the second gives all of it back. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Scene } from "./scenes";
import type { CliResult, SceneEvidence, Stage } from "./stage";
import { withClient } from "./withClient";

/** Made from the second location; dropped at the scene's end. */
const restoredDatabase = "crm_from_second_location";

export const lostLocation: Scene = {
  name: "A location is lost",
  does: "The backups are in two locations; the first one is deleted with all that is in it. A drill, a restore, and the first location filled again.",
  expected: "drill: first location fails, second passes; restored from the second; first location filled again",
  async act(stage) {
    const { storeFolder, folder, environment } = stage.world;
    const first = environment["BACKUP_STORE"] ?? "";
    const second = pathToFileURL(join(folder, "second-location")).href;
    const both = { BACKUP_STORE: `${first} ${second}` };
    const backups = await stage.dbprotect(["store:sync", first, second, "--yes"]);
    const newest = await stage.dbprotect(["db:backup"], both);
    const live = await readContents(stage.world.database.url);
    rmSync(storeFolder, { recursive: true });

    const drill = await stage.dbprotect(["db:drill"], both);
    const drilled = [verdictOf(drill, first), verdictOf(drill, second)];
    const words = ["db:restore", "latest", "--database", restoredDatabase, "--yes"];
    const restored = await stage.dbprotect(words, { BACKUP_STORE: second });
    const equality = await equalToLive(stage, live);
    const filled = await stage.dbprotect(["store:sync", second, first, "--yes"]);
    const compared = await stage.dbprotect(["store:compare", first, second]);
    const same = filled.exitCode === 0 && compared.exitCode === 0;
    return {
      actual: [
        `drill: first location ${drilled[0] === "failed" ? "fails" : "does not fail"}, second ${drilled[1] === "passed" ? "passes" : "does not pass"}`,
        restored.exitCode === 0 ? "restored from the second" : `not restored: ${lastLine(restored)}`,
        same ? "first location filled again" : `not filled again: ${lastLine(compared)}`,
      ].join("; "),
      evidence: [
        wholeOnes("both locations hold every whole backup before", backups),
        ended("the newest backup is written to both in one pass", newest),
        {
          claim: "the drill says that a location is lost",
          found: `exit ${drill.exitCode}`,
          holds: drill.exitCode !== 0,
        },
        equality,
        ended("both locations hold the same again, every byte read", compared),
      ],
    };
  },
};

/** `passed` or `failed`, as the drill printed it beside that location. */
function verdictOf({ output }: CliResult, store: string): string | undefined {
  const line = output.split("\n").find((text) => text.startsWith(store));
  return /\b(passed|failed)\b/i.exec(line ?? "")?.[1]?.toLowerCase();
}

async function equalToLive(stage: Stage, live: ReadonlyMap<string, string>): Promise<SceneEvidence> {
  const url = new URL(stage.world.database.url);
  url.pathname = `/${restoredDatabase}`;
  const restored = await readContents(url.href).catch(() => new Map<string, string>());
  await withClient(stage.world.database.url, (client) => client.query(`DROP DATABASE IF EXISTS ${restoredDatabase}`));
  const different = [...live].filter(([table, content]) => restored.get(table) !== content).map(([table]) => table);
  return {
    claim: `every row of ${live.size} tables, read directly, as it is in the live database`,
    found: different.length === 0 ? "the same" : `different: ${different.join(", ")}`,
    holds: different.length === 0 && live.size > 0,
  };
}

/** Of every table: rows, and a digest of their text in an order of its own. */
export function readContents(url: string): Promise<Map<string, string>> {
  return withClient(url, async (client) => {
    const { rows: tables } = await client.query<{ name: string }>(
      `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
       WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`,
    );
    const contents = new Map<string, string>();
    for (const { name } of tables) {
      const { rows } = await client.query<{ content: string }>(
        `SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) AS content FROM ${name} t`,
      );
      contents.set(name, rows[0]?.content ?? "");
    }
    return contents;
  });
}

function ended(claim: string, { exitCode, output }: CliResult): SceneEvidence {
  return { claim, found: lastLine({ exitCode, output }), holds: exitCode === 0 };
}

/** The backup that an earlier scene damaged is not copied: the program says so, and copies the others. */
function wholeOnes(claim: string, result: CliResult): SceneEvidence {
  const named = result.exitCode === 4 && /does not have its checksum: not copied/.test(result.output);
  return { claim, found: lastLine(result), holds: result.exitCode === 0 || named };
}

function lastLine({ exitCode, output }: CliResult): string {
  return `exit ${exitCode}: ${output.trim().split("\n").at(-1) ?? ""}`;
}

/** The scene of an emergency: two tables are emptied while people go on working, and one command brings all of it back. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startTraffic } from "./crm/traffic";
import { readContents } from "./locationScene";
import type { Scene } from "./scenes";
import type { CliResult, SceneEvidence, Stage } from "./stage";
import { withClient } from "./withClient";

const emptied = ["public.chat_messages", "public.tasks"];

/** What a machine decides by: whatever is recommended. */
const plan = { person: "Rehearsal", reason: "Messages and tasks are gone." };

export const emergency: Scene = {
  name: "Two tables are emptied by hand",
  does: "Somebody truncates messages and tasks in the wrong terminal while people go on working. One command assesses, stores what is left, takes the way back that it recommends, verifies, tests, and lets releases go on.",
  expected:
    "recommended: db:repair; damaged state stored; rows put back; verified; tested; releases go on; incident closed",
  async act(stage) {
    const { database, host, folder } = stage.world;
    const file = join(folder, "emergency-plan.json");
    writeFileSync(file, JSON.stringify(plan));
    const before = await readContents(database.url);
    const clients = await clientsOf(stage);
    const traffic = startTraffic(host.url);
    await withClient(database.url, (client) => client.query(`TRUNCATE ${emptied.join(", ")}`));
    const run = await stage.dbprotect(["emergency", "--plan", file, "--yes"]).finally(() => traffic.end());
    const added = await traffic.end();
    const more = (await clientsOf(stage)) - clients;
    const after = await readContents(database.url);
    const different = emptied.filter((table) => before.get(table) !== after.get(table));
    const incident = /; incident (\S+)$/m.exec(run.output)?.[1] ?? "none";
    const words = ["--id", incident, "--person", plan.person, "--reason", "All rows are back."];
    const prevention = ["--prevention", "TRUNCATE is taken from people's roles"];
    const closed = await stage.dbprotect(["incident", "close", ...words, ...prevention]);
    return {
      actual: [
        `recommended: ${/^RECOMMENDED: npm run (\S+)/m.exec(run.output)?.[1] ?? "nothing"}`,
        ended(run, "db:backup") ? "damaged state stored" : "damaged state not stored",
        different.length === 0 ? "rows put back" : `rows differ in ${different.join(", ")}`,
        ended(run, "db:emergency-verify") ? "verified" : "not verified",
        ended(run, "test:emergency") ? "tested" : "not tested",
        ended(run, "deploy:unfreeze") && run.exitCode === 0 ? "releases go on" : `frozen: ${lastLine(run)}`,
        closed.exitCode === 0 ? "incident closed" : `incident open: ${lastLine(closed)}`,
      ].join("; "),
      evidence: [
        {
          claim: `every row of ${emptied.join(" and ")}, read directly, as it was`,
          found: emptied.map((table) => `${after.get(table)?.split(" ")[0] ?? "no"} rows`).join(", "),
          holds: different.length === 0 && emptied.every((table) => !(before.get(table) ?? "0 ").startsWith("0 ")),
        },
        {
          claim: "clients that people added meanwhile are all there",
          found: `${added} added, ${more} more rows`,
          holds: added > 0 && added === more,
        },
        lineOf("why that way back", run, /^ +because rows are damaged in .*public\.chat_messages/),
        damagedState(stage, run),
        lineOf("the strategy's 30 minutes", run, /^7 of 7: deploy:unfreeze: done in .* of the strategy's 30:00\)/),
        stage.secretsTold({}),
      ],
    };
  },
};

/** What was stored, by its manifest: both tables without a row. */
function damagedState(stage: Stage, run: CliResult): SceneEvidence {
  const name = /the damaged state is in (backup_\w+)/.exec(run.output)?.[1] ?? "none";
  const file = join(stage.world.storeFolder, "backups", "manual", name, "manifest.json");
  const tables = existsSync(file)
    ? (JSON.parse(readFileSync(file, "utf8")) as { tables: { schema: string; name: string; rows: number }[] }).tables
    : [];
  const stored = tables.filter(({ schema, name: table }) => emptied.includes(`${schema}.${table}`));
  return {
    claim: "the damaged state, stored before anything changed it",
    found: `${name}: ${stored.map(({ name: table, rows }) => `${table} ${rows} rows`).join(", ")}`,
    holds: stored.length === emptied.length && stored.every(({ rows }) => rows === 0),
  };
}

async function clientsOf(stage: Stage): Promise<number> {
  return withClient(stage.world.database.url, async (client) => {
    const { rows } = await client.query<{ count: string }>("SELECT count(*) FROM public.clients");
    return Number(rows[0]?.count);
  });
}

/** Whether the run says that it finished a step. */
function ended({ output }: CliResult, step: string): boolean {
  return output.split("\n").some((line) => line.includes(`of 7: ${step}: done in`));
}

function lineOf(claim: string, result: CliResult, said: RegExp): SceneEvidence {
  const line = result.output.split("\n").find((text) => said.test(text));
  return { claim, found: line?.trim() ?? lastLine(result), holds: line !== undefined };
}

function lastLine({ exitCode, output }: CliResult): string {
  return `exit ${exitCode}: ${output.trim().split("\n").at(-1) ?? ""}`;
}

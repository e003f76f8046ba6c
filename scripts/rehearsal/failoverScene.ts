/** The scene that moves the database to its live replica on another server, while people go on working, and takes it back down. */
import { type Cluster, startCluster } from "../scratch/cluster";
import { startTraffic } from "./crm/traffic";
import { readContents } from "./locationScene";
import type { Scene } from "./scenes";
import type { CliResult, SceneEvidence, Stage } from "./stage";
import { withClient } from "./withClient";

/** What an application of a later version brings: a column whose old rows have a value that only the source knows, and a table. */
const additions = `
  ALTER TABLE public.clients ADD COLUMN imported_at timestamptz DEFAULT now();
  CREATE TABLE public.client_calls (id int PRIMARY KEY, client_id bigint NOT NULL REFERENCES public.clients ON DELETE CASCADE);
  INSERT INTO public.client_calls SELECT row_number() OVER (ORDER BY id), id FROM public.clients LIMIT 100`;

const withdrawn = "DROP TABLE public.client_calls; ALTER TABLE public.clients DROP COLUMN imported_at";

export const failover: Scene = {
  name: "The database moves to its live replica",
  does: "A second server follows the database; a column and a table are carried over; then it takes over while people go on working.",
  expected:
    "replica follows; definitions carried over; failed over; every row is there; the former database takes no write",
  async act(stage) {
    const replica = await startCluster({
      ...{ listen: "loopback", lifetime: { kind: "parent" }, purpose: "test" },
      settings: { wal_level: "logical" },
    });
    try {
      return await moveTo(replica, stage);
    } finally {
      await tidyUp(stage);
      await replica.stop();
    }
  },
};

async function moveTo(replica: Cluster, stage: Stage): ReturnType<Scene["act"]> {
  const { database, host } = stage.world;
  await withClient(replica.url, (client) => client.query("CREATE DATABASE crm"));
  const url = new URL(replica.url);
  url.pathname = "/crm";
  const environment = { REPLICA_DATABASE_URL: url.href, DBPROTECT_SETTINGS: JSON.stringify({ replica: {} }) };
  const run = (...words: string[]): Promise<CliResult> => stage.dbprotect(words, environment);
  const setup = await run("replication:setup", "--yes");
  await withClient(database.url, (client) => client.query(additions));
  const sync = await run("replication:sync", "--yes");
  const before = await clientsOf(database.url);
  const traffic = startTraffic(host.url);
  const moved = await run("replication:failover", "--yes").finally(() => traffic.end());
  const added = await traffic.end();
  const [there, here] = [await readContents(url.href), await readContents(database.url)];
  // What is known of slots belongs to one side.
  here.delete("dbprotect_replica.slots");
  const different = [...here].filter(([table, content]) => there.get(table) !== content).map(([table]) => table);
  const more = (await clientsOf(url.href)) - before;
  const refused = await fetch(`${host.url}/api/crm/clients`, {
    method: "POST",
    body: JSON.stringify({ name: "Too late", email: "late@example.net" }),
  });
  return {
    actual: [
      outcome(setup, "replica follows"),
      outcome(sync, "definitions carried over"),
      outcome(moved, "failed over"),
      different.length === 0 ? "every row is there" : "rows differ",
      refused.status === 201 ? "the former database takes writes" : "the former database takes no write",
    ].join("; "),
    evidence: [
      {
        claim: `every row of ${here.size} tables, read directly, as it was in the former database`,
        found: different.length === 0 ? "the same" : `different: ${different.join(", ")}`,
        holds: different.length === 0 && here.size > 5,
      },
      {
        claim: "clients that people added meanwhile, as far as they were told so, are all there",
        found: `${added} added, ${more} more rows`,
        holds: added > 0 && more >= added,
      },
      ended("the new database's address is printed", moved, /connect to it: postgres:\/\//),
      stage.secretsTold({ "the replica's password": url.password }),
    ],
  };
}

/** The world as it was, for whatever comes next. */
async function tidyUp(stage: Stage): Promise<void> {
  await stage.dbprotect(["deploy:maintenance", "off", "--yes"]);
  const settings = {
    DBPROTECT_SETTINGS: JSON.stringify({ replica: {} }),
    REPLICA_DATABASE_URL: stage.world.database.url,
  };
  await stage.dbprotect(["replication:drop", "--side", "source", "--yes"], settings);
  await withClient(stage.world.database.url, (client) => client.query(withdrawn)).catch(() => undefined);
}

async function clientsOf(url: string): Promise<number> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ count: string }>("SELECT count(*) FROM public.clients");
    return Number(rows[0]?.count);
  });
}

const lastLine = ({ exitCode, output }: CliResult): string =>
  `exit ${exitCode}: ${output.trim().split("\n").at(-1) ?? ""}`;

function outcome(result: CliResult, words: string): string {
  return result.exitCode === 0 ? words : `not: ${words}: ${lastLine(result)}`;
}

function ended(claim: string, result: CliResult, said: RegExp): SceneEvidence {
  const line = result.output.split("\n").find((text) => said.test(text));
  return { claim, found: line ?? lastLine(result), holds: result.exitCode === 0 && line !== undefined };
}

/**
 * The seven scenes of every rehearsal: what is done to a protected deployment, how it must end, and the evidence that it did. Each leaves
 * the world so that the next one can begin.
 */
import { damageNextArchive } from "./damageArchive";
import { cleaningVersion } from "./crm/versions";
import { startTraffic } from "./crm/traffic";
import { endingOf } from "./ending";
import type { UpResult } from "./engine/engine";
import type { RehearsedStack, SceneEvidence, Stage } from "./stage";
import { versionsThatAnswer, whyHalted } from "./sceneEvidence";
import { withClient } from "./withClient";

export interface Scene {
  readonly name: string;
  /** What happens, in a sentence. */
  readonly does: string;
  /** How it must end: compared with `actual`, word by word. */
  readonly expected: string;
  act(stage: Stage): Promise<{ readonly actual: string; readonly evidence: readonly SceneEvidence[] }>;
}

const goodRelease: Scene = {
  name: "A good release",
  does: "Adds a column and a table while people go on working, then deploys version 1.5.0 to Railway and Vercel.",
  expected: "released, verified",
  async act(stage) {
    const before = await stage.before();
    stage.world.addMigration(
      "20260202101500_client_scores.sql",
      `ALTER TABLE public.clients ADD COLUMN lifecycle_score integer;
CREATE TABLE public.client_tags (
  client_id bigint NOT NULL REFERENCES public.clients ON DELETE CASCADE,
  tag text NOT NULL,
  PRIMARY KEY (client_id, tag)
);
ALTER TABLE public.client_tags ENABLE ROW LEVEL SECURITY;
`,
    );
    const traffic = startTraffic(stage.world.host.url);
    const result = await stage.up({ version: "1.5.0" }).finally(() => traffic.end());
    const added = await traffic.end();
    const state = await stage.state();
    const events = stage.releaseEvents();
    const answering = (await versionsThatAnswer(stage)).join(", ");
    const deploys = stage.world.log.deploysSince(before.requests);
    const clients =
      (state.tables.get("public.clients")?.rows ?? 0) - (before.state.tables.get("public.clients")?.rows ?? 0);
    return {
      actual: result.ok && events.at(-1) === "verified" ? "released, verified" : endingOf(result),
      evidence: [
        ...(result.ok ? [] : [whyHalted(result, "nothing")]),
        {
          claim: "requests for a deployment",
          found: deploys.map(({ platform }) => platform).join(", "),
          holds: deploys.map(({ platform }) => platform).join() === "railway,vercel",
        },
        {
          claim: "version that answers: API, frontend",
          found: answering,
          holds: answering === "1.5.0, 1.5.0",
        },
        {
          claim: "the migration is applied",
          found: state.tables.has("public.client_tags") ? "client_tags is there" : "client_tags is missing",
          holds: state.tables.has("public.client_tags"),
        },
        {
          claim: "clients that people added meanwhile are all there",
          found: `${added} added, ${clients} more rows`,
          holds: added > 0 && added === clients,
        },
        { claim: "what the store recorded", found: events.join(", "), holds: events.at(-1) === "verified" },
      ],
    };
  },
};

const destructiveMigration: Scene = {
  name: "A destructive migration",
  does: "A pending migration drops a column that holds data.",
  expected: "preview halts: migrations",
  async act(stage) {
    const before = await stage.before();
    const file = "20260203090000_drop_notes.sql";
    const withdraw = stage.world.addMigration(file, "ALTER TABLE public.clients DROP COLUMN notes;\n");
    const result = await stage.up({ version: "1.5.1" }).finally(withdraw);
    return {
      actual: endingOf(result),
      evidence: [whyHalted(result, file), ...(await stage.nothingReleasedSince(before))],
    };
  },
};

const changedVariable: Scene = {
  name: "A critical variable changed",
  does: "SUPABASE_SERVICE_ROLE_KEY at Railway is not the one that was accepted with the last release.",
  expected: "preview halts: environment",
  async act(stage) {
    const before = await stage.before();
    const name = "SUPABASE_SERVICE_ROLE_KEY";
    const value = "sb_secret_of-another-project";
    const undo = stage.world.changeVariable(name, value);
    const result = await stage.up({ version: "1.5.2" }).finally(undo);
    const told = [stage.printed(), ...result.errors].join("\n");
    return {
      actual: endingOf(result),
      evidence: [
        whyHalted(result, name),
        { claim: "its value was printed", found: told.includes(value) ? "yes" : "no", holds: !told.includes(value) },
        stage.secretsTold({ "the changed key": value }),
        ...(await stage.nothingReleasedSince(before)),
      ],
    };
  },
};

const damagedBackup: Scene = {
  name: "A damaged backup",
  does: "One bit of the new backup flips on disk after it was written and before the gate verifies it.",
  expected: "gate halts: damaged backup (exit 4)",
  async act(stage) {
    const before = await stage.before();
    const damage = await damageNextArchive(stage.world.storeFolder);
    const result = await stage.up({ version: "1.5.4" }).finally(() => damage.end());
    const archive = await damage.end();
    return {
      actual: endingOf(result),
      evidence: [
        { claim: "the damaged archive", found: archive ?? "none appeared", holds: archive !== undefined },
        whyHalted(result, "backup_"),
        ...(await stage.nothingReleasedSince(before)),
      ],
    };
  },
};

const failingCheck: Scene = {
  name: "A failing data check",
  does: "An import wrote a client without an e-mail address; no constraint forbids it, the strategy's check does.",
  expected: "preview halts: data checks",
  async act(stage) {
    const id = await withClient(stage.world.database.url, async (client) => {
      const { rows } = await client.query<{ id: string }>(
        `INSERT INTO clients (organisation_id, owner_id, name)
         SELECT organisation_id, id, 'Imported without an address' FROM users ORDER BY id LIMIT 1 RETURNING id`,
      );
      return rows[0]?.id;
    });
    const before = await stage.before();
    const result = await stage.up({ version: "1.5.5" });
    const evidence = [whyHalted(result, "client-"), ...(await stage.nothingReleasedSince(before))];
    await withClient(stage.world.database.url, (client) => client.query("DELETE FROM clients WHERE id = $1", [id]));
    return { actual: endingOf(result), evidence };
  },
};

const deletingRelease: Scene = {
  name: "A release that deletes rows",
  does: `Version ${cleaningVersion} cleans up when it starts: clients, and by cascade their tasks and messages.`,
  expected: "verification fails: rows lost; next preview halts: freeze; freeze lifted",
  async act(stage) {
    const kept = await readKeys(stage, ["clients", "tasks", "chat_messages"]);
    const result = await stage.up({ version: cleaningVersion });
    const named = await lossNamed(stage, kept, result);
    const next = await nextUpHalts(stage, cleaningVersion);
    const lifted = await liftFreeze(stage, "The rehearsal's rows need not come back.", ["--accept-missing"]);
    return {
      actual: `${endingOf(result)}; next ${next.ending}; freeze ${lifted.ending}`,
      evidence: [...named, ...next.evidence, ...lifted.evidence],
    };
  },
};

const failedDeployment: Scene = {
  name: "Rows lost before a failed deployment",
  does: "An overridden migration deletes messages; then Railway's build fails, so the release never gets to its verification. A second stack must not release either. The messages are put back.",
  expected: "railway fails: rows lost; second stack preview halts: freeze; rows put back; freeze lifted",
  async act(stage) {
    const file = "20260301090000_purge_messages.sql";
    const sql = "DELETE FROM public.chat_messages WHERE sent_at < '2024-02-03';\n";
    const kept = await readKeys(stage, ["chat_messages"]);
    const content = await readContent(stage, "chat_messages");
    const requests = stage.world.log.requests.length;
    const plan = {
      version: "1.7.0",
      overrides: [
        {
          what: `migrations:${file}:delete`,
          reason: "The rehearsal shows that a loss is found even where a person allowed the statement.",
          person: "Rehearsal",
          expires: new Date(Date.now() + 86_400_000).toISOString(),
        },
      ],
    };
    stage.world.addMigration(file, sql);
    stage.world.railway.failNextBuild();
    const result = await stage.up(plan);
    const named = await lossNamed(stage, kept, result);
    const deploys = stage.world.log.deploysSince(requests).map(({ platform }) => platform);
    const other = await nextUpHalts(stage, plan.version, "rehearsal-2");
    const repaired = await repairLoss(stage, "chat_messages", content);
    const lifted = await liftFreeze(stage, "The messages are back.");
    return {
      actual: `${endingOf(result)}; second stack ${other.ending}; rows ${repaired.ending}; freeze ${lifted.ending}`,
      evidence: [
        ...named,
        {
          claim: "requests for a deployment: Railway's failed, Vercel was never asked",
          found: deploys.join(", "),
          holds: deploys.join() === "railway",
        },
        ...other.evidence,
        ...repaired.evidence,
        ...lifted.evidence,
      ],
    };
  },
};

export const scenes: readonly Scene[] = [
  goodRelease,
  destructiveMigration,
  changedVariable,
  damagedBackup,
  failingCheck,
  deletingRelease,
  failedDeployment,
];

type Keys = ReadonlyMap<string, ReadonlySet<string>>;

/** The keys of the tables' rows, to tell later which are gone. */
function readKeys(stage: Stage, tables: readonly string[]): Promise<Keys> {
  return withClient(stage.world.database.url, async (client) => {
    const keys = new Map<string, Set<string>>();
    for (const table of tables) {
      const { rows } = await client.query<{ ids: string | null }>(
        `SELECT string_agg(id::text, ',') AS ids FROM ${table}`,
      );
      keys.set(table, new Set(rows[0]?.ids?.split(",")));
    }
    return keys;
  });
}

/** For each table that lost rows: whether the program's message says how many, and names one of them. */
async function lossNamed(stage: Stage, before: Keys, result: UpResult): Promise<SceneEvidence[]> {
  const after = await readKeys(stage, [...before.keys()]);
  const told = [...result.errors, stage.printed()].join("\n");
  return [...before].map(([table, keys]) => {
    const left = after.get(table);
    const lost = new Set([...keys].filter((key) => left?.has(key) !== true));
    const line = told.split("\n").find((text) => text.includes(`${table}: ${lost.size} row(s)`)) ?? "";
    const shown = [...line.matchAll(/"id" ?: ?"?(\d+)/g)].map(([, id]) => id ?? "");
    return {
      claim: `${table}: ${lost.size} rows are gone; the program says so and names them`,
      found: line === "" ? "not said" : `${line.trim().slice(0, 160)} …`,
      holds: lost.size > 0 && shown.length > 0 && shown.every((id) => lost.has(id)),
    };
  });
}

async function nextUpHalts(
  stage: Stage,
  version: string,
  stack?: RehearsedStack,
): Promise<{ ending: string; evidence: SceneEvidence[] }> {
  const before = await stage.before();
  const result = await stage.up({ version }, stack);
  const [noDeployment, nothingWritten] = await stage.nothingReleasedSince(before);
  return {
    ending: endingOf(result),
    evidence: [noDeployment, nothingWritten].flatMap((item) =>
      item === undefined
        ? []
        : [{ ...item, claim: `the next up${stack === undefined ? "" : ` (${stack})`}: ${item.claim}` }],
    ),
  };
}

/** How many rows the table has and a digest of what is in them, whatever their order, as one line. */
function readContent(stage: Stage, table: string): Promise<string> {
  return withClient(stage.world.database.url, async (client) => {
    const { rows } = await client.query<{ content: string }>(
      `SELECT count(*) || ' rows, content ' || sum(hashtextextended(t::text, 0)) AS content FROM ${table} t`,
    );
    return rows[0]?.content ?? "nothing";
  });
}

async function repairLoss(
  stage: Stage,
  table: string,
  before: string,
): Promise<{ ending: string; evidence: SceneEvidence[] }> {
  const { exitCode, output } = await stage.dbprotect(["db:repair", "--yes"]);
  const found = await readContent(stage, table);
  return {
    ending: exitCode === 0 ? "put back" : `not put back: ${output.split("\n").at(-1) ?? ""}`,
    evidence: [{ claim: `${table}: every row is back with its content: ${before}`, found, holds: found === before }],
  };
}

async function liftFreeze(
  stage: Stage,
  reason: string,
  options: readonly string[] = [],
): Promise<{ ending: string; evidence: SceneEvidence[] }> {
  const words = ["deploy:unfreeze", "--person", "Rehearsal", "--reason", reason, ...options, "--yes"];
  const { exitCode, output } = await stage.dbprotect(words);
  return {
    ending: exitCode === 0 ? "lifted" : `not lifted: ${output.split("\n").at(-1) ?? ""}`,
    evidence: [
      {
        claim: `lifting the freeze${options.map((option) => ` with ${option}`).join("")}, by a person with a reason`,
        found: `exit ${exitCode}`,
        holds: exitCode === 0,
      },
    ],
  };
}

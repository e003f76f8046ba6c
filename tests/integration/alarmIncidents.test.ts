/** Incidents that alarms open: critical twice, one for each signal while it is open, what recovers is noted. */
import assert from "node:assert/strict";
import { parseTarget } from "../../scripts/database/target";
import { openForAlarms } from "../../scripts/incident/alarmIncidents";
import { type Health, checkHealth } from "../../scripts/monitoring/health";
import { setFreeze } from "../../scripts/control/freeze";
import { listIncidents, readIncident, recordIncident } from "../../scripts/record/incident";
import { operationSettingsSchema } from "../../scripts/settings";
import { FileStore } from "../../scripts/store/fileStore";
import { openStore } from "../../scripts/store/openStore";
import { renderIncident } from "../../scripts/report/incident";
import type { ThresholdChanges } from "../../scripts/thresholds";
import { runCli } from "../servers/cli";
import { freshStore } from "../servers/crm";
import { sharedCluster } from "../servers/postgres";
import { temporaryFolder } from "../servers/stores";

const ids = { database: null, release: null, backup: null, deployments: { railway: null, vercel: null } };
/** More than no connection: critical, whatever goes on. */
const critical: ThresholdChanges = { connections: { critical: 0 } };
const fine: ThresholdChanges = {};

describe("an alarm", function () {
  this.timeout(60_000);
  let store: FileStore;
  let lines: string[];
  beforeEach(() => {
    store = new FileStore(temporaryFolder());
    lines = [];
  });

  const read = async (thresholds: ThresholdChanges, address?: string): Promise<Health> =>
    checkHealth({
      target: parseTarget(address ?? (await sharedCluster()).url, "DATABASE_URL"),
      ...{ store: undefined, thresholds, rtoMinutes: 5, window: undefined, env: {} },
    });
  /** @param later the thresholds of the second reading. */
  const sound = async (now: ThresholdChanges, later = now, address?: string): Promise<string[]> =>
    openForAlarms({
      ...{ health: await read(now, address), confirmSeconds: 0, readAgain: () => read(later, address) },
      ...{ readIds: async () => ids, signal: new AbortController().signal },
      channels: {
        ...{ store, communication: operationSettingsSchema.parse({}).communication, env: {} },
        onProgress: (line) => lines.push(line),
      },
    });
  const course = async (id: string): Promise<string[]> =>
    (await readIncident(store, id)).events.flatMap((event) => (event.event === "alarm" ? [event.state] : []));

  it("that stays opens one incident; that it recovered and came back is in it, and a person closes it", async () => {
    assert.deepEqual(await sound(critical), ["alarm-connections"]);
    assert.deepEqual(await sound(critical), []);
    assert.deepEqual(await course("alarm-connections"), ["critical"]);
    await sound(fine);
    await sound(fine);
    assert.deepEqual(await course("alarm-connections"), ["critical", "recovered"]);
    await sound(critical);
    assert.deepEqual(await course("alarm-connections"), ["critical", "recovered", "critical"]);
    assert.deepEqual(await listIncidents(store, "open"), ["alarm-connections"]);
    const shown = renderIncident(await readIncident(store, "alarm-connections"));
    assert.match(
      shown,
      /^OPEN: alarm: Connections in use: \d.* % \(critical: 0 %\)[^]*by an alarm[^]*alarm: recovered: /,
    );
    await recordIncident(store, "alarm-connections", {
      ...{ event: "closed", person: "Ada", reason: "a pooler", prevention: ["pooling"], noPrevention: null, ids },
    });
    assert.deepEqual(await sound(critical), ["alarm-connections-2"]);
    assert.deepEqual(lines, []);
  });

  it("of one reading opens nothing", async () => {
    assert.deepEqual(await sound(critical, fine), []);
    assert.deepEqual(await listIncidents(store, "all"), []);
  });

  it("that the database does not answer opens one, and what could not be read is no recovery", async () => {
    await sound(critical);
    const down = "postgres://u:s3cr3t-password@127.0.0.1:1/db";
    assert.deepEqual(await sound(fine, fine, down), ["alarm-up"]);
    assert.deepEqual(await course("alarm-connections"), ["critical"]);
    const [opening] = (await readIncident(store, "alarm-up")).events;
    assert.doesNotMatch(JSON.stringify(opening), /s3cr3t/);
  });

  it("of which no incident can be opened is a warning", async () => {
    store.create = () => Promise.reject(new Error("the store is full"));
    assert.deepEqual(await sound(critical), []);
    assert.match(lines.join(), /warning: no incident can be opened for an alarm: the store is full/);
  });

  it("db:health --open-incident opens it, exits as ever, and leaves a failed verification to the incident it has", async () => {
    const address = freshStore();
    const env = {
      ...{ DATABASE_URL: (await sharedCluster()).url, BACKUP_STORE: address },
      DBPROTECT_SETTINGS: JSON.stringify({ thresholds: { ...critical, backupAge: { critical: null } } }),
    };
    const failed = { kind: "failed-verification", runId: null, person: null, reason: "rows", missingRows: {} } as const;
    await setFreeze(openStore(address), failed);
    const { code, stderr } = await runCli(["db:health", "--open-incident", "--confirm", "0s"], env);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /incident alarm-connections is open: npm run incident -- show --id alarm-connections/);
    assert.deepEqual(await listIncidents(openStore(address), "open"), ["alarm-connections"]);
    const without = await runCli(["db:health", "--open-incident"], { DATABASE_URL: env.DATABASE_URL });
    assert.equal(without.code, 2, without.stderr);
    assert.match(without.stderr, /--open-incident: BACKUP_STORE is not set/);
  });
});

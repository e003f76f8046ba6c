/** Who is told of an incident, and of an emergency: webhook, SNS and status page, each once, each allowed to fail. */
import assert from "node:assert/strict";
import { type EmergencyInput, type EmergencyResult, runEmergency } from "../../scripts/incident/emergency";
import { chooseBy, emergencyPlanSchema } from "../../scripts/incident/emergencyChoice";
import type { NoticeName } from "../../scripts/notices";
import { type IncidentOpening, listIncidents, openIncident, readIncident } from "../../scripts/record/incident";
import { type IncidentChannels, type IncidentNoticeName, tellOfIncident } from "../../scripts/record/incidentNotice";
import { type LoopbackServer, serveLoopback } from "../../scripts/rehearsal/loopbackServer";
import { openPlatforms } from "../../scripts/release/rollbackTargets";
import { operationSettingsSchema, readOperationSettings } from "../../scripts/settings";
import { FileStore } from "../../scripts/store/fileStore";
import { openStore } from "../../scripts/store/openStore";
import { runCli } from "../servers/cli";
import { closeCrmClients, freshStore } from "../servers/crm";
import { type ProtectedCrm, protectedCrm } from "../servers/damage";
import { ask } from "../servers/postgres";
import { type SnsFake, snsTopic, startSns } from "../servers/sns";
import { type StatuspageFake, startStatuspage, statuspageKey } from "../servers/statuspage";
import { temporaryFolder } from "../servers/stores";

const component = "2kcp5yj929dq";
const opening: IncidentOpening = {
  ...{ kind: "person" as const, title: "clients are gone", person: "Ada", receipt: null, impact: [], notVerified: [] },
  began: { notBefore: null, notAfter: null },
  ids: { database: null, release: null, backup: null, deployments: { railway: null, vercel: null } },
};
/** In the order of an incident that is recovered. */
const course = [
  ...["incident-opened", "recovery-started", "recovery-ended", "incident-mitigated", "incident-closed"],
] as IncidentNoticeName[];

describe("telling of an incident", function () {
  this.timeout(60_000);
  let page: StatuspageFake;
  let hook: LoopbackServer;
  let posted: Record<string, string>[];
  let lines: string[];
  beforeEach(async () => {
    [posted, lines] = [[], []];
    page = await startStatuspage([component]);
    hook = await serveLoopback(async ({ body }) => {
      posted.push(JSON.parse(body));
      return { status: 200, body: "ok" };
    });
  });
  afterEach(() => Promise.all([page.close(), hook.close()]));
  after(closeCrmClients);

  const settings = (communication: object = {}) =>
    operationSettingsSchema.parse({
      ...{ checks: "none", environment: { required: [], critical: [] } },
      communication: { statusPage: { pageId: "gytm4qzbx9t6", components: [component] }, ...communication },
    });
  // Long enough for a machine that is busy: what answers late is told again.
  const patience = { pace: { attempt: 20_000, pause: 5 }, milliseconds: 20_000 };
  const pagePace = { attempt: 10_000, total: 12_000, firstPause: 5 };
  const channelsTo = (store: FileStore, over: Partial<IncidentChannels> = {}): IncidentChannels => ({
    ...{ store, communication: settings().communication, ...patience, pagePace },
    env: { ...page.env, NOTIFY_WEBHOOK_URL: `${hook.url}/s3cr3t-hook` },
    onProgress: (line) => lines.push(line),
    ...over,
  });
  const told = async (store: FileStore, id: string): Promise<string[]> =>
    (await readIncident(store, id)).events.flatMap((event) =>
      event.event === "told" ? [`${event.channel} ${event.notice} ${event.delivered}`] : [],
    );

  describe("at Statuspage", () => {
    let store: FileStore;
    let id: string;
    beforeEach(async () => {
      store = new FileStore(temporaryFolder());
      id = await openIncident(store, opening);
    });
    const onlyPage = (): IncidentChannels => channelsTo(store, { env: page.env });

    it("goes from investigating over identified and monitoring to resolved, with its components", async () => {
      const shown: string[] = [];
      for (const event of course) {
        await tellOfIncident(id, { event, text: "internal words", key: event }, onlyPage());
        shown.push(`${page.incidents[0]?.status} ${page.components.get(component)}`);
      }
      assert.deepEqual(lines, []);
      assert.deepEqual(page.refused, []);
      assert.deepEqual(shown, [
        "investigating major_outage",
        "identified major_outage",
        "monitoring major_outage",
        "monitoring operational",
        "resolved operational",
      ]);
      const [incident, ...others] = page.incidents;
      assert.deepEqual(others, []);
      assert.equal(incident?.name, "A problem with our data");
      assert.deepEqual(incident?.metadata, { dbprotect: { incident: id } });
      assert.doesNotMatch(JSON.stringify(page.incidents), /internal words|clients are gone|Ada/);
      assert.deepEqual([page.notified.length, new Set(page.notified)], [5, new Set([true])]);
    });

    it("is not opened twice, nor told the same twice, when an answer or the record of it is lost", async () => {
      const notice = { event: "incident-opened", text: "x", key: "opened" } as const;
      // The unresolved ones are read; then the incident is made, and the answer lost.
      page.answers.push("pass", "lose");
      await tellOfIncident(id, notice, onlyPage());
      assert.match(lines.join(), /status page was not updated .* answered 502/);
      await tellOfIncident(id, notice, onlyPage());
      assert.deepEqual(await told(store, id), ["statuspage incident-opened false", "statuspage incident-opened true"]);
      assert.equal(page.incidents.length, 1);
      assert.equal(page.incidents[0]?.incident_updates.length, 1);
    });

    it("waits for its rate, and says what it refuses without its key", async () => {
      page.answers.push(420, 429);
      await tellOfIncident(id, { event: "incident-opened", text: "x", key: "opened" }, onlyPage());
      assert.deepEqual(lines, []);
      const env = { ...page.env, STATUSPAGE_API_KEY: "another-secret-key" };
      await tellOfIncident(id, { event: "recovery-started", text: "x" }, channelsTo(store, { env }));
      assert.match(lines.join(), /status page was not updated .* STATUSPAGE_API_KEY: Statuspage does not know/);
      await tellOfIncident(id, { event: "recovery-started", text: "x" }, channelsTo(store, { env: {} }));
      assert.match(lines.at(-1) ?? "", /STATUSPAGE_API_KEY: found nothing/);
      const strange = settings({ statusPage: { pageId: "gytm4qzbx9t6", components: ["strange12345"] } });
      const channels = channelsTo(store, { env: page.env, communication: strange.communication });
      await tellOfIncident(id, { event: "recovery-started", text: "x" }, channels);
      assert.match(lines.at(-1) ?? "", /answered 422 \(component strange12345 is not of this page\)/);
      assert.doesNotMatch([...lines, JSON.stringify(await readIncident(store, id))].join(), /another-secret-key/);
      assert.ok(!lines.join().includes(statuspageKey));
    });

    it("leaves alone what somebody resolved there, and hears of an alarm only when something is recovered", async () => {
      await tellOfIncident(id, { event: "incident-opened", text: "x", key: "opened" }, onlyPage());
      page.incidents[0]!.status = "resolved";
      await tellOfIncident(id, { event: "recovery-ended", text: "x" }, onlyPage());
      assert.deepEqual([page.incidents.length, page.incidents[0]?.incident_updates.length], [1, 1]);
      const alarm = await openIncident(store, { ...opening, kind: "alarm" });
      for (const event of ["incident-opened", "incident-mitigated", "incident-closed"] as const)
        await tellOfIncident(alarm, { event, text: "x" }, onlyPage());
      assert.equal(page.incidents.length, 1);
      await tellOfIncident(alarm, { event: "recovery-started", text: "x" }, onlyPage());
      assert.deepEqual(
        page.incidents.map(({ status }) => status),
        ["resolved", "identified"],
      );
      assert.deepEqual(lines, []);
    });

    it("says what the project says, and those who subscribed need not be told", async () => {
      const texts = { "incident-opened": "Something is wrong since {at}: {title} ({incident})" };
      const statusPage = { pageId: "gytm4qzbx9t6", name: "Trouble", texts, notifySubscribers: false };
      const { communication } = settings({ statusPage });
      await tellOfIncident(id, { event: "incident-opened", text: "x" }, channelsTo(store, { communication }));
      const [incident] = page.incidents;
      assert.match(incident?.incident_updates[0]?.body ?? "", /^Something is wrong since 20.*Z: clients are gone \(2/);
      assert.deepEqual(
        [incident?.name, page.notified, page.components.get(component)],
        ["Trouble", [false], "operational"],
      );
    });
  });

  it("by webhook in the project's words; each once, and again where it failed", async () => {
    const store = new FileStore(temporaryFolder());
    const id = await openIncident(store, { ...opening, title: "rows <gone>" });
    const templates = { "recovery-started": "<!here> {way} of {incident}: {title} {not a placeholder}" };
    const channels = channelsTo(store, { communication: settings({ templates }).communication });
    const notice = { event: "recovery-started", text: "x", way: "db:repair", key: "one" } as const;
    const down = { ...channels, env: { ...channels.env, NOTIFY_WEBHOOK_URL: "http://127.0.0.1:1/s3cr3t-hook" } };
    await tellOfIncident(id, notice, down);
    await tellOfIncident(id, notice, channels);
    await tellOfIncident(id, notice, channels);
    assert.deepEqual(
      posted.map(({ text, event, incident }) => [text, event, incident]),
      [[`<!here> db:repair of ${id}: rows &lt;gone&gt; {not a placeholder}`, "recovery-started", id]],
    );
    const all = (await told(store, id)).filter((line) => line.startsWith("webhook"));
    assert.deepEqual(all, ["webhook recovery-started false", "webhook recovery-started true"]);
    assert.doesNotMatch([...lines, JSON.stringify(await readIncident(store, id))].join(), /s3cr3t/);
  });

  it("a placeholder that there is none of is an error of the settings, which names it", () => {
    const read = (communication: object) =>
      readOperationSettings(undefined, { DBPROTECT_SETTINGS: JSON.stringify({ communication }) });
    assert.throws(
      () => read({ templates: { frozen: "all stands: {way}" } }),
      /communication\.templates\.frozen: .*\{way\} is no placeholder of this text: expected \{text\}, \{at\}, \{stack\}/,
    );
    const texts = { "incident-opened": "{text}" };
    assert.throws(
      () => read({ statusPage: { pageId: "gytm4qzbx9t6", texts } }),
      /communication\.statusPage\.texts\.incident-opened: .*\{text\} is no placeholder of this text: expected \{at\}/,
    );
    assert.throws(() => read({ templates: { frosen: "x" } }), /frosen/);
  });

  it("incident open, note and close tell, in the timeline too", async () => {
    const address = freshStore();
    const env = {
      ...{ ...page.env, BACKUP_STORE: address, NOTIFY_WEBHOOK_URL: `${hook.url}/s3cr3t-hook` },
      DBPROTECT_SETTINGS: JSON.stringify(settings()),
    };
    const cli = async (...words: string[]): Promise<void> => {
      const { code, stderr } = await runCli(["incident", ...words, "--person", "Ada"], env);
      assert.equal(code, 0, stderr);
    };
    await cli("open", "--title", "clients are gone");
    await cli("note", "a backup is being read");
    await cli("note", "all is back", "--mitigated");
    await cli("close", "--reason", "repaired", "--prevention", "least privilege");
    assert.deepEqual(
      posted.map(({ event, text }) => [event, text?.replace(/incident 2[\w-]+/g, "incident X")]),
      [
        ["incident-opened", "incident X: clients are gone"],
        ["incident-noted", "incident X: a backup is being read"],
        ["incident-mitigated", "incident X: all is back"],
        ["incident-closed", posted[3]?.["text"]?.replace(/incident 2[\w-]+/g, "incident X") ?? ""],
      ],
    );
    assert.match(posted[3]?.["text"] ?? "", /over: repaired; measures of prevention: 1; the report: npm run incident/);
    assert.equal(page.incidents[0]?.status, "resolved");
    const store = openStore(address);
    const [id] = await listIncidents(store, "all");
    assert.equal((await readIncident(store, id!)).events.filter(({ event }) => event === "told").length, 7);
  });

  describe("in an emergency", () => {
    const signal = new AbortController().signal;
    const decision = emergencyPlanSchema.parse({ person: "Ada", reason: "tasks are gone" });
    let sns: SnsFake;
    let former: NodeJS.ProcessEnv;
    beforeEach(async () => {
      sns = await startSns();
      former = { ...process.env };
      Object.assign(process.env, sns.env);
    });
    afterEach(async () => {
      process.env = former;
      await sns.close();
    });

    const respond = (
      crm: ProtectedCrm,
      env: NodeJS.ProcessEnv,
      { answers = true, ...hurried }: { answers?: boolean } & EmergencyInput["patience"] = {},
    ): Promise<EmergencyResult> =>
      runEmergency({
        ...{ store: crm.store, live: crm.live, settings: settings(), signal, configured: [] },
        ...{ clients: openPlatforms({}, signal), addresses: { appUrl: undefined, frontendUrl: undefined } },
        ...{ runId: "20260101T000101Z-emergency", person: decision.person, reason: decision.reason },
        decide: async (assessment) => {
          if (!answers) throw new Error("nobody answers");
          return chooseBy(decision, assessment, undefined);
        },
        onProgress: (line) => lines.push(line),
        patience: { ...patience, pagePace, ...hurried, env },
      });
    const tasks = async (crm: ProtectedCrm): Promise<unknown> =>
      (await ask(crm.url, "SELECT count(*)::int AS n FROM tasks"))[0];

    const events: NoticeName[] = [
      ...(["frozen", "incident-opened", "recovery-started", "recovery-ended"] as const),
      ...(["incident-mitigated", "unfrozen"] as const),
    ];

    it("all are told at its opening, at the way back and at its end; a run that goes on tells nothing twice", async () => {
      const crm = await protectedCrm(4, 20);
      await ask(crm.url, "DELETE FROM tasks WHERE id % 3 = 0");
      const env = { ...page.env, NOTIFY_WEBHOOK_URL: `${hook.url}/s3cr3t-hook`, NOTIFY_SNS_TOPIC_ARN: snsTopic };
      await assert.rejects(respond(crm, env, { answers: false }), /nobody answers/);
      assert.deepEqual(
        posted.map(({ event }) => event),
        events.slice(0, 2),
      );
      const result = await respond(crm, env);
      assert.equal(result.choice?.way, "db:repair");
      assert.deepEqual(await tasks(crm), { n: 60 });
      assert.deepEqual(
        posted.map(({ event }) => event),
        events,
      );
      assert.deepEqual(
        // The SDK repeats a request whose answer is late: then it is the same message, to the millisecond.
        [...new Set(sns.published.map(String))].map((form) =>
          new URLSearchParams(form).get("MessageAttributes.entry.1.Value.StringValue"),
        ),
        events,
      );
      const [incident, ...others] = page.incidents;
      assert.deepEqual(others, []);
      assert.deepEqual(
        incident?.incident_updates.map(({ status }) => status),
        ["monitoring", "monitoring", "identified", "investigating"],
      );
      assert.equal(page.components.get(component), "operational");
      const said = JSON.stringify([posted, sns.published.map(String), page.incidents]);
      // No row's content (clients are called Client 1 and client1@example.com), no address of a server, no password.
      assert.doesNotMatch(said, /client\d|@example\.com|postgres:|password/i);
    });

    it("with every channel down it ends well, and the timeline says who was not told", async () => {
      const crm = await protectedCrm(4, 20);
      await ask(crm.url, "DELETE FROM tasks WHERE id % 3 = 0");
      sns.refuse = "silent";
      page.answers.push(...Array.from({ length: 1_000 }, () => 500));
      const env = { ...page.env, NOTIFY_WEBHOOK_URL: "http://127.0.0.1:1/s3cr3t-hook", NOTIFY_SNS_TOPIC_ARN: snsTopic };
      const result = await respond(crm, env, {
        ...{ milliseconds: 200, pagePace: { attempt: 200, total: 300, firstPause: 5 } },
      });
      assert.deepEqual(await tasks(crm), { n: 60 });
      assert.ok(result.steps.every(({ withinStrategy }) => withinStrategy === true));
      const lost = await told(crm.store as FileStore, result.incident ?? "");
      for (const event of events) {
        assert.ok(lost.includes(`webhook ${event} false`), lost.join());
        assert.ok(lost.includes(`sns ${event} false`), lost.join());
      }
      assert.equal(lost.filter((line) => line === "statuspage recovery-started false").length, 1);
      assert.doesNotMatch(
        [...lines, JSON.stringify(await readIncident(crm.store, result.incident ?? ""))].join(),
        /s3cr3t/,
      );
    });
  });
});

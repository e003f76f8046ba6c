/** Telling the team, by a real web server: delivered, repeated once, given up, never a reason to fail, never the address. */
import assert from "node:assert/strict";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { pathToFileURL } from "node:url";
import { readNotes } from "../../scripts/record/releaseNotes";
import { type TeamNotice, tellTeam } from "../../scripts/record/teamNotice";
import { FileStore } from "../../scripts/store/fileStore";
import { runCli } from "../servers/cli";
import { type SnsFake, snsTopic, startSns } from "../servers/sns";
import { temporaryFolder } from "../servers/stores";

const secretPath = "/services/T000/B000/s3cr3t-webhook-token";
const run = { runId: "20260101T000000Z-run", releaseVersion: "v1", stack: "crm/test" };
const notice: TeamNotice = { event: "release-started", text: "the gate passed", run };

describe("telling the team", () => {
  let server: Server;
  let bodies: Record<string, string>[];
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let store: FileStore;
  let folder: string;
  let lines: string[];

  beforeEach(async () => {
    bodies = [];
    lines = [];
    answer = (_, response) => response.end("ok");
    server = createServer((request, response) => {
      let text = "";
      request.on("data", (chunk: Buffer) => (text += chunk.toString()));
      request.on("end", () => {
        assert.equal(request.method, "POST");
        assert.equal(request.url, secretPath);
        assert.match(request.headers["content-type"] ?? "", /^application\/json/);
        bodies.push(JSON.parse(text));
        answer(request, response);
      });
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    folder = temporaryFolder();
    store = new FileStore(folder);
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });

  const address = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}${secretPath}`;
  const tell = (what: TeamNotice = notice, url = address()): Promise<void> =>
    tellTeam(what, {
      ...{ store, env: { NOTIFY_WEBHOOK_URL: url }, pace: { attempt: 150, pause: 5 } },
      onProgress: (line) => lines.push(line),
    });
  const noteOf = async (): Promise<[boolean, string | null]> => {
    const [note] = await readNotes(store, run.runId);
    return [note!.ok, note!.item];
  };

  it("posts one message that Slack takes, and notes it", async () => {
    await tell({ ...notice, text: "the gate <!channel> & passed" });
    assert.equal(bodies.length, 1);
    const { text, event, stack, releaseVersion, runId } = bodies[0]!;
    assert.equal(text, "crm/test: release v1: the gate &lt;!channel&gt; &amp; passed");
    assert.deepEqual({ event, stack, releaseVersion, runId }, { event: "release-started", ...run });
    assert.deepEqual(await noteOf(), [true, "release-started"]);
    assert.deepEqual(lines, []);
  });

  it("tries once more after a 5xx, a 429 or silence, and no other time", async () => {
    for (const [first, posts, delivered] of [
      [503, 2, true],
      [429, 2, true],
      [0, 2, true],
      [404, 1, false],
      [302, 1, false],
    ] as const) {
      bodies = [];
      answer = (_, response) => {
        if (bodies.length > 1) response.end("ok");
        else if (first > 0) response.writeHead(first, { location: "/elsewhere" }).end();
      };
      lines = [];
      await tell({ ...notice, run: null });
      assert.deepEqual([bodies.length, lines.length === 0], [posts, delivered], String(first));
    }
  });

  it("given up it is a warning and a note, without the address", async () => {
    answer = (_, response) => response.writeHead(500).end();
    await tell();
    assert.equal(bodies.length, 2);
    assert.match(lines.join(), /^warning: the team was not told \(release-started\): 127\.0\.0\.1:\d+ answered 500$/);
    assert.deepEqual(await noteOf(), [false, "release-started"]);
    answer = () => undefined;
    await tell();
    assert.match(lines.at(-1)!, /did not answer within 150 ms/);
    await tell(notice, "not an address");
    assert.match(lines.at(-1)!, /NOTIFY_WEBHOOK_URL: expected an http/);
    await tell(notice, "http://127.0.0.1:1/s3cr3t-webhook-token");
    const said = [...lines, JSON.stringify(await readNotes(store, run.runId))].join();
    assert.ok(!said.includes("s3cr3t"), said);
  });

  it("without a webhook nothing is done, and a store that is gone does not matter", async () => {
    await tell(notice, "");
    assert.deepEqual([bodies.length, await readNotes(store, run.runId)], [0, []]);
    store.create = async () => Promise.reject(new Error("the store is gone"));
    await tell();
    assert.match(lines.join(), /that the team was told is not recorded/);
  });

  it("a freeze tells it, also when nobody can be told", async () => {
    const freeze = (url: string) =>
      runCli(["deploy:freeze", "--person", "Ada", "--reason", "incident 42", "--yes"], {
        ...{ BACKUP_STORE: pathToFileURL(folder).href, NOTIFY_WEBHOOK_URL: url },
      });
    assert.equal((await freeze(address())).code, 0);
    assert.match(bodies[0]!["text"]!, /frozen by Ada: incident 42/);
    const alone = await freeze(`http://127.0.0.1:1${secretPath}`);
    assert.equal(alone.code, 0);
    assert.match(alone.stderr, /warning: the team was not told \(frozen\): 127\.0\.0\.1:1/);
    assert.ok(!`${alone.stdout}${alone.stderr}`.includes("s3cr3t"));
  });
});

describe("telling the team by SNS", () => {
  const arn = snsTopic;
  let sns: SnsFake;
  let store: FileStore;
  let lines: string[];
  let former: NodeJS.ProcessEnv;

  beforeEach(async () => {
    lines = [];
    store = new FileStore(temporaryFolder());
    sns = await startSns();
    former = { ...process.env };
    Object.assign(process.env, sns.env);
  });
  afterEach(async () => {
    process.env = former;
    await sns.close();
  });

  const tell = (what: TeamNotice = notice, env: NodeJS.ProcessEnv = { NOTIFY_SNS_TOPIC_ARN: arn }): Promise<void> =>
    tellTeam(what, {
      ...{ store, env, pace: { attempt: 150, pause: 5 }, milliseconds: 3_000 },
      onProgress: (line) => lines.push(line),
    });
  const noted = async (): Promise<[boolean, string]> => {
    const note = (await readNotes(store, run.runId)).at(-1)!;
    return [note.ok, note.detail];
  };

  it("publishes a line for people, the facts, and an attribute to filter by", async () => {
    await tell({ ...notice, run: { ...run, stack: "crm/prüf" } });
    assert.deepEqual(lines, []);
    const [form] = sns.published;
    assert.equal(form?.get("Subject"), "crm/pr?f: release-started");
    assert.match(form?.get("Message") ?? "", /^crm\/prüf: release v1: the gate passed\n\nevent: release-started\n/);
    assert.equal(form?.get("MessageAttributes.entry.1.Name"), "event");
    assert.equal(form?.get("MessageAttributes.entry.1.Value.StringValue"), "release-started");
    assert.deepEqual(await noted(), [true, "SNS topic releases took it"]);
    // What a mail's subject may be: less than 100 characters, no line break, whatever a stack is called.
    for (const stack of ["x".repeat(300), "crm\r\nBcc: all", " crm"]) await tell({ ...notice, run: { ...run, stack } });
    assert.deepEqual(
      sns.published.slice(1).map((each) => each.get("Subject")),
      ["x".repeat(99), "crm??Bcc: all: release-started", "crm: release-started"],
    );
  });

  it("that is refused, silent or no topic's is a warning and a note, never a failure", async () => {
    sns.refuse = "AuthorizationError";
    await tell();
    assert.match(
      lines.at(-1) ?? "",
      /not told \(release-started\): SNS topic releases: AuthorizationError.*not authorized/,
    );
    assert.equal((await noted())[0], false);
    sns.refuse = "silent";
    await tellTeam(notice, { store, env: { NOTIFY_SNS_TOPIC_ARN: arn }, milliseconds: 200 });
    assert.match((await noted())[1], /no answer within 200 ms$/);
    for (const wrong of ["releases", `${arn}.fifo`]) {
      await tell(notice, { NOTIFY_SNS_TOPIC_ARN: wrong });
      assert.match(lines.at(-1) ?? "", /NOTIFY_SNS_TOPIC_ARN: found .*: expected arn:aws:sns:/);
    }
  });

  it("told by one of two ways it is told, and the other one is a warning", async () => {
    await tell(notice, { NOTIFY_SNS_TOPIC_ARN: arn, NOTIFY_WEBHOOK_URL: "http://127.0.0.1:1/hook" });
    const [ok, detail] = await noted();
    assert.equal(ok, true);
    assert.match(detail, /^127\.0\.0\.1:1: .*; SNS topic releases took it$/);
    assert.equal(lines.length, 1);
  });
});

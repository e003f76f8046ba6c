/** Calls of a platform's API against a real server that answers badly in every way it can. */
import assert from "node:assert/strict";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import { Unavailable, UsageError } from "../../../scripts/contract/failure";
import { hintWithLinks } from "../../../scripts/contract/links";
import { registerSecret } from "../../../scripts/contract/redaction";
import { apiAddress, callPlatform, parseAnswer, type PlatformCall } from "../../../scripts/platforms/http";
import { demandSuccess } from "../../../scripts/platforms/platformRefusal";

const token = "token-of-the-http-test";

describe("calls of a platform's API", () => {
  let server: Server;
  let base: string;
  /** One for each request, in order; the last one answers all that follow. */
  let answers: ((response: ServerResponse) => void)[];
  let requests: number;

  before(async () => {
    server = createServer((request, response) => {
      request.resume();
      requests += 1;
      (answers.length > 1 ? answers.shift()! : answers[0]!)(response);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  beforeEach(() => {
    requests = 0;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  const json =
    (status: number, body: unknown, headers: Record<string, string> = {}) =>
    (response: ServerResponse) =>
      void response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));

  const call = (over: Partial<PlatformCall> = {}) =>
    callPlatform({
      platform: "Supabase",
      method: "GET",
      url: new URL("/v1/projects", base),
      headers: { authorization: `Bearer ${token}` },
      pace: { attempt: 1000, total: 8000, firstPause: 5 },
      ...over,
    });

  const fails = (work: Promise<unknown>, message: RegExp) =>
    assert.rejects(work, (error) => {
      assert.ok(error instanceof Unavailable, String(error));
      assert.match(error.message, message);
      assert.ok(!error.message.includes(token));
      return true;
    });

  it("a failure says where to look: the platform's status page and dashboard, once", async () => {
    answers = [json(503, {})];
    const pace = { attempt: 1000, total: 1, firstPause: 1 };
    const failure = await call({ pace }).then(
      () => assert.fail("it was answered"),
      (error: Unavailable) => error,
    );
    assert.equal(
      failure.hint,
      "Supabase Status https://status.supabase.com, Supabase Dashboard https://app.supabase.com",
    );
    assert.equal(hintWithLinks(failure.hint, "supabase"), failure.hint);
    const refused = { status: 404, headers: new Headers(), body: {} };
    const where = { platform: "Vercel", method: "GET", url: new URL("/v9/projects/x", base) } as const;
    assert.throws(() => demandSuccess(refused, where, "VERCEL_TOKEN"), { hint: /vercel-status\.com/ });
  });

  it("answers 2xx and 4xx as they are", async () => {
    answers = [json(200, { a: 1 }), json(404, { message: "Project not found" })];
    assert.deepEqual((await call()).body, { a: 1 });
    assert.equal((await call()).status, 404);
    assert.equal(requests, 2);
  });

  it("repeats a read after 5xx, a cut connection and silence, within its time", async () => {
    answers = [json(503, {}), (response) => response.destroy(), () => undefined, json(200, [])];
    assert.deepEqual((await call()).body, []);
    assert.equal(requests, 4);
    answers = [json(500, { message: "Failed to get backups" })];
    await fails(
      call({ pace: { attempt: 1000, total: 50, firstPause: 5 } }),
      /^Supabase: GET \/v1\/projects at 127\.0\.0\.1:\d+: answered 500 \(Failed to get backups\)$/,
    );
    answers = [() => undefined];
    await fails(call({ pace: { attempt: 50, total: 60, firstPause: 5 } }), /no answer within 0\.05 s$/);
  });

  it("does not repeat a change whose outcome is unknown, but one that was rejected for its rate", async () => {
    answers = [json(502, {})];
    await fails(call({ method: "POST", body: {} }), /answered 502$/);
    assert.equal(requests, 1);
    answers = [json(429, {}, { "retry-after": "0" }), json(201, {})];
    assert.equal((await call({ method: "POST", body: {} })).status, 201);
  });

  it("waits as long as it is asked to: seconds, a date, a used-up limit", async () => {
    const dates = new Date(Date.now() + 5).toUTCString();
    const epoch = String(Math.floor(Date.now() / 1000));
    answers = [
      json(429, {}, { "retry-after": "0.1" }),
      json(429, {}, { "retry-after": dates }),
      json(429, {}, { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "0" }),
      json(429, {}, { "x-ratelimit-remaining": "0", "x-ratelimit-reset": epoch }),
      json(200, {}),
    ];
    const started = performance.now();
    await call();
    assert.ok(performance.now() - started >= 100);
    assert.equal(requests, 5);
    answers = [json(429, { error: { code: "rate_limited", message: "Rate limited" } }, { "retry-after": "30" })];
    requests = 0;
    await fails(call(), /answered 429 \(Rate limited\); it may be called again in 30 s$/);
    assert.equal(requests, 1);
  });

  it("follows no redirection, and takes no page for an answer", async () => {
    answers = [(response) => void response.writeHead(307, { location: "https://elsewhere.example" }).end()];
    await fails(call({ repeatable: false }), /answered 307, a redirection/);
    answers = [(response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>")];
    await fails(call({ repeatable: false }), /answered 200, not JSON$/);
  });

  it("never shows a secret that the platform echoes", async () => {
    registerSecret(token);
    answers = [json(500, { message: `invalid token ${token}` })];
    await fails(call({ repeatable: false }), /invalid token \[redacted\]/);
  });

  it("names the field of an answer that has changed", () => {
    const where = { platform: "Supabase", method: "GET", url: new URL("https://api.supabase.com/v1/x") } as const;
    const answer = { status: 200, headers: new Headers(), body: { backups: [{ id: "7" }] } };
    const schema = z.object({ backups: z.array(z.object({ id: z.int() })) });
    assert.throws(() => parseAnswer(schema, answer, where), /unknown form: backups\.0\.id: /);
  });

  it("takes a token to no address in the clear", () => {
    assert.equal(apiAddress({}, "SUPABASE_API_URL", "https://api.supabase.com"), "https://api.supabase.com");
    assert.equal(apiAddress({ SUPABASE_API_URL: "http://127.0.0.1:9/" }, "SUPABASE_API_URL", ""), "http://127.0.0.1:9");
    for (const text of ["http://api.supabase.com", "api.supabase.com", "https://u:p@api.supabase.com"]) {
      assert.throws(() => apiAddress({ SUPABASE_API_URL: text }, "SUPABASE_API_URL", ""), UsageError);
    }
  });
});

/** The health checks against real HTTP servers: slow, flapping, failing, redirecting, gone. */
import assert from "node:assert/strict";
import { type RequestListener, type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { performance } from "node:perf_hooks";
import { UsageError } from "../../scripts/contract/failure";
import { type HealthSettings, healthSettingsSchema } from "../../scripts/settings";
import { runHealthChecks } from "../../scripts/verification/healthChecks";

describe("health checks", () => {
  const servers: Server[] = [];

  /** Starts a server on loopback and returns its address. */
  async function serve(listener: RequestListener): Promise<string> {
    const server = createServer(listener);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.close();
      server.closeAllConnections();
    }
  });

  function settingsOf(deadlineSeconds: number, ...appPaths: string[]): HealthSettings {
    return healthSettingsSchema.parse({ deadlineSeconds, appPaths: appPaths.length > 0 ? appPaths : ["/"] });
  }

  it("asks the strategy's four endpoints by default", async () => {
    const asked: string[] = [];
    const app = await serve((request, response) =>
      response.end(String(asked.push(`app ${request.method} ${request.url}`))),
    );
    const frontend = await serve((request, response) => response.end(String(asked.push(`frontend ${request.url}`))));
    const settings = healthSettingsSchema.parse({});
    const report = await runHealthChecks({ appUrl: app, frontendUrl: `${frontend}/shop/`, settings });
    assert.equal(report.outcome, "pass");
    assert.deepEqual(asked.sort(), [
      "app GET /api/crm/clients",
      "app GET /api/db/health",
      "app GET /api/health",
      "frontend /shop/",
    ]);
    assert.deepEqual(
      report.results.map(({ url, ok, status, attempts, error }) => [url, ok, status, attempts, error]),
      [
        [`${app}/api/health`, true, 200, 1, undefined],
        [`${app}/api/db/health`, true, 200, 1, undefined],
        [`${app}/api/crm/clients`, true, 200, 1, undefined],
        [`${frontend}/shop/`, true, 200, 1, undefined],
      ],
    );
  });

  it("says that nothing is configured", async () => {
    const settings = settingsOf(1);
    assert.deepEqual(await runHealthChecks({ settings }), { outcome: "not configured", results: [] });
    assert.equal((await runHealthChecks({ appUrl: "", frontendUrl: "", settings })).outcome, "not configured");
  });

  it("waits for an application that still starts", async () => {
    let asked = 0;
    const appUrl = await serve((_, response) => {
      response.statusCode = ++asked < 3 ? 503 : 204;
      response.end();
    });
    const { outcome, results } = await runHealthChecks({ appUrl, settings: settingsOf(20) });
    assert.deepEqual([outcome, results[0]?.attempts, results[0]?.status], ["pass", 3, 204]);
  });

  it("fails at the deadline, and one failing path is enough", async () => {
    const appUrl = await serve((request, response) => {
      response.statusCode = request.url === "/broken" ? 500 : 200;
      response.end();
    });
    const start = performance.now();
    const { outcome, results } = await runHealthChecks({ appUrl, settings: settingsOf(1.2, "/fine", "/broken") });
    assert.ok(performance.now() - start < 2000);
    assert.equal(outcome, "fail");
    assert.deepEqual(
      [results[0]?.ok, results[1]?.ok, results[1]?.status, results[1]?.error],
      [true, false, 500, "HTTP 500"],
    );
    assert.ok(results[1]!.attempts >= 2);
  });

  it("gives up on a server that never answers, or stops in mid-body", async () => {
    const appUrl = await serve((request, response) => {
      if (request.url === "/half") response.writeHead(200).write("{");
    });
    const { results } = await runHealthChecks({ appUrl, settings: settingsOf(0.5, "/silent", "/half") });
    for (const result of results) {
      assert.equal(result.ok, false);
      assert.match(result.error ?? "", /^no answer within (4\d\d|500) ms$/);
    }
  });

  it("takes a broken-off body for a failure", async () => {
    const appUrl = await serve((_, response) => {
      response.writeHead(200, { "content-length": "100" }).write("{");
      setImmediate(() => response.destroy());
    });
    const { outcome } = await runHealthChecks({ appUrl, settings: settingsOf(0.3) });
    assert.equal(outcome, "fail");
  });

  it("does not read an endless body", async () => {
    let closed = 0;
    const appUrl = await serve((_, response) => {
      const timer = setInterval(() => response.write(Buffer.alloc(16 * 1024)), 5);
      response.on("close", () => {
        clearInterval(timer);
        closed++;
      });
    });
    const { outcome, results } = await runHealthChecks({ appUrl, settings: settingsOf(10) });
    assert.equal(outcome, "pass");
    assert.ok(results[0]!.milliseconds < 5000);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(closed, 1);
  });

  it("names a refused connection", async () => {
    const gone = await serve((_, response) => response.end());
    await new Promise((resolve) => servers.splice(0)[0]!.close(resolve));
    const { results } = await runHealthChecks({ appUrl: gone, settings: settingsOf(0.3) });
    assert.match(results[0]?.error ?? "", /ECONNREFUSED/);
    assert.equal(results[0]?.status, undefined);
  });

  it("follows redirects within the host, and none that lead elsewhere or around", async () => {
    let strangers = 0;
    const stranger = await serve((_, response) => response.end(String(++strangers)));
    const appUrl = await serve((request, response) => {
      const target = { "/": "/en", "/away": `${stranger}/`, "/around": "/around", "/odd": "http://[" }[
        request.url ?? ""
      ];
      if (target !== undefined) response.writeHead(307, { location: target });
      response.end();
    });
    const { results } = await runHealthChecks({ appUrl, settings: settingsOf(2, "/", "/away", "/around", "/odd") });
    assert.deepEqual(
      results.map(({ ok, status, error }) => [ok, status, error]),
      [
        [true, 200, undefined],
        [false, 307, `HTTP 307 redirects to ${stranger}`],
        [false, 307, "more than 5 redirects"],
        [false, 307, "HTTP 307 redirects to something that is not a URL"],
      ],
    );
    assert.equal(strangers, 0);
  });

  it("sends the URL's credentials and keeps them out of the result", async () => {
    const seen: (string | undefined)[] = [];
    const appUrl = await serve((request, response) => response.end(String(seen.push(request.headers.authorization))));
    const withPassword = appUrl.replace("://", "://ops:s3cr%40t-pw@");
    const report = await runHealthChecks({ appUrl: withPassword, settings: settingsOf(5) });
    assert.deepEqual(seen, [`Basic ${Buffer.from("ops:s3cr@t-pw").toString("base64")}`]);
    assert.equal(report.results[0]?.url, `${appUrl}/`);
    assert.ok(!JSON.stringify(report).includes("s3cr"));
  });

  it("refuses what is not an HTTP URL without repeating it", async () => {
    for (const [appUrl, found] of [
      ["app.example.com", "something that is not a URL"],
      ["postgres://u:topsecret@h/db", "the scheme postgres://"],
      ["http://u:%zz@h/", "not percent-encoded"],
    ] as const) {
      await assert.rejects(
        runHealthChecks({ appUrl, settings: settingsOf(1) }),
        (error) =>
          error instanceof UsageError && error.message.startsWith("APP_URL: ") && error.message.includes(found),
      );
    }
  });

  it("ends at once when it is interrupted, in a request or between two", async () => {
    const appUrl = await serve((request, response) => {
      response.statusCode = 500;
      if (request.url === "/failing") response.end();
    });
    for (const path of ["/silent", "/failing"]) {
      const controller = new AbortController();
      const start = performance.now();
      setTimeout(() => controller.abort(new Error("interrupted")), 150);
      const settings = settingsOf(30, path);
      await assert.rejects(runHealthChecks({ appUrl, settings, signal: controller.signal }), /^Error: interrupted$/);
      assert.ok(performance.now() - start < 1000);
    }
  });
});

/** The commands on the environment as an operator meets them: wrong arguments, a platform that says nothing, Ctrl-C, two at once. */
import assert from "node:assert/strict";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { acceptEnvironment } from "../../scripts/environment/acceptEnvironment";
import { checkEnvironment } from "../../scripts/environment/checkEnvironment";
import { listSnapshots } from "../../scripts/environment/snapshot";
import { environmentSettingsSchema } from "../../scripts/settings";
import { FileStore } from "../../scripts/store/fileStore";
import { claimStore } from "../../scripts/store/storeIdentity";
import { runCli, startCli } from "../servers/cli";
import { temporaryFolder } from "../servers/stores";

describe("commands on the environment and the platform", function () {
  this.timeout(120_000);
  let hole: Server;
  let reached: Promise<void>;
  const sockets = new Set<Socket>();
  const silent: Record<string, string> = {};

  before(async () => {
    let connected = (): void => undefined;
    reached = new Promise((resolve) => (connected = resolve));
    hole = createServer((socket) => {
      sockets.add(socket.on("error", () => undefined));
      connected();
    });
    await new Promise<void>((listening) => hole.listen(0, "127.0.0.1", listening));
    const url = `http://127.0.0.1:${(hole.address() as AddressInfo).port}`;
    Object.assign(silent, {
      RAILWAY_API_URL: url,
      RAILWAY_TOKEN: "railway-token-of-nobody",
      RAILWAY_SERVICE_ID: "service-1",
      DBPROTECT_SETTINGS: JSON.stringify({ environment: { sources: [{ kind: "railway" }] } }),
    });
  });
  after(() => {
    for (const socket of sockets) socket.destroy();
    hole.close();
  });

  for (const words of [
    ["env:diff"],
    ["env:restore", "latest"],
    ["env:check", "--strict"],
    ["env:snapshot", "--accept", "now"],
    ["platform:check", "--level", "3"],
  ])
    it(`2: ${words.join(" ")}`, async () => {
      const run = await runCli(words, {});
      assert.equal(run.code, 2, run.stderr);
      assert.match(run.stderr, /error: (missing required argument|unknown option|too many arguments)/);
      assert.ok(!run.stderr.includes("    at "), "a stack trace");
    });

  it("130: Ctrl-C while a platform says nothing, at once and without a stack", async () => {
    const run = startCli(["env:check"], silent);
    await reached;
    const asked = performance.now();
    run.process.kill("SIGINT");
    const { code, stderr } = await run.ended;
    assert.equal(code, 130, stderr);
    assert.ok(performance.now() - asked < 10_000, "it waited for the platform");
    assert.ok(!stderr.includes("    at ") && !stderr.includes("railway-token-of-nobody"), stderr);
  });

  it("accepts one environment twice at once, and knows both afterwards", async () => {
    const store = new FileStore(temporaryFolder());
    await claimStore(store, { systemIdentifier: "7300000000000000001", name: "crm" });
    const settings = environmentSettingsSchema.parse({ content: "ignore", required: [] });
    const env = { BACKUP_PASSPHRASE: "passphrase of two at once", CORS_ORIGIN: "https://crm.example.com" };
    const accepted = await Promise.all(
      ["run-1", "run-2"].map((runId) => acceptEnvironment({ store, settings, env, runId })),
    );
    assert.deepEqual(await listSnapshots(store), accepted.map(({ name }) => name).sort());
    const check = await checkEnvironment({ store, settings, env });
    assert.deepEqual([check.verdict, check.changes], ["pass", []]);
    assert.equal((await acceptEnvironment({ store, settings, env, runId: "run-3" })).written, false);
  });
});

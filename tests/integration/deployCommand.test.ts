/** A platform's command: over when its shell is, ended with all it started, and no secret in what it says. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Interrupted, Refusal } from "../../scripts/contract/failure";
import { runDeployCommand } from "../../scripts/release/deployCommand";
import { runCli } from "../servers/cli";

describe("a deploy command", function () {
  this.timeout(30_000);
  let pidFile: string;

  beforeEach(() => (pidFile = join(mkdtempSync(join(tmpdir(), "dbprotect-deploy-")), "pid")));
  afterEach(() => {
    if (lives()) process.kill(pid(), "SIGKILL");
  });

  const pid = (): number => Number(readFileSync(pidFile, "utf8"));
  /** Of the child in the background; a zombie that nobody has reaped yet is dead. */
  function lives(): boolean {
    try {
      return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid()}/status`, "utf8"));
    } catch {
      return false;
    }
  }
  const run = async (command: string, timeoutSeconds = 20, signal = new AbortController().signal) => {
    const [lines, start]: [string[], number] = [[], performance.now()];
    const result = await runDeployCommand(
      { command, timeoutSeconds },
      { signal, onLine: (line) => lines.push(line) },
    ).catch((error: unknown) => error);
    return { result, lines, seconds: (performance.now() - start) / 1000 };
  };

  it("is over when its shell is, though a child in the background holds the pipes", async () => {
    const { result, lines, seconds } = await run(`sleep 25 & echo $! > ${pidFile}; echo building; printf deployed`, 2);
    assert.deepEqual([result, lines], ["deployed", ["building", "deployed"]]);
    assert.ok(seconds < 2, `${seconds} s`);
    assert.ok(lives(), "what a command that succeeded left in the background goes on");
  });

  it("that fails takes its background with it", async () => {
    const { result } = await run(`sleep 25 & echo $! > ${pidFile}; exit 3`);
    assert.ok(result instanceof Refusal && /ended with 3/.test(result.message), String(result));
    assert.ok(!lives());
  });

  it("that hangs is ended at its timeout, with the background of a shell that is gone", async () => {
    const { result, seconds } = await run(`sleep 25 & echo $! > ${pidFile}; wait`, 1);
    assert.ok(result instanceof Refusal && /longer than 1 s/.test(result.message), String(result));
    assert.ok(seconds < 9, `${seconds} s`);
    assert.ok(!lives());
  });

  it("that is interrupted after its shell ended still takes its background with it", async () => {
    const abort = new AbortController();
    const running = run(`sleep 25 & echo $! > ${pidFile}; echo deployed`, 20, abort.signal);
    await sleep(400);
    abort.abort();
    const { result, seconds } = await running;
    assert.ok(result instanceof Interrupted, String(result));
    assert.ok(seconds < 12, `${seconds} s`);
    assert.ok(!lives());
  });

  it("may echo secrets of its environment: they are masked on both outputs and in the result", async () => {
    const secrets = { BACKUP_PASSPHRASE: "correct horse battery", SUPABASE_SERVICE_ROLE_KEY: "service/role+key" };
    const integrationCommand = 'echo "out $BACKUP_PASSPHRASE"; echo "err $SUPABASE_SERVICE_ROLE_KEY" >&2';
    const { code, stdout, stderr } = await runCli(["test:integration", "--json"], {
      ...secrets,
      DBPROTECT_SETTINGS: JSON.stringify({ integrationCommand }),
    });
    assert.equal(code, 0, stderr);
    assert.match(stderr, /err \[redacted\]/);
    assert.match(stdout, /out \[redacted\]/);
    for (const secret of Object.values(secrets)) assert.ok(!`${stdout}${stderr}`.includes(secret), secret);
  });
});

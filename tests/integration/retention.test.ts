/** Listing and pruning real stores: what is there is seen as it is, and what goes, goes whole or is no backup. */
import assert from "node:assert/strict";
import { PutObjectRetentionCommand, S3Client } from "@aws-sdk/client-s3";
import { Unavailable } from "../../scripts/contract/failure";
import { setFreeze } from "../../scripts/control/freeze";
import { acquireLease } from "../../scripts/control/lease";
import type { Manifest } from "../../scripts/backup/manifest";
import { writeReceipt } from "../../scripts/record/receipt";
import { recordEvent } from "../../scripts/record/releaseEvents";
import { readInventory } from "../../scripts/retention/inventory";
import type { RetentionRules } from "../../scripts/retention/plan";
import { type PruneInput, planPrune, prune } from "../../scripts/retention/prune";
import { chooseScheduledTier } from "../../scripts/retention/scheduledTier";
import { retentionSettingsSchema } from "../../scripts/settings";
import { encodeDocument } from "../../scripts/store/documents";
import {
  type RetentionTier,
  backupPrefix,
  backupTime,
  compactUtc,
  manifestKey,
  suspectMarkKey,
  verificationKey,
} from "../../scripts/store/layout";
import { S3Store } from "../../scripts/store/s3Store";
import type { Store } from "../../scripts/store/store";
import type { VerificationResult } from "../../scripts/verification/verificationResult";
import { receiptOf } from "../servers/receipts";
import { runCli } from "../servers/cli";
import { sharedSeaweed } from "../servers/seaweedfs";
import { storeKinds, useTestBucket } from "../servers/stores";

const day = 86_400_000;
const database = { host: "db", port: 5432, database: "crm", systemIdentifier: "1", serverVersion: 170_000 };

/** The newest one of the day, the others so many days before it. */
function nameOf(daysAgo: number): string {
  const time = new Date(Date.now() - 60_000 - daysAgo * day);
  return `backup_${compactUtc(time).replace("T", "_").slice(0, 15)}`;
}

function manifestOf(tier: RetentionTier, name: string): Manifest {
  const at = new Date().toISOString();
  return {
    schemaVersion: 1,
    name,
    tier,
    runId: "r",
    database,
    databaseBytes: 1,
    encoding: "UTF8",
    collate: "C",
    ctype: "C",
    clientVersion: "17",
    snapshot: { id: "1", visibility: "1:1:", lsn: "0/1", takenAt: at },
    roles: [],
    extensions: [],
    tables: [{ schema: "public", name: "t", rows: 7, checksum: "1", coverage: "content" }],
    archives: [],
    fingerprint: { file: "fingerprint.ndjson.zst", bytes: 1, sha256: "00" },
    startedAt: at,
    finishedAt: at,
  } as unknown as Manifest;
}

/** A backup as a run leaves it: archives, the manifest unless it failed, the verification unless that failed. */
async function put(
  store: Store,
  daysAgo: number,
  how: { tier?: RetentionTier; manifest?: Buffer | null; depth?: number } = {},
): Promise<string> {
  const { tier = "daily", manifest, depth = 4 } = how;
  const name = nameOf(daysAgo);
  for (const file of ["data-000.dump.zst", "fingerprint.ndjson.zst"])
    await store.create(`${backupPrefix(tier, name)}${file}`, Buffer.from("archive"));
  if (manifest === null) return name;
  await store.create(manifestKey(tier, name), manifest ?? encodeDocument(manifestOf(tier, name)));
  if (depth > 0) await store.create(verificationKey(name, "20260101T000000Z-r", depth), encodeDocument({}));
  return name;
}

async function putReceipt(store: Store, runId: string, backup: string): Promise<string> {
  const at = new Date().toISOString();
  return writeReceipt(
    store,
    receiptOf({
      ...{ runId, stack: "crm/prod", database, at },
      backup: { tier: "daily", name: backup, depth: 4, restoreSeconds: 1, rpoSeconds: null },
    }),
  );
}

const rules: RetentionRules = {
  ...retentionSettingsSchema.parse({ daily: { newest: 2, days: 2 }, floor: 1, removal: "delete" }),
  depth: 4,
};

const inputOf = (store: Store, other: Partial<PruneInput> = {}): PruneInput => ({ store, rules, runId: "p", ...other });

async function namesIn(store: Store): Promise<string[]> {
  return [...new Set((await store.list("backups/")).map(({ key }) => key.split("/")[2] ?? ""))];
}

for (const { kind, make } of storeKinds)
  describe(`retention in a ${kind} store`, function () {
    this.timeout(60_000);

    it("sees every backup as it is: complete, incomplete, damaged, suspect, how deep", async () => {
      const store = await make();
      const torn = await put(store, 6, { manifest: Buffer.from('{"schemaVersion":1') });
      const foreign = await put(store, 5, { manifest: encodeDocument(manifestOf("daily", "backup_20200101_000000")) });
      const unfinished = await put(store, 4, { manifest: null });
      const shallow = await put(store, 3, { tier: "manual", depth: 3 });
      const good = await put(store, 2);
      const suspect = await put(store, 1, { tier: "predeploy", depth: 0 });
      await store.create(suspectMarkKey(suspect, "20260101T000000Z-1"), encodeDocument({}));
      await store.create("backups/readme.txt", Buffer.from("not ours"));
      const found = await readInventory(store);
      assert.deepEqual(
        found.map(({ name, state, depth, suspect: isSuspect, rows }) => [name, state, depth, isSuspect, rows]),
        [
          [torn, "damaged", 4, false, null],
          [foreign, "damaged", 4, false, null],
          [unfinished, "incomplete", 0, false, null],
          [shallow, "complete", 3, false, 7],
          [good, "complete", 4, false, 7],
          [suspect, "complete", 0, true, 7],
        ],
      );
      assert.match(found[0]?.problem ?? "", /damaged or of another version/);
      assert.match(found[1]?.problem ?? "", /is that of daily\/backup_20200101_000000/);
      assert.equal(found[2]?.bytes, 14);
    });

    it("chooses a schedule's tier by what succeeded: after a failed first one the next takes its place", async () => {
      const store = await make();
      const now = new Date();
      for (const how of [{ manifest: null }, { depth: 0 }])
        await put(store, how.depth ?? 0.001, { tier: "monthly", ...how });
      assert.equal(await chooseScheduledTier(store, now), "monthly");
      const suspect = await put(store, 0.002, { tier: "monthly" });
      await store.create(suspectMarkKey(suspect, "20260101T000000Z-1"), encodeDocument({}));
      assert.equal(await chooseScheduledTier(store, now), "monthly");
      const good = await put(store, 0.003, { tier: "monthly", depth: 1 });
      assert.equal(await chooseScheduledTier(store, backupTime(good)!), "daily");
    });

    it("removes what is past its promise and what runs left behind, and nothing that a repair may need", async () => {
      const store = await make();
      const days = [30, 29, 28, 27, 10, 9, 1, 0];
      const names: string[] = [];
      for (const daysAgo of days) names.push(await put(store, daysAgo, daysAgo === 10 ? { manifest: null } : {}));
      const [open, , verified] = names;
      const receiptSha256 = await putReceipt(store, "20260101T000000Z-a", open!);
      const run = { runId: "20260101T000000Z-a", releaseVersion: "v1", stack: "crm/prod", receiptSha256 };
      await recordEvent(store, run, "gate-passed", "");
      const closed = { ...run, runId: "20260101T000000Z-b" };
      await recordEvent(
        store,
        { ...closed, receiptSha256: await putReceipt(store, closed.runId, verified!) },
        "verified",
        "",
      );
      const input = inputOf(store);
      const plan = await planPrune(input);
      assert.equal(plan.refusal, null);
      const { removed, stayed } = await prune(input, plan);
      assert.deepEqual(removed, [names[1], names[2], names[3], names[4], names[5]]);
      assert.deepEqual(stayed, []);
      assert.deepEqual(await namesIn(store), [open, names[6], names[7]]);
    });

    it("yields to a release, also to one that begins meanwhile, and to a failed verification", async () => {
      const store = await make();
      const names: string[] = [];
      for (const daysAgo of [12, 11, 10, 1, 0]) names.push(await put(store, daysAgo));
      const gate = await acquireLease(store, { stack: "crm/prod", runId: "run-1" });
      const plan = await planPrune(inputOf(store));
      await assert.rejects(prune(inputOf(store), plan), (error) => {
        assert.ok(error instanceof Unavailable);
        assert.match(error.message, /a release is under way: run run-1 of crm\/prod/);
        return true;
      });
      assert.deepEqual(await namesIn(store), names);
      await gate.release();

      const stop = new AbortController();
      const onProgress = (): void => stop.abort(new Error("interrupted"));
      await assert.rejects(prune(inputOf(store, { signal: stop.signal, onProgress }), plan), /interrupted/);
      assert.deepEqual(await namesIn(store), names.slice(1), "one went, then it was interrupted");
      await putReceipt(store, "20260101T000000Z-f", names[4]!);
      await setFreeze(store, {
        kind: "failed-verification",
        runId: "20260101T000000Z-f",
        reason: "rows are missing",
        person: null,
        missingRows: {},
      });
      await assert.rejects(prune(inputOf(store), plan), /a verification failed/);
      assert.deepEqual(await namesIn(store), names.slice(1));
    });

    it("leaves no backup without archives when it dies on the way; the next run finishes", async () => {
      const store = await make();
      const [old, ...kept] = [await put(store, 20), await put(store, 1), await put(store, 0)];
      const dying = new Proxy(store, {
        get: (target, name) => {
          if (name === "remove")
            return async (key: string): Promise<void> => {
              if (!key.endsWith("manifest.json")) throw new Unavailable("the connection is gone");
              await target.remove(key);
            };
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === "function" ? (value.bind(target) as unknown) : value;
        },
      });
      const plan = await planPrune(inputOf(store));
      await assert.rejects(prune(inputOf(dying), plan), /the connection is gone/);
      const left = (await readInventory(store)).find(({ name }) => name === old);
      assert.deepEqual([left?.state, left?.keys.length], ["incomplete", 2]);
      assert.deepEqual((await prune(inputOf(store), await planPrune(inputOf(store)))).removed, [old]);
      assert.deepEqual(await namesIn(store), kept);
    });
  });

describe("retention in a bucket", function () {
  this.timeout(60_000);

  it("tags by default; what is tagged counts as gone, and what an interruption left is tagged too", async () => {
    const [, s3] = storeKinds;
    const store = await s3!.make();
    const names: string[] = [];
    for (const daysAgo of [20, 19, 1, 0]) names.push(await put(store, daysAgo));
    // An interrupted run: only the manifest is tagged.
    await store.expire(manifestKey("daily", names[0]!));
    const input = inputOf(store, { rules: { ...rules, removal: "tag" } });
    const plan = await planPrune(input);
    assert.match(plan.remove[0]?.why ?? "", /tagged already/);
    assert.deepEqual((await prune(input, plan)).removed, [names[0], names[1]]);
    for (const { key } of await store.list("backups/")) {
      const expected = names.slice(0, 2).some((name) => key.includes(name));
      assert.equal((await store.removability(key))?.expiring, expected, key);
    }
    assert.equal((await planPrune({ ...input, rules: { ...input.rules, floor: 3 } })).keep.length, 2);
  });

  it("leaves alone what object lock keeps, though only an archive of it is locked", async () => {
    await useTestBucket();
    const server = await sharedSeaweed();
    await server.createBucket("dbp-retention-locked", { objectLock: true });
    const store = new S3Store({ bucket: "dbp-retention-locked", prefix: "crm" });
    const names: string[] = [];
    for (const daysAgo of [20, 19, 1, 0]) names.push(await put(store, daysAgo));
    const lock = async (name: string, file: string): Promise<void> => {
      const { endpoint, region, accessKey, secretKey } = server;
      const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey };
      const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials });
      await client.send(
        new PutObjectRetentionCommand({
          Bucket: "dbp-retention-locked",
          Key: `crm/${backupPrefix("daily", name)}${file}`,
          Retention: { Mode: "GOVERNANCE", RetainUntilDate: new Date(Date.now() + day) },
        }),
      );
      client.destroy();
    };
    await lock(names[0]!, "manifest.json");
    await lock(names[1]!, "data-000.dump.zst");
    const plan = await planPrune(inputOf(store));
    assert.match(plan.keep.find(({ backup }) => backup.name === names[0])?.why ?? "", /^locked until /);
    const { removed, stayed } = await prune(inputOf(store), plan);
    assert.deepEqual(removed, []);
    assert.deepEqual(
      stayed.map(({ backup }) => backup.name),
      [names[1]],
    );
    assert.deepEqual(await namesIn(store), names);
  });
});

describe("db:list and db:prune", function () {
  this.timeout(60_000);

  it("list what is there, show what would go, and remove it only when told to", async () => {
    const store = await storeKinds[0]!.make();
    const env = {
      BACKUP_STORE: store.url,
      DBPROTECT_SETTINGS: JSON.stringify({ retention: { daily: rules.daily, floor: 1 } }),
    };
    const [old, , newest] = [await put(store, 20), await put(store, 1), await put(store, 0)];
    const listed = await runCli(["db:list"], env);
    assert.equal(listed.code, 0, listed.stderr);
    assert.match(listed.stdout, new RegExp(`${old} +daily +20 d +0 +4 +-`));
    assert.doesNotMatch(listed.stderr, /RTO/);
    const dry = await runCli(["db:prune"], env);
    assert.equal(dry.code, 0, dry.stderr);
    assert.match(dry.stdout, new RegExp(`${old} .*remove +past what daily promises`));
    assert.match(dry.stdout, /dry run: --yes deletes 1 of 3 in file:/);
    assert.equal((await namesIn(store)).length, 3);
    const done = await runCli(["db:prune", "--yes", "--json"], env);
    assert.equal(done.code, 0, done.stderr);
    assert.equal((await namesIn(store)).length, 2);
    const again = await runCli(["db:prune", "--yes"], env);
    assert.match(again.stdout, /nothing to remove/);

    await put(store, -0.0005, { depth: 0 });
    const refused = await runCli(["db:prune", "--yes", "--json"], env);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /the newest attempt, backup_\w+, was verified to depth 0 only, not 4/);
    const [{ refusal, removed }] = JSON.parse(refused.stdout).stores;
    assert.match(refusal, /the newest attempt/);
    assert.deepEqual(removed, []);
    assert.ok((await namesIn(store)).includes(newest));
  });

  it("say how long a restore will take, scaled to each backup, and warn of what is over the target", async () => {
    const store = await storeKinds[0]!.make();
    const putSized = async (daysAgo: number, databaseBytes: number): Promise<string> => {
      const name = await put(store, daysAgo, { manifest: null });
      const manifest = { ...manifestOf("daily", name), databaseBytes };
      await store.create(manifestKey("daily", name), encodeDocument(manifest));
      return name;
    };
    const [small, large] = [await putSized(1, 100e6), await putSized(0, 200e6)];
    const verification: VerificationResult = {
      ...{ schemaVersion: 1, backup: small, depth: 4, verdict: "verified", restoreSeconds: 200 },
      ...{ tables: 1, rows: 7, notes: [], store: null, manifestSha256: null, at: new Date().toISOString() },
    };
    await store.create(verificationKey(small, "20260102T000000Z-r", 4), encodeDocument(verification));
    const listed = await runCli(["db:list"], { BACKUP_STORE: store.url });
    assert.match(listed.stdout, new RegExp(`${small} +daily .* 4 min`));
    assert.match(listed.stdout, new RegExp(`${large} +daily .* 7 min`));
    assert.match(listed.stderr, /WARNING: the expected RTO, about 7 min, is over the target of 5 min \(rtoMinutes\)/);
    const enough = { BACKUP_STORE: store.url, DBPROTECT_SETTINGS: JSON.stringify({ rtoMinutes: 7 }) };
    assert.doesNotMatch((await runCli(["db:list"], enough)).stderr, /RTO/);
  });

  it("take each of several stores by itself, and say when one beside the first is not to be reached", async () => {
    const [first, second] = [await storeKinds[0]!.make(), await storeKinds[0]!.make()];
    const env = {
      BACKUP_STORE: `${first.url} optional:${second.url}`,
      DBPROTECT_SETTINGS: JSON.stringify({ retention: { daily: rules.daily, floor: 1 } }),
    };
    const days = [20, 1, 0];
    const names: string[] = [];
    for (const daysAgo of days) names.push(await put(first, daysAgo));
    // Lost for the last two runs, the second store may let nothing go: its only backup is its last.
    const kept = await put(second, 20);
    const listed = JSON.parse((await runCli(["db:list", "--json"], env)).stdout).stores;
    assert.deepEqual(
      listed.map(({ store, backups }: { store: string; backups: unknown[] }) => [store, backups.length]),
      [
        [first.url, 3],
        [second.url, 1],
      ],
    );
    const run = await runCli(["db:prune", "--yes"], env);
    assert.equal(run.code, 0, run.stderr);
    assert.deepEqual([await namesIn(first), await namesIn(second)], [names.slice(1), [kept]]);
    const unreachable = { ...env, BACKUP_STORE: `${first.url} optional:s3://dbp-nobody/x?endpoint=http://127.0.0.1:1` };
    const lists = await runCli(["db:list"], {
      ...unreachable,
      ...{ AWS_REGION: "us-east-1", AWS_ACCESS_KEY_ID: "x", AWS_SECRET_ACCESS_KEY: "secret-y", AWS_MAX_ATTEMPTS: "1" },
    });
    assert.equal(lists.code, 0, lists.stderr);
    assert.match(lists.stdout, /s3:\/\/dbp-nobody\/x\nstore .* cannot reach 127\.0\.0\.1:1/);
  });
});

/** Several locations of one database's backups: what differs is named, what is missing is copied, whole or not at all. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Manifest } from "../../scripts/backup/manifest";
import { Damage, Interrupted, UsageError } from "../../scripts/contract/failure";
import { type Comparison, compareStores } from "../../scripts/replication/compareStores";
import { planSync, syncStores } from "../../scripts/replication/syncStores";
import { encodeDocument, sha256Of } from "../../scripts/store/documents";
import { backupPrefix, compactUtc, manifestKey, suspectMarkKey, verificationKey } from "../../scripts/store/layout";
import { type Store, readBytes } from "../../scripts/store/store";
import { claimStore } from "../../scripts/store/storeIdentity";
import { runCli } from "../servers/cli";
import { sharedSeaweed } from "../servers/seaweedfs";
import { storeKinds } from "../servers/stores";

const database = { systemIdentifier: "7412345678901234567", name: "crm" };
const [folders, buckets] = [storeKinds[0]!, storeKinds[1]!];

/** Its files' contents are random: what this test is about is bytes, not rows. */
async function put(store: Store, daysAgo: number, fileBytes = 1000): Promise<{ name: string; prefix: string }> {
  const at = new Date(Date.now() - daysAgo * 86_400_000);
  const name = `backup_${compactUtc(at).replace("T", "_").slice(0, 15)}`;
  const prefix = backupPrefix("daily", name);
  const write = async (file: string) => {
    const body = randomBytes(fileBytes);
    await store.create(`${prefix}${file}`, body);
    return { file, bytes: body.length, uncompressedBytes: body.length, sha256: sha256Of(body) };
  };
  const manifest = {
    ...{ schemaVersion: 1, name, tier: "daily", runId: "r", databaseBytes: 1 },
    database: { host: "db", port: 5432, database: "crm", systemIdentifier: "1", serverVersion: 170_000 },
    ...{ encoding: "UTF8", collate: "C", ctype: "C", clientVersion: "17", roles: [], extensions: [], tables: [] },
    snapshot: { id: "1", visibility: "1:1:", lsn: "0/1", takenAt: at.toISOString() },
    archives: [{ ...(await write("data-000.dump.zst")), format: "custom", section: "data" }],
    fingerprint: await write("fingerprint.ndjson.zst"),
    ...{ startedAt: at.toISOString(), finishedAt: at.toISOString() },
  } as unknown as Manifest;
  await store.create(manifestKey("daily", name), encodeDocument(manifest));
  return { name, prefix };
}

async function synchronise(...stores: Store[]): Promise<void> {
  await syncStores(await planSync(await compareStores(stores, { look: "sizes" })));
}

const found = ({ differences }: Comparison): string[] =>
  differences.map(({ store, object, kind }) => `${store} ${object} ${kind}`);

/** Overwrites what a folder's store wrote once, as a decaying disk does. */
function decay(store: Store, key: string): void {
  const path = fileURLToPath(`${store.url}/${key}`);
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  chmodSync(path, 0o640);
  writeFileSync(path, bytes);
}

describe("several locations", function () {
  this.timeout(60_000);

  it("are filled from each other, and are then proven to hold the same", async () => {
    const [first, second] = [await folders.make(), await buckets.make()];
    await claimStore(first, database);
    const [here, there] = [await put(first, 2), await put(second, 1, 6_000_000)];
    await first.create(verificationKey(here.name, "20260101T000000Z-r", 4), encodeDocument({}));
    await first.create(verificationKey(there.name, "20260101T000000Z-r", 4), encodeDocument({}));
    await second.create(suspectMarkKey(there.name, "20260101T000000Z-1"), encodeDocument({}));
    const before = await compareStores([first, second]);
    assert.deepEqual(found(before), [
      `${second.url} daily/${here.name} missing`,
      `${first.url} daily/${there.name} missing`,
      `${first.url} ${suspectMarkKey(there.name, "20260101T000000Z-1")} missing`,
    ]);
    await synchronise(first, second);
    const after = await compareStores([first, second]);
    assert.deepEqual([found(after), after.equal], [[], 2]);
    for (const key of (await first.list(""))
      .map((object) => object.key)
      .filter((each) => !each.startsWith("control/"))) {
      // Nobody can know that the verification of a backup that the first one lacked spoke of the second one's bytes.
      if (key === verificationKey(there.name, "20260101T000000Z-r", 4)) continue;
      assert.ok((await readBytes(second, key)).equals(await readBytes(first, key)), key);
    }
    const again = await planSync(after);
    assert.deepEqual([again.backups, again.unclaimed], [[], []]);
  });

  it("differ where a byte decayed, a file is gone, or a manifest is another; sizes alone do not tell the first", async () => {
    const [first, second] = [await folders.make(), await folders.make()];
    const [decayed, torn, forged] = [await put(first, 3), await put(first, 2), await put(first, 1)];
    await synchronise(first, second);
    decay(second, `${decayed.prefix}data-000.dump.zst`);
    rmSync(fileURLToPath(`${second.url}/${torn.prefix}data-000.dump.zst`));
    const manifest = fileURLToPath(`${second.url}/${forged.prefix}manifest.json`);
    chmodSync(manifest, 0o640);
    writeFileSync(manifest, readFileSync(manifest, "utf8").replace('"r"', '"x"'));
    const [tornLine, forgedLine] = [
      `${second.url} daily/${torn.name} unreadable`,
      `${second.url} daily/${forged.name} different`,
    ];
    const decayedLine = `${second.url} daily/${decayed.name} unreadable`;
    assert.deepEqual(found(await compareStores([first, second])), [decayedLine, tornLine, forgedLine]);
    assert.deepEqual(found(await compareStores([first, second], { look: "sizes" })), [tornLine, forgedLine]);
    await synchronise(first, second);
    assert.deepEqual(
      found(await compareStores([first, second])),
      [decayedLine, forgedLine],
      "a file is added, nothing replaced",
    );
  });

  it("never take over what decayed at its source: no manifest follows", async () => {
    const [first, second] = [await folders.make(), await buckets.make()];
    const { prefix } = await put(first, 2, 6_000_000);
    const whole = await put(first, 1);
    const plan = await planSync(await compareStores([first, second], { look: "sizes" }));
    decay(first, `${prefix}fingerprint.ndjson.zst`);
    await assert.rejects(
      syncStores(plan),
      (error) => error instanceof Damage && /fingerprint.* does not have its checksum: not copied/.test(error.message),
    );
    assert.deepEqual(
      (await second.list(prefix)).map(({ key }) => key),
      [`${prefix}data-000.dump.zst`],
    );
    // The others are copied all the same.
    assert.ok((await second.list(whole.prefix)).some(({ key }) => key.endsWith("manifest.json")));
  });

  it("go on where a killed run ended, and refuse what somebody else left in a backup's place", async () => {
    const [first, second] = [await folders.make(), await folders.make()];
    const [cut, blocked] = [await put(first, 2), await put(first, 1)];
    const interrupt = new AbortController();
    const cutting: Store = Object.create(second, {
      create: {
        value: async (key: string, ...rest: [Buffer]) => {
          if (key.includes("fingerprint")) interrupt.abort(new Interrupted("SIGTERM"));
          return second.create(key, ...rest);
        },
      },
      read: { value: (key: string) => second.read(key) },
    }) as Store;
    const plan = await planSync(await compareStores([first, second], { look: "sizes" }));
    const [one] = plan.backups;
    await assert.rejects(
      syncStores({ ...plan, backups: [{ ...one!, to: cutting }] }, { signal: interrupt.signal }),
      Interrupted,
    );
    assert.deepEqual(
      (await second.list(cut.prefix)).map(({ key }) => key),
      [`${cut.prefix}data-000.dump.zst`],
    );
    await second.create(`${blocked.prefix}data-000.dump.zst`, randomBytes(1000));
    await assert.rejects(
      synchronise(first, second),
      (error) => error instanceof Damage && /is another file than the backup's/.test(error.message),
    );
    assert.deepEqual(found(await compareStores([first, second])), [`${second.url} daily/${blocked.name} missing`]);
  });

  it("that are no stores yet are not called the same: an address was misspelt", async () => {
    const nowhere = [await folders.make(), await folders.make()];
    await assert.rejects(compareStores(nowhere), (error: unknown) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /^found no store\.json in \S+ and \S+: expected stores that hold backups$/);
      return true;
    });
  });

  it("that belong to different databases are never mixed; one alone is nothing to compare", async () => {
    const [first, second] = [await folders.make(), await folders.make()];
    await claimStore(first, database);
    await claimStore(second, { ...database, name: "shop" });
    await assert.rejects(compareStores([first, second]), UsageError);
    await assert.rejects(compareStores([first]), UsageError);
  });

  it("by hand: asks before it copies, and says by its exit code what is the case", async () => {
    const [first, second] = [await folders.make(), await buckets.make()];
    const { name } = await put(first, 1);
    const env = { ...(await sharedSeaweed()).env, BACKUP_STORE: `${first.url} optional:${second.url}` };
    const differ = await runCli(["store:compare", "--json"], env);
    assert.equal(differ.code, 1, differ.stderr);
    assert.equal(JSON.parse(differ.stdout).differences[0].kind, "missing");
    const unasked = await runCli(["store:sync"], env);
    assert.equal(unasked.code, 2);
    assert.match(unasked.stderr, new RegExp(`daily/${name} .*file:.* s3:`));
    const copied = await runCli(["store:sync", "--yes"], env);
    assert.equal(copied.code, 0, copied.stderr);
    const same = await runCli(["store:compare", first.url, second.url], env);
    assert.equal(same.code, 0, same.stderr);
    assert.match(same.stdout, /1 backups are the same in 2 stores \(every checksum read\)/);
    const listed = await runCli(["db:list"], env);
    assert.match(listed.stdout, new RegExp(`^1 {2}file:[^]*${name} .* 1 2\\n[^]*^2 {2}s3:`, "m"));
    const lost = { ...env, BACKUP_STORE: `${first.url} optional:${second.url}?endpoint=http://127.0.0.1:1` };
    const unreachable = await runCli(["store:compare"], lost);
    assert.equal(unreachable.code, 3, unreachable.stderr);
    assert.match(unreachable.stdout, /NOT COMPARED: .*127\.0\.0\.1:1/);
    const pruned = await runCli(["db:prune"], lost);
    assert.match(pruned.stderr, /warning: nothing of the optional store s3:.* is pruned/);
    assert.equal(pruned.code, 1, "the first one is judged all the same");
  });
});

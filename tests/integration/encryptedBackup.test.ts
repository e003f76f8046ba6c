/** Encrypted backups from end to end: taken without the private key, verified and restored only with it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { zstdDecompressSync } from "node:zlib";
import { Decrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { fileKey, listBackups, readManifest } from "../../scripts/backup/manifest";
import { openStore } from "../../scripts/store/openStore";
import { runCli } from "../servers/cli";
import { damageFile } from "../servers/damageFile";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";

describe("an encrypted backup", function () {
  this.timeout(120_000);
  after(closeCrmClients);

  it("needs the private key for whatever reads it, and nothing else", async () => {
    const identity = await generateX25519Identity();
    const recipient = await identityToRecipient(identity);
    const storeUrl = freshStore();
    const { url } = await freshCrm(200);
    const host = { DATABASE_URL: url, BACKUP_STORE: storeUrl, BACKUP_AGE_RECIPIENT: recipient };

    const demanding = await runCli(["db:backup"], host);
    assert.equal(demanding.code, 2, demanding.stderr);
    assert.match(demanding.stderr, /^error: BACKUP_AGE_IDENTITY: found nothing: at depth 4 .* private key of age1/m);
    const taken = await runCli(["db:backup", "--tier", "scheduled", "--depth", "1"], host);
    assert.equal(taken.code, 0, taken.stderr);
    assert.match(taken.stdout, /\(monthly\)/);

    const store = openStore(storeUrl);
    const [backup] = await listBackups(store);
    const manifest = await readManifest(store, backup!);
    assert.deepEqual(manifest.encryption, { format: "age", recipients: [recipient] });
    const files = [...manifest.archives, manifest.fingerprint].map(({ file }) => file);
    assert.ok(
      files.every((file) => file.endsWith(".zst.age")),
      files.join(),
    );
    assert.ok(manifest.tables.length > 0 && manifest.tables.every(({ checksum }) => checksum === null));
    const path = (file: string): string => join(fileURLToPath(storeUrl), fileKey(backup!, file));
    const decrypter = new Decrypter();
    decrypter.addIdentity(identity);
    const roles = await decrypter.decrypt(readFileSync(path("roles.sql.zst.age")));
    assert.match(zstdDecompressSync(roles).toString(), /PostgreSQL database cluster dump complete/);

    const verify = (env: Record<string, string>, depth = "4"): ReturnType<typeof runCli> =>
      runCli(["db:verify", "latest", "--depth", depth], { BACKUP_STORE: storeUrl, ...env });
    assert.equal((await verify({}, "1")).code, 0);
    const without = await verify({}, "3");
    assert.deepEqual([without.code, /BACKUP_AGE_IDENTITY: found nothing/.test(without.stderr)], [2, true]);
    const foreign = await generateX25519Identity();
    const wrong = await verify({ BACKUP_AGE_IDENTITY: foreign });
    assert.equal(wrong.code, 2, wrong.stderr);
    assert.ok(!wrong.stderr.includes(foreign), "the key was printed");
    const right = await verify({ BACKUP_AGE_IDENTITY: identity });
    assert.equal(right.code, 0, right.stderr);
    assert.match(right.stdout, /depth 4 \(verified: restored and equal to its snapshot\)/);

    const listed = JSON.parse((await runCli(["db:list", "--json"], { BACKUP_STORE: storeUrl })).stdout);
    const [{ encrypted, depth }] = listed.stores[0].backups;
    assert.deepEqual([encrypted, depth], [true, 4]);

    const preview = await runCli(["gate", "preview"], { ...host, SUPABASE_URL: "x" });
    assert.match(JSON.parse(preview.stdout).message, /BACKUP_AGE_IDENTITY: found nothing: the gate reads/);

    damageFile(path(files.find((file) => file.startsWith("data"))!));
    const damaged = await verify({ BACKUP_AGE_IDENTITY: identity }, "3");
    assert.equal(damaged.code, 4, damaged.stderr);
  });
});

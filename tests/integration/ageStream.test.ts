/** Encrypted objects: whole or told as damaged, opened by the right key only, and by other implementations of age. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { zstdDecompressSync } from "node:zlib";
import {
  Decrypter,
  Encrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from "age-encryption";
import { AgeDamage, NoIdentityFits, decryptWith, encryptTo } from "../../scripts/backup/ageStream";
import { readVerified, storeCompressed } from "../../scripts/backup/archiveStream";
import { demandIdentity, readIdentities, readRecipients } from "../../scripts/backup/ageKeys";
import { Damage, UsageError } from "../../scripts/contract/failure";
import { openStore } from "../../scripts/store/openStore";
import { freshStore } from "../servers/crm";
import { temporaryFolder } from "../servers/stores";

interface Pair {
  readonly identity: string;
  readonly recipient: string;
}

async function newPair(make = generateX25519Identity): Promise<Pair> {
  const identity = await make();
  return { identity, recipient: await identityToRecipient(identity) };
}

const encrypted = (plain: Buffer, recipients: readonly string[]): Promise<Buffer> =>
  buffer(Readable.from(pieces(plain)).pipe(encryptTo(recipients)));

const decrypted = (bytes: Buffer, identities: readonly string[], piece?: number): Promise<Buffer> => {
  const source = Readable.from(pieces(bytes, piece));
  const stage = decryptWith(identities);
  source.on("error", (error) => stage.destroy(error));
  return buffer(source.pipe(stage));
};

/** In pieces that fit no chunk. */
function* pieces(bytes: Buffer, size = 50_021): Generator<Buffer> {
  for (let place = 0; place < bytes.length; place += size) yield bytes.subarray(place, place + size);
}

const chunk = 64 * 1024;

describe("the age stream", function () {
  this.timeout(30_000);
  let key: Pair;
  let other: Pair;

  before(async () => {
    [key, other] = [await newPair(), await newPair(generateHybridIdentity)];
  });

  for (const size of [0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk, 1_000_003])
    it(`comes back whole, also by typage, and reads what typage wrote: ${size} bytes`, async () => {
      const plain = randomBytes(size);
      const ours = await encrypted(plain, [other.recipient, key.recipient]);
      assert.ok((await decrypted(ours, [key.identity])).equals(plain));
      assert.ok((await decrypted(ours, [other.identity], 7_001)).equals(plain));
      const typage = new Decrypter();
      typage.addIdentity(key.identity);
      assert.ok(plain.equals(await typage.decrypt(ours)));
      const encrypter = new Encrypter();
      encrypter.addRecipient(key.recipient);
      const theirs = Buffer.from(await encrypter.encrypt(plain));
      assert.ok((await decrypted(theirs, [key.identity])).equals(plain));
    });

  it("notices a changed bit and a cut anywhere, and tells a wrong key from both", async () => {
    const bytes = await encrypted(randomBytes(3 * chunk + 99), [key.recipient]);
    for (const place of [3, 60, 150, 200, 300, chunk, 2 * chunk, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed[place]! ^= 1;
      await assert.rejects(decrypted(changed, [key.identity]), (error) => {
        assert.ok(error instanceof AgeDamage || error instanceof NoIdentityFits, `byte ${place}: ${String(error)}`);
        return true;
      });
    }
    for (const left of [0, 10, 100, 250, chunk, chunk + 200 + 16 + 16, bytes.length - 16, bytes.length - 1])
      await assert.rejects(decrypted(bytes.subarray(0, left), [key.identity]), AgeDamage, `${left} bytes`);
    // Whole chunks only, but the last one is missing.
    const header = bytes.length - (3 * (chunk + 16) + 99 + 16);
    await assert.rejects(decrypted(bytes.subarray(0, header + 2 * (chunk + 16)), [key.identity]), AgeDamage);
    await assert.rejects(decrypted(bytes, [other.identity]), NoIdentityFits);
    await assert.rejects(decrypted(Buffer.from("no age file\n"), [key.identity]), AgeDamage);
  });
});

describe("an encrypted archive", function () {
  this.timeout(30_000);
  let key: Pair;
  const name = "backups/manual/backup_20260101_000000/data-000.dump.zst.age";

  before(async () => {
    key = await newPair();
  });
  afterEach(() => delete process.env["BACKUP_AGE_IDENTITY"]);

  const discard = (): Writable => new Writable({ write: (_chunk, _encoding, done) => done() });

  it("is zstd within age, read only with its key (2), damage is told from a wrong key (4)", async () => {
    const storeUrl = freshStore();
    const store = openStore(storeUrl);
    const plain = Buffer.concat([randomBytes(300_000), Buffer.alloc(500_000, "rows ")]);
    const stored = await storeCompressed(store, name, Readable.from([plain]), { recipients: [key.recipient] });
    const path = join(fileURLToPath(storeUrl), name);
    const typage = new Decrypter();
    typage.addIdentity(key.identity);
    assert.ok(zstdDecompressSync(await typage.decrypt(readFileSync(path))).equals(plain));

    const read = async (): Promise<Buffer> => {
      const into: Buffer[] = [];
      const sink = new Writable({ write: (piece: Buffer, _encoding, done) => (into.push(piece), done()) });
      await readVerified(store, name, stored, sink);
      return Buffer.concat(into);
    };
    await assert.rejects(
      read(),
      (error) => error instanceof UsageError && /BACKUP_AGE_IDENTITY: found nothing/.test(error.message),
    );
    process.env["BACKUP_AGE_IDENTITY"] = key.identity;
    assert.ok((await read()).equals(plain));
    process.env["BACKUP_AGE_IDENTITY"] = (await newPair()).identity;
    await assert.rejects(read(), (error) => error instanceof UsageError && /to other keys/.test(error.message));

    const bytes = readFileSync(path);
    const header = bytes.indexOf("\n--- ");
    for (const place of [header - 10, bytes.length / 2]) {
      const changed = Buffer.from(bytes);
      changed[Math.floor(place)]! ^= 1;
      const copy = openStore(freshStore());
      await copy.create(name, changed);
      for (const identity of [key.identity, (await newPair()).identity].slice(0, place === header - 10 ? 2 : 1)) {
        process.env["BACKUP_AGE_IDENTITY"] = identity;
        await assert.rejects(readVerified(copy, name, stored, discard()), Damage);
      }
    }
  });

  it("keys are read from variable or file, and a wrong one is named without being shown", async () => {
    const file = join(temporaryFolder(), "key.txt");
    writeFileSync(file, `# created: 2026-01-01\n# public key: ${key.recipient}\n${key.identity}\n`);
    assert.deepEqual(readIdentities({ BACKUP_AGE_IDENTITY: file }), [key.identity]);
    assert.deepEqual(readIdentities({ BACKUP_AGE_IDENTITY: `${key.identity}\n` }), [key.identity]);
    assert.deepEqual(readIdentities({}), []);
    for (const wrong of ["/no/such/file", key.recipient]) {
      assert.throws(
        () => readIdentities({ BACKUP_AGE_IDENTITY: wrong }),
        (error) => error instanceof UsageError && !error.message.includes(wrong),
      );
    }
    assert.deepEqual(await readRecipients({ BACKUP_AGE_RECIPIENT: ` ${key.recipient}, ${key.recipient}\n` }), [
      key.recipient,
      key.recipient,
    ]);
    for (const wrong of [key.identity, `${key.recipient}x`, "ssh-ed25519 AAAA"]) {
      await assert.rejects(
        readRecipients({ BACKUP_AGE_RECIPIENT: wrong }),
        (error) => error instanceof UsageError && !error.message.includes(key.identity),
      );
    }
  });

  it("what needs the key says so in one line, before it begins", async () => {
    await demandIdentity([], "nothing is encrypted");
    await assert.rejects(
      demandIdentity([key.recipient], "the gate restores its backup"),
      (error) =>
        error instanceof UsageError &&
        error.message ===
          `BACKUP_AGE_IDENTITY: found nothing: the gate restores its backup: expected the private key of ${key.recipient}`,
    );
    const other = await newPair();
    process.env["BACKUP_AGE_IDENTITY"] = other.identity;
    await assert.rejects(demandIdentity([key.recipient], "the gate restores its backup"), UsageError);
    await demandIdentity([key.recipient, other.recipient], "the gate restores its backup");
  });
});

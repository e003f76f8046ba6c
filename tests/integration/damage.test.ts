/** A damaged backup is noticed at the depth that reads it, names the object, and nothing is restored from it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { type FinishedBackup, createBackup } from "../../scripts/backup/createBackup";
import {
  type Archive,
  type BackupReference,
  type Manifest,
  encodeManifest,
  fileKey,
  readManifest,
} from "../../scripts/backup/manifest";
import { Damage, Failure } from "../../scripts/contract/failure";
import { withConnection } from "../../scripts/database/connect";
import { parseTarget } from "../../scripts/database/target";
import type { Fingerprint } from "../../scripts/fingerprint/fingerprint";
import { compareCopy } from "../../scripts/restore/compareCopy";
import { restoreBackup } from "../../scripts/restore/restoreBackup";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import type { Depth } from "../../scripts/verification/verificationResult";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { isCampaign, randomNumbers, seeds } from "../servers/campaign";
import { damageFile, whileWritable } from "../servers/damageFile";
import { freshDatabase } from "../servers/postgres";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";

describe("damage to a stored backup", () => {
  let url: string;
  before(async () => {
    const crm = await freshCrm();
    url = crm.url;
    // Large objects, for pg_dump's archive of rows: half a megabyte that nothing compresses.
    await crm.client.query(
      `SELECT lo_from_bytea(4710 + n, (SELECT string_agg(sha512(int4send(n * 10000 + i)), '') FROM generate_series(1, 2000) i))
         FROM generate_series(1, 4) n`,
    );
  });
  after(closeCrmClients);

  async function backup(): Promise<FinishedBackup & { store: Store; path: (file: string) => string }> {
    const storeUrl = freshStore();
    const store = openStore(storeUrl);
    const finished = await createBackup({ target: parseTarget(url, "test"), store, tier: "manual", runId: "damage" });
    return { ...finished, store, path: (file) => join(fileURLToPath(storeUrl), fileKey(finished.reference, file)) };
  }

  async function noticed(damage: (path: (file: string) => string) => void, depth: Depth, what: RegExp): Promise<void> {
    const { store, reference, path } = await backup();
    await verifyBackup({ store, backup: reference, depth, runId: "whole" });
    damage(path);
    await assert.rejects(
      verifyBackup({ store, backup: reference, depth, runId: "damaged" }),
      (error) => error instanceof Damage && what.test(error.message),
    );
  }

  it("notices one flipped bit of the rows, at depths 3 and 4", async function () {
    this.timeout(60_000);
    await noticed((path) => damageFile(path("data-000.dump.zst")), 3, /data-000\.dump\.zst is damaged/);
    await noticed((path) => damageFile(path("data-000.dump.zst")), 4, /data-000\.dump\.zst is damaged/);
  });

  it("notices roles that cannot be read, at depths 3 and 4, though a restore has no need of them", async function () {
    this.timeout(60_000);
    const zeroed = (path: (file: string) => string): void =>
      whileWritable(path("roles.sql.zst"), (file) => writeFileSync(file, readFileSync(file).fill(0, 8)));
    await noticed(zeroed, 3, /roles\.sql\.zst is damaged/);
    await noticed(zeroed, 4, /roles\.sql\.zst is damaged/);
  });

  it("notices roles that were cut short before they were stored, though every checksum is right", async function () {
    this.timeout(60_000);
    const cutShort = (path: (file: string) => string): void => {
      const sql = zstdDecompressSync(readFileSync(path("roles.sql.zst")));
      const cut = zstdCompressSync(sql.subarray(0, sql.length / 2));
      whileWritable(path("roles.sql.zst"), (file) => writeFileSync(file, cut));
      const { sha256: _, ...manifest } = JSON.parse(readFileSync(path("manifest.json"), "utf8"));
      const sha256 = createHash("sha256").update(cut).digest("hex");
      const archives = (manifest.archives as Archive[]).map((archive) =>
        archive.section === "roles" ? { ...archive, bytes: cut.length, sha256 } : archive,
      );
      whileWritable(path("manifest.json"), (file) => writeFileSync(file, encodeManifest({ ...manifest, archives })));
    };
    await noticed(cutShort, 3, /roles\.sql\.zst is damaged: it does not end/);
    await noticed(cutShort, 4, /roles\.sql\.zst is damaged: it does not end/);
  });

  it("notices a truncated archive already at depth 1", async () => {
    await noticed(
      (path) => whileWritable(path("data-000.dump.zst"), (file) => truncateSync(file, statSync(file).size - 100)),
      1,
      /bytes, expected/,
    );
  });

  it("notices a missing archive already at depth 1", async () => {
    await noticed((path) => rmSync(path("schema-post.dump.zst")), 1, /schema-post\.dump\.zst is missing/);
  });

  it("notices two archives that were swapped", async () => {
    await noticed(
      (path) => {
        const [a, b] = [path("schema-pre.dump.zst"), path("schema-post.dump.zst")];
        renameSync(a, `${a}.swap`);
        renameSync(b, a);
        renameSync(`${a}.swap`, b);
      },
      1,
      /bytes, expected/,
    );
  });

  it("notices a fingerprint that was changed", async () => {
    await noticed((path) => damageFile(path("fingerprint.ndjson.zst")), 4, /fingerprint\.ndjson\.zst is damaged/);
  });

  it("notices the manifest of another backup", async () => {
    const [one, other] = [await backup(), await backup()];
    whileWritable(one.path("manifest.json"), (file) =>
      writeFileSync(file, encodeManifest({ ...other.manifest, name: "backup_20200101_000000" })),
    );
    await assert.rejects(
      verifyBackup({ store: one.store, backup: one.reference, depth: 1, runId: "foreign" }),
      (error) => error instanceof Damage && /is that of/.test(error.message),
    );
  });

  it("notices a manifest in which one value is another", async () => {
    const { store, reference, path } = await backup();
    whileWritable(path("manifest.json"), (file) =>
      writeFileSync(file, readFileSync(file, "utf8").replace('"encoding": "UTF8"', '"encoding": "UTF9"')),
    );
    await assert.rejects(readManifest(store, reference), { exitCode: 4, message: /its SHA-256 is not the one/ });
  });

  it("notices an object that is not the backup's", async () => {
    await noticed(
      (path) => writeFileSync(path("data-999.dump.zst"), ""),
      1,
      /data-999\.dump\.zst is no object of this/,
    );
  });

  it("notices a manifest that is no JSON", async () => {
    const { store, reference, path } = await backup();
    whileWritable(path("manifest.json"), (file) => truncateSync(file, 200));
    await assert.rejects(verifyBackup({ store, backup: reference, depth: 1, runId: "torn" }), Damage);
  });

  describe("in a campaign", function () {
    this.timeout(isCampaign ? 1_800_000 : 180_000);
    const identity = process.env["BACKUP_AGE_IDENTITY"];
    let bases: Base[];

    before(async () => {
      const key = await generateX25519Identity();
      process.env["BACKUP_AGE_IDENTITY"] = key;
      const recipient = await identityToRecipient(key);
      const target = parseTarget(url, "test");
      // Every format of archives, open and encrypted; and of each another one, whose objects look alike.
      const options = { target, tier: "manual", runId: "damage", pieceBytes: 32 * 1024 } as const;
      bases = [];
      for (const recipients of [[], [recipient]]) {
        const storeUrl = freshStore();
        const store = openStore(storeUrl);
        const { reference, manifest, fingerprint } = await createBackup({ ...options, store, recipients });
        const twin = await createBackup({ ...options, store, recipients });
        assert.deepEqual([...new Set(manifest.archives.map(({ format }) => format))].sort(), ["copy", "custom", "sql"]);
        const folder = fileURLToPath(storeUrl);
        bases.push({
          ...{ reference, manifest, fingerprint },
          folder: join(folder, fileKey(reference, "")),
          twin: join(folder, fileKey(twin.reference, "")),
        });
      }
    });
    after(() => {
      if (identity === undefined) delete process.env["BACKUP_AGE_IDENTITY"];
      else process.env["BACKUP_AGE_IDENTITY"] = identity;
    });

    for (const seed of seeds(500)) {
      it(`is noticed, and restores nothing wrong: seed ${seed}`, async () => {
        const random = randomNumbers(seed);
        const base = bases[seed % bases.length]!;
        const storeUrl = freshStore();
        const folder = join(fileURLToPath(storeUrl), fileKey(base.reference, ""));
        cpSync(base.folder, folder, { recursive: true });
        const what = damageBackup(folder, base.twin, damageKinds[Math.floor(seed / 2) % damageKinds.length]!, random);
        const store = openStore(storeUrl);
        const depth = seed % 10 === 0 ? 4 : 3;
        const manifest = join(folder, "manifest.json");
        await assert.rejects(
          verifyBackup({ store, backup: base.reference, depth, runId: `seed-${seed}` }),
          (error) => error instanceof Failure && error.exitCode === (existsSync(manifest) ? 4 : 2),
          `depth ${depth} passes with ${what}`,
        );
        if (isCampaign || seed % 5 === 0) await restoresNothingWrong(store, base, what);
      });
    }

    /** Either it says no, or what it restored is the source: roles and foreign objects are none of its business. */
    async function restoresNothingWrong(store: Store, base: Base, what: string): Promise<void> {
      const copy = parseTarget(await freshDatabase("damaged"), "test");
      try {
        await restoreBackup({ store, manifest: await readManifest(store, base.reference), target: copy });
        assert.deepEqual(await compareCopy(base.fingerprint, copy), [], `${what}: restored, and different`);
      } catch (error) {
        assert.ok(error instanceof Failure && [2, 4].includes(error.exitCode), `${what}: ${String(error)}`);
      }
      await withConnection(parseTarget(url, "test"), (client) => client.query(`DROP DATABASE ${copy.database}`));
    }
  });
});

interface Base {
  readonly reference: BackupReference;
  readonly manifest: Manifest;
  readonly fingerprint: Fingerprint;
  readonly folder: string;
  /** Another backup of the same database. */
  readonly twin: string;
}

const damageKinds = [
  ...["bit", "bits", "cut", "longer", "zeroes", "empty", "missing", "swapped", "of another backup", "foreign object"],
  ...["manifest's bit", "manifest of another backup", "manifest cut", "manifest missing", "roles' bit", "tail's bit"],
] as const;
type DamageKind = (typeof damageKinds)[number];

/** @returns what was done, for messages. */
function damageBackup(folder: string, twin: string, kind: DamageKind, random: () => number): string {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const files = readdirSync(folder).filter((name) => name !== "manifest.json");
  const flip = (name: string, from = 0): string => {
    change(name, (bytes) => {
      bytes[from + Math.floor(random() * (bytes.length - from))]! ^= 1 << Math.floor(random() * 8);
      return bytes;
    });
    return `${kind} of ${name}`;
  };
  function change(name: string, how: (bytes: Buffer) => Buffer): void {
    whileWritable(join(folder, name), (path) => writeFileSync(path, how(readFileSync(path))));
  }
  const file = pick(files);
  const whole = `${kind}: ${file}`;
  switch (kind) {
    case "bit":
      return flip(file);
    case "bits":
      for (let left = 1 + Math.floor(random() * 50); left > 0; left -= 1) flip(file);
      return whole;
    case "roles' bit":
      return flip(files.find((name) => name.startsWith("roles"))!);
    case "tail's bit":
      return flip(file, statSync(join(folder, file)).size - 16);
    case "cut":
      change(file, (bytes) => bytes.subarray(0, Math.floor(random() * bytes.length)));
      return whole;
    case "longer":
      change(file, (bytes) => Buffer.concat([bytes, bytes.subarray(0, 1 + Math.floor(random() * 100))]));
      return whole;
    case "zeroes": {
      const place = random();
      change(file, (bytes) => {
        const start = Math.floor(place * bytes.length);
        return bytes.fill(0, start, Math.min(start + 512, bytes.length));
      });
      return whole;
    }
    case "empty":
      change(file, () => Buffer.alloc(0));
      return whole;
    case "missing":
      rmSync(join(folder, file));
      return whole;
    case "swapped": {
      const other = pick(files.filter((name) => name !== file));
      const [one, two] = [readFileSync(join(folder, file)), readFileSync(join(folder, other))];
      change(file, () => two);
      change(other, () => one);
      return `${whole} with ${other}`;
    }
    case "of another backup": {
      // Rows of the twin can be the very same bytes: the fingerprint and what pg_dump writes the time into are not.
      const other = readdirSync(twin).find((name) => name.startsWith("schema-pre"))!;
      change(other, () => readFileSync(join(twin, other)));
      return `${kind}: ${other}`;
    }
    case "foreign object":
      cpSync(join(folder, file), join(folder, `more-${file}`));
      return whole;
    case "manifest's bit":
      return flip("manifest.json");
    case "manifest of another backup":
      change("manifest.json", () => readFileSync(join(twin, "manifest.json")));
      return kind;
    case "manifest cut":
      change("manifest.json", (bytes) => bytes.subarray(0, Math.floor(random() * (bytes.length - 2))));
      return kind;
    case "manifest missing":
      rmSync(join(folder, "manifest.json"));
      return kind;
  }
}

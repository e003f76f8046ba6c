/** Reading a folder of migrations: order, what is left out, and the user's mistakes. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../../scripts/contract/failure";
import { readMigrations } from "../../../scripts/migrations/sources";

describe("a folder of migrations", () => {
  let folder: string;
  const write = (name: string, content: string | Buffer = "SELECT 1;"): void =>
    writeFileSync(join(folder, name), content);
  const files = async (): Promise<string[]> => (await readMigrations(folder)).migrations.map(({ file }) => file);

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "migrations-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("is read in the order of versions, each with its bytes' SHA-256", async () => {
    write("20260102000000_b.sql", "SELECT 'é';");
    write("20260101000000_a_long_name.sql");
    const { migrations } = await readMigrations(folder);
    assert.deepEqual(
      migrations.map(({ version, name }) => [version, name]),
      [
        ["20260101000000", "a_long_name"],
        ["20260102000000", "b"],
      ],
    );
    assert.equal(migrations[1]?.sha256, createHash("sha256").update("SELECT 'é';", "utf8").digest("hex"));
  });

  it("may hold a name without words, folders, links and other files", async () => {
    write("001_.sql");
    write("README.md");
    mkdirSync(join(folder, "002_folder.sql"));
    write("target.txt", "SELECT 2;");
    symlinkSync(join(folder, "target.txt"), join(folder, "003_link.sql"));
    assert.deepEqual(await files(), ["001_.sql", "003_link.sql"]);
  });

  it("tells which .sql files no tool would apply", async () => {
    write("001_a.sql");
    write("seed.sql");
    write("v2_x.sql");
    write("003.sql");
    assert.deepEqual((await readMigrations(folder)).skipped, ["003.sql", "seed.sql", "v2_x.sql"]);
  });

  it("leaves out a first init file of before December 2021, as the Supabase CLI does", async () => {
    write("20211208000000_init.sql");
    write("20211209000001_init.sql");
    const { migrations, skipped } = await readMigrations(folder);
    assert.deepEqual(
      [migrations.map(({ file }) => file), skipped],
      [["20211209000001_init.sql"], ["20211208000000_init.sql"]],
    );
  });

  it("takes a byte order mark for no part of the SQL", async () => {
    write("001_a.sql", "\ufeffSELECT 1;");
    assert.equal((await readMigrations(folder)).migrations[0]?.sql, "SELECT 1;");
  });

  const mistakes: readonly (readonly [string, () => void, RegExp])[] = [
    [
      "one version twice",
      () => {
        write("001_a.sql");
        write("001_b.sql");
      },
      /001_a\.sql and 001_b\.sql.*version 001 twice/,
    ],
    [
      "one number twice",
      () => {
        write("001_a.sql");
        write("01_b.sql");
      },
      /twice/,
    ],
    [
      "versions whose order as text is not their order as numbers",
      () => {
        write("10_b.sql");
        write("2_a.sql");
      },
      /10_b\.sql and 2_a\.sql.*pad them with zeros/,
    ],
    ["a file that is not UTF-8", () => write("001_a.sql", Buffer.from([0x53, 0xff])), /001_a\.sql.*not UTF-8/],
    ["a folder that is not there", () => rmSync(folder, { recursive: true }), /migrations\.path.*cannot be read/],
    ["a dangling link", () => symlinkSync(join(folder, "gone"), join(folder, "001_a.sql")), /cannot be read/],
  ];
  for (const [what, make, message] of mistakes) {
    it(`refuses ${what}`, async () => {
      make();
      await assert.rejects(
        readMigrations(folder),
        (error) => error instanceof UsageError && message.test(error.message),
      );
    });
  }

  it("may mix lengths whose order is the same either way", async () => {
    write("0001_a.sql");
    write("20260101000000_b.sql");
    assert.deepEqual(await files(), ["0001_a.sql", "20260101000000_b.sql"]);
  });
});

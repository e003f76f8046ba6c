/** A database's address means the same to pg and to libpq's programs. */
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import os, { tmpdir } from "node:os";
import { join } from "node:path";
import { stackFromEnvironment } from "../../../scripts/commands/gateContext";
import { UsageError } from "../../../scripts/contract/failure";
import {
  clientConfig,
  describeTarget,
  encryptionAttempts,
  libpqEnvironment,
  parseTarget,
} from "../../../scripts/database/target";

describe("a database's address", () => {
  it("reads every part, percent-encoded or not", () => {
    const target = parseTarget(
      "postgres://us%40er:p%2Fw%3Ax@db.example.com:5433/my%20db?sslmode=require",
      "DATABASE_URL",
      {},
    );
    assert.deepEqual(
      [target.user, target.password, target.host, target.port, target.database, target.sslMode],
      ["us@er", "p/w:x", "db.example.com", 5433, "my db", "require"],
    );
    assert.equal(describeTarget(target), "db.example.com:5433/my db");
  });

  it("reads an IPv6 address and a socket folder", () => {
    assert.equal(parseTarget("postgres://u@[2001:db8::1]/d", "x", {}).host, "2001:db8::1");
    const socket = parseTarget("postgres://u@localhost/d?host=%2Frun%2Fpg&port=5440", "x", {});
    assert.deepEqual([socket.host, socket.port, encryptionAttempts(socket)], ["/run/pg", 5440, [false]]);
  });

  it("refuses what cannot work, naming the variable", () => {
    for (const url of [
      "postgres://u@h:6543/d",
      "mysql://u@h/d",
      "h/d",
      "postgres://u@h/d?sslmode=maybe",
      "postgres://u:%zz@h/d",
      "postgres://u@h/d?port=abc",
      "postgres://u@h:0/d",
    ]) {
      assert.throws(
        () => parseTarget(url, "DATABASE_URL", {}),
        (error) => error instanceof UsageError && error.message.startsWith("DATABASE_URL"),
        url,
      );
    }
  });

  it("takes the name of who runs this for the user, and asks for one where a container's uid has none", () => {
    const known = os.userInfo;
    assert.equal(parseTarget("postgres://h/d", "DATABASE_URL", {}).user, known().username);
    os.userInfo = () => {
      throw new Error("uv_os_get_passwd returned ENOENT");
    };
    try {
      assert.equal(parseTarget("postgres://h/d", "DATABASE_URL", { PGUSER: "ann" }).user, "ann");
      assert.throws(
        () => parseTarget("postgres://h/d", "DATABASE_URL", {}),
        (error) => error instanceof UsageError && /^DATABASE_URL: found no user, and uid \d+ has/.test(error.message),
      );
      assert.match(stackFromEnvironment({}), /^by hand: uid \d+@/);
    } finally {
      os.userInfo = known;
    }
  });

  it("gives sslmode libpq's meaning: require does not verify, unless a root certificate is at hand", () => {
    const folder = mkdtempSync(join(tmpdir(), "dbprotect-ca-"));
    writeFileSync(join(folder, "ca.pem"), "a certificate");
    const ssl = (query: string): unknown => clientConfig(parseTarget(`postgres://u@h/d?${query}`, "x", {}), true).ssl;
    assert.deepEqual(ssl("sslmode=require"), { rejectUnauthorized: false });
    const full = ssl(`sslmode=verify-full&sslrootcert=${folder}/ca.pem`) as Record<string, unknown>;
    assert.deepEqual(
      [full["ca"], full["rejectUnauthorized"], full["checkServerIdentity"]],
      ["a certificate", true, undefined],
    );
    for (const mode of ["verify-ca", "require"]) {
      const checked = ssl(`sslmode=${mode}&sslrootcert=${folder}/ca.pem`) as {
        rejectUnauthorized: boolean;
        checkServerIdentity: () => unknown;
      };
      assert.equal(checked.rejectUnauthorized, true);
      assert.equal(checked.checkServerIdentity(), undefined, "the host's name is verify-full's to check");
    }
    assert.throws(() => ssl("sslmode=verify-full&sslrootcert=/no/such/file"), UsageError);
    const attempts = (mode: string): readonly boolean[] =>
      encryptionAttempts(parseTarget(`postgres://u@h/d?sslmode=${mode}`, "x", {}));
    assert.deepEqual(["disable", "allow", "prefer", "require", "verify-full"].map(attempts), [
      [false],
      [false, true],
      [true, false],
      [true],
      [true],
    ]);
  });

  it("points libpq's programs at the same place, with a password file if there is one, and nothing else of PG*", () => {
    const before = { ...process.env };
    Object.assign(process.env, { PGPASSFILE: "/secret/pgpass", PGHOST: "elsewhere", PGSERVICE: "other" });
    try {
      const env = libpqEnvironment(parseTarget("postgres://u@h:5433/d?sslmode=verify-ca&sslrootcert=/ca.pem", "x", {}));
      const { PGHOST, PGPORT, PGUSER, PGDATABASE, PGSSLMODE, PGSSLROOTCERT, PGPASSFILE, PGSERVICE, PGPASSWORD } = env;
      assert.deepEqual(
        [PGHOST, PGPORT, PGUSER, PGDATABASE, PGSSLMODE, PGSSLROOTCERT, PGPASSFILE, PGSERVICE, PGPASSWORD],
        ["h", "5433", "u", "d", "verify-ca", "/ca.pem", "/secret/pgpass", undefined, undefined],
      );
    } finally {
      for (const name of ["PGPASSFILE", "PGHOST", "PGSERVICE"]) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
  });
});

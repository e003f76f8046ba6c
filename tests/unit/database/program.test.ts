/** What a client program's stderr means for the exit code: try again, ask for a right, or change something. */
import assert from "node:assert/strict";
import { Damage, type Failure, Refusal, Unavailable, UsageError } from "../../../scripts/contract/failure";
import { programFailure } from "../../../scripts/database/program";
import { parseTarget } from "../../../scripts/database/target";

const target = parseTarget("postgres://u:a-password-of-ours@db.example.com/crm", "test");

describe("the failure of a client program", () => {
  const cases: [string, string, new (message: string) => Failure][] = [
    [
      "no connection",
      'pg_dump: error: connection to server at "127.0.0.1", port 1 failed: Connection refused',
      Unavailable,
    ],
    [
      "a lost connection",
      "pg_dump: error: query failed: server closed the connection unexpectedly\n\tThis probably means ...",
      Unavailable,
    ],
    [
      "an ended server",
      "pg_restore: error: could not execute query: FATAL:  terminating connection due to administrator command",
      Unavailable,
    ],
    ["a lock", "pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout", Unavailable],
    [
      "a snapshot whose session was ended",
      'pg_dump: error: query failed: ERROR:  snapshot "00000000-000000C3-1" does not exist',
      Unavailable,
    ],
    ["a right", "pg_dump: error: query failed: ERROR:  permission denied for table clients", Refusal],
    ["an owner", 'pg_restore: error: could not execute query: ERROR:  must be able to SET ROLE "app"', Refusal],
    ["a version", "pg_dump: error: aborting because of server version mismatch", UsageError],
    [
      "a statement",
      "pg_restore: while PROCESSING TOC:\npg_restore: from TOC entry 3400; 0 16390 TABLE DATA refs postgres\n" +
        'pg_restore: error: COPY failed for table "refs": ERROR:  relation "clients" does not exist\nCONTEXT:  SQL function "has_client"',
      Refusal,
    ],
  ];
  for (const [what, stderr, kind] of cases) {
    it(`${what}: ${kind.name}`, () => {
      const failure = programFailure({ program: "pg_restore", target }, 1, stderr);
      assert.equal(failure.constructor, kind, failure.message);
      assert.match(failure.message, /db\.example\.com/);
      if (failure instanceof Refusal) assert.deepEqual(failure.details, stderr.split("\n"));
    });
  }

  it("a program that was killed: try again", () => {
    assert.ok(programFailure({ program: "pg_restore", target }, "SIGKILL", "") instanceof Unavailable);
  });

  it("an archive that pg_restore cannot read, with no server involved: damage", () => {
    const stderr = "pg_restore: error: could not read from input file: end of file";
    assert.ok(programFailure({ program: "pg_restore" }, 1, stderr) instanceof Damage);
  });
});

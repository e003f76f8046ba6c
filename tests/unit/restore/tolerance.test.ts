/** Which errors a restore goes on after, and how entries of an archive are told. */
import assert from "node:assert/strict";
import { ownerOf, parseContents } from "../../../scripts/restore/tableOfContents";
import { findTolerance, tolerances } from "../../../scripts/restore/toleratedErrors";

const list = `;
; Archive created at 2026-11-22 22:06:44 UTC
2; 3079 16395 EXTENSION - pgcrypto 
2595; 0 0 COMMENT - EXTENSION pgcrypto 
218; 1259 16385 TABLE public my table data owner
2586; 0 16385 TABLE DATA public my table data owner
3021; 826 16390 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES data owner
2440; 2606 16391 FK CONSTRAINT public t t_fkey owner
`;

describe("the table of contents of an archive", () => {
  it("is told by kinds of several words", () => {
    assert.deepEqual(
      parseContents(list).map(({ kind, rest }) => `${kind} | ${rest}`),
      [
        "EXTENSION | - pgcrypto ",
        "COMMENT | - EXTENSION pgcrypto ",
        "TABLE | public my table data owner",
        "TABLE DATA | public my table data owner",
        "DEFAULT ACL | public DEFAULT PRIVILEGES FOR TABLES data owner",
        "FK CONSTRAINT | public t t_fkey owner",
      ],
    );
  });

  it("names owners, also those whose name ends like another's", () => {
    const roles = ["owner", "data owner"];
    assert.deepEqual(
      parseContents(list).map((entry) => ownerOf(entry, roles)),
      [undefined, undefined, "data owner", "data owner", "data owner", "owner"],
    );
  });
});

describe("tolerated errors", () => {
  it("each names an exact SQLSTATE, an entry, a reason and a source", () => {
    for (const { sqlstate, entry, why, source } of tolerances) {
      assert.match(sqlstate, /^[0-9A-Z]{5}$/);
      assert.ok(entry.source.startsWith("^"), `${entry} is not anchored`);
      assert.ok(why.length > 10);
      assert.match(source, /^https:\/\//);
    }
  });

  it("never the definition of a table, nor its rows, nor what holds them together", () => {
    const kinds = [
      "TABLE",
      "TABLE DATA",
      "CONSTRAINT",
      "FK CONSTRAINT",
      "CHECK CONSTRAINT",
      "INDEX",
      "SEQUENCE",
      "BLOBS",
    ];
    for (const kind of [...kinds, "SEQUENCE SET", "BLOB METADATA", "DEFAULT", "TYPE", "FUNCTION", "ACL", "TRIGGER"])
      for (const rest of ["storage objects owner", "- EXTENSION pgcrypto ", "public clients owner"])
        assert.equal(findTolerance({ kind, rest }, "42501"), undefined, `${kind} ${rest}`);
  });

  it("only with the SQLSTATE of the list, and only where the list says", () => {
    const policy = { kind: "POLICY", rest: "storage objects own files supabase_storage_admin" };
    assert.ok(findTolerance(policy, "42501") !== undefined);
    assert.equal(findTolerance(policy, "42P01"), undefined);
    assert.equal(findTolerance({ ...policy, rest: "public objects own files owner" }, "42501"), undefined);
  });
});

import assert from "node:assert/strict";
import { UsageError } from "../../../scripts/contract/failure";
import { FileStore } from "../../../scripts/store/fileStore";
import { openStore } from "../../../scripts/store/openStore";
import { S3Store } from "../../../scripts/store/s3Store";

describe("openStore", () => {
  it("opens a folder or a bucket, and prefers the flag to BACKUP_STORE", () => {
    const env = { BACKUP_STORE: "file:///var/backups/crm" };
    assert.ok(openStore(undefined, env) instanceof FileStore);
    assert.equal(openStore(undefined, env).url, "file:///var/backups/crm");
    assert.ok(openStore("s3://my-bucket/crm", env) instanceof S3Store);
    assert.equal(openStore("s3://my-bucket/crm/", env).url, "s3://my-bucket/crm");
    assert.equal(openStore("s3://my-bucket", env).url, "s3://my-bucket");
    assert.equal(openStore("file:///var/a%20b/", env).url, "file:///var/a%20b");
  });

  const mistakes: [string, string | undefined, RegExp, RegExp][] = [
    ["nothing at all", undefined, /^BACKUP_STORE: found nothing, expected/, /file:\/\/\/var\/backups\/crm/],
    ["a web address", "https://bucket.s3.amazonaws.com/x", /^BACKUP_STORE: found "https/, /s3:\/\/my-bucket/],
    ["a path", "/var/backups", /found the path "\/var\/backups"/, /write file:\/\/\/var\/backups/],
    ["a relative path", "backups", /found "backups"/, /file:\/\/\//],
    ["a host where the folder should be", "file://backups/crm", /found "file:\/\/backups\/crm"/, /three slashes/],
    ["the root folder", "file:///", /found the root folder/, /folder of its own/],
    ["no bucket", "s3:///crm", /found "s3:\/\/\/crm"/, /s3:\/\/my-bucket/],
    ["a bucket in capitals", "s3://My_Bucket/crm", /found "s3:/, /s3:\/\/my-bucket/],
    ["a prefix that climbs", "s3://my-bucket/../x", /found "s3:/, /s3:\/\/my-bucket/],
    ["a query", "s3://my-bucket/crm?region=eu", /"\?" or "#"/, /s3:\/\/my-bucket/],
  ];
  for (const [what, url, message, hint] of mistakes)
    it(`refuses ${what}`, () => {
      assert.throws(
        () => openStore(url, {}),
        (error) =>
          error instanceof UsageError &&
          message.test(error.message) &&
          hint.test(error.hint ?? "") &&
          error.exitCode === 2,
      );
    });

  it("refuses credentials inside the URL and repeats none of them", () => {
    for (const url of ["s3://AKIAEXAMPLE:wJalr/XUtnFEMI+K7@my-bucket/crm", "https://user:hush/hush@host/x"])
      assert.throws(
        () => openStore(url, {}),
        (error) =>
          error instanceof UsageError &&
          /credentials inside the URL/.test(error.message) &&
          !/XUtn|wJalr|hush/.test(`${error.message} ${error.hint}`),
      );
  });

  it("refuses an endpoint that is no web address", () => {
    const before = process.env["AWS_ENDPOINT_URL_S3"];
    process.env["AWS_ENDPOINT_URL_S3"] = "localhost:9000";
    try {
      assert.throws(() => openStore("s3://my-bucket", {}), { name: "UsageError", message: /^AWS_ENDPOINT_URL_S3: / });
    } finally {
      if (before === undefined) delete process.env["AWS_ENDPOINT_URL_S3"];
      else process.env["AWS_ENDPOINT_URL_S3"] = before;
    }
  });
});

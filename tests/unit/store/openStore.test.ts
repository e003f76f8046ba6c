/** Addresses of stores: folders, buckets, several, their parameters, and no credentials. */
import assert from "node:assert/strict";
import { UsageError } from "../../../scripts/contract/failure";
import { FileStore } from "../../../scripts/store/fileStore";
import { openStore } from "../../../scripts/store/openStore";
import { ReplicatedStore, storesOf } from "../../../scripts/store/replicatedStore";
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

  it("opens several, separated by white space, the first one first", () => {
    const store = openStore(" s3://my-bucket/crm?region=eu-central-1\n optional:file:///srv/copy  file:///srv/b ", {});
    assert.ok(store instanceof ReplicatedStore);
    assert.equal(store.url, "s3://my-bucket/crm");
    assert.deepEqual(
      storesOf(store).map(({ url }) => url),
      ["s3://my-bucket/crm", "file:///srv/copy", "file:///srv/b"],
    );
    const one = openStore("file:///srv/a", {});
    assert.deepEqual(storesOf(one), [one]);
  });

  it("takes an s3 store's parameters, and shows them nowhere", () => {
    const parameters = "endpoint=https://s3.example.com:9000&profile=copy&kmsKeyId=alias/x&parts=fixed&mostParts=1000";
    const store = openStore(`s3://my-bucket/crm?${parameters}&partMebibytes=16&region=auto`, {});
    assert.ok(store instanceof S3Store);
    assert.equal(store.url, "s3://my-bucket/crm");
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
    ["a fragment", "s3://my-bucket/crm#x", /"#"/, /s3:\/\/my-bucket/],
    ["a parameter of a folder", "file:///srv/backups?region=eu", /"\?" after "file/, /only an s3:\/\/ address/],
    ["an unknown parameter", "s3://my-bucket/crm?optional=yes", /unknown parameter "optional"/, /endpoint, region/],
    ["a parameter twice", "s3://my-bucket?region=a&region=b", /repeated parameter "region"/, /endpoint, region/],
    ["a parameter without a value", "s3://my-bucket?profile=", /empty parameter "profile"/, /endpoint, region/],
    ["an endpoint that is no address", "s3://my-bucket?endpoint=localhost:9000", /endpoint of "s3/, /https:\/\//],
    ["parts of no shape", "s3://my-bucket?parts=equal", /parts="equal"/, /growing or parts=fixed/],
    ["parts smaller than S3 takes", "s3://my-bucket?partMebibytes=4", /partMebibytes="4"/, /5 to 5120/],
    ["more parts than S3 takes", "s3://my-bucket?mostParts=10001", /mostParts="10001"/, /1 to 10000/],
    ["a lock without days", "s3://my-bucket?lockMode=governance", /lockMode alone/, /lockMode and lockDays/],
    ["a lock without a mode", "s3://my-bucket?lockDays=7", /lockDays alone/, /lockMode and lockDays/],
    ["a lock of no mode", "s3://my-bucket?lockMode=legal&lockDays=7", /lockMode="legal"/, /governance or compliance/],
    ["a lock of no days", "s3://my-bucket?lockMode=governance&lockDays=0", /lockDays="0"/, /1 to 36500/],
    [
      "a lock of no tier",
      "s3://my-bucket?lockMode=governance&lockDays=hourly:7",
      /lockDays="hourly:7"/,
      /daily, weekly/,
    ],
    ["a space in a folder's name", "file:///srv/my backups", /found "backups"/, /%20/],
    ["a first store that may be lost", "optional:file:///a file:///b", /optional: before the first/, /required/],
    ["a store twice", "file:///a s3://my-bucket optional:file:///a", /"file:\/\/\/a" twice/, /of its own/],
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
    for (const url of [
      "s3://AKIAEXAMPLE:wJalr/XUtnFEMI+K7@my-bucket/crm",
      "https://user:hush/hush@host/x",
      "file:///srv/a optional:s3://AKIAEXAMPLE:wJalr/XUtnFEMI+K7@my-bucket/crm",
    ])
      assert.throws(
        () => openStore(url, {}),
        (error) =>
          error instanceof UsageError &&
          /credentials inside the URL/.test(error.message) &&
          !/XUtn|wJalr|hush/.test(`${error.message} ${error.hint}`),
      );
  });

  it("refuses credentials among the parameters and repeats none of them", () => {
    for (const query of ["secretAccessKey=wJalrXUtn", "endpoint=https://AKIA:wJalrXUtn@host"])
      assert.throws(
        () => openStore(`s3://my-bucket/crm?${query}`, {}),
        (error) => error instanceof UsageError && !/XUtn|wJalr/.test(`${error.message} ${error.hint}`),
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

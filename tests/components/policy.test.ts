/** The policy pack against what the components really declare: that passes, and each rule sees what is taken away from it. */
import assert from "node:assert/strict";
import type { PolicyResource } from "@pulumi/policy";
import { policies } from "../../policy/rules";
import { unwrapSecrets } from "../../scripts/rehearsal/engine/wire";
import { type RegisteredResource, record } from "./record";

type Facts = Pick<RegisteredResource, "type" | "name" | "parent" | "inputs" | "dependsOn" | "protect">;

/** As the engine hands resources to a pack; names stand for URNs, a component and its child may share one. */
function resourcesOf(facts: readonly Facts[]): PolicyResource[] {
  const urnOf = ({ type, name }: Pick<Facts, "type" | "name">): string => `urn:pulumi:prod::crm::${type}::${name}`;
  const made = facts.map((each) => ({
    ...{ type: each.type, name: each.name, urn: urnOf(each), opts: { protect: each.protect } },
    props: unwrapSecrets(each.inputs) as Record<string, unknown>,
    dependencies: [] as PolicyResource[],
    parent: undefined as PolicyResource | undefined,
  })) as unknown as (PolicyResource & { dependencies: PolicyResource[]; parent?: PolicyResource })[];
  for (const [place, { parent, dependsOn }] of facts.entries()) {
    const above = made.find(({ name, type }) => name === parent && type.startsWith("database-protection:"));
    if (above !== undefined) made[place]!.parent = above;
    made[place]!.dependencies.push(...made.filter(({ name }) => dependsOn.includes(name)));
  }
  return made;
}

/** What the rule of that name reports, line by line. */
function reports(rule: string, facts: readonly Facts[]): string[] {
  const lines: string[] = [];
  const report = (message: string): void => void lines.push(message);
  const resources = resourcesOf(facts);
  const found = policies.find(({ name }) => name === rule)!;
  if ("validateStack" in found) {
    void found.validateStack({ resources } as never, report);
    return lines;
  }
  const validate = found.validateResource;
  assert.ok(typeof validate === "function");
  for (const resource of resources) void validate(resource as never, report);
  return lines;
}

/** The same resources, the ones of a type changed. */
function changed(facts: readonly Facts[], type: string, change: (each: Facts) => Facts | undefined): Facts[] {
  const all = facts.flatMap((each) => (each.type.endsWith(type) ? (change(each) ?? []) : each));
  assert.ok(
    facts.some((each) => each.type.endsWith(type)),
    `nothing of type ${type}`,
  );
  return all;
}

const withInputs =
  (inputs: object) =>
  (each: Facts): Facts => ({ ...each, inputs: { ...each.inputs, ...inputs } });
const gone = (): undefined => undefined;

describe("policy pack", function () {
  this.timeout(120_000);
  let locked: readonly Facts[];
  let byDefault: readonly Facts[];
  let unlocked: readonly Facts[];
  let release: readonly Facts[];
  before(async () => {
    const recordings = await Promise.all([
      record("bucketWithEverything"),
      record("bucket"),
      record("release"),
      record("bucketWithoutLock"),
    ]);
    for (const { errors } of recordings) assert.deepEqual(errors, []);
    locked = recordings[0].registered;
    byDefault = recordings[1].registered;
    unlocked = recordings[3].registered;
    release = recordings[2].registered;
  });

  it("has rules with names of their own, a description, and nothing to report of what the components declare", () => {
    const names = policies.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const { name, description } of policies) {
      assert.ok(description.length > 20, name);
      for (const facts of [locked, byDefault, release]) assert.deepEqual(reports(name, facts), [], name);
    }
    assert.deepEqual(
      names.filter((name) => reports(name, unlocked).length > 0),
      ["buckets-locked"],
    );
  });

  const cases: readonly [rule: string, what: string, facts: () => Facts[], message: RegExp][] = [
    [
      "stateful-protected",
      "a bucket that is not protected",
      () => changed(locked, "bucket:Bucket", (each) => ({ ...each, protect: false })),
      /^backups-bucket: found without protect/,
    ],
    [
      "stateful-protected",
      "a database of somebody's own",
      () => [
        ...locked,
        { type: "aws:rds/instance:Instance", name: "crm", parent: "", inputs: {}, dependsOn: [], protect: false },
      ],
      /^crm: found without protect/,
    ],
    [
      "no-forced-destruction",
      "a bucket that would be emptied",
      () => changed(locked, "bucket:Bucket", withInputs({ forceDestroy: true })),
      /found forceDestroy: true/,
    ],
    [
      "buckets-versioned",
      "versioning that is suspended",
      () => changed(locked, "BucketVersioning", withInputs({ versioningConfiguration: { status: "Suspended" } })),
      /^backups: found versioning Suspended: expected Enabled/,
    ],
    ["buckets-versioned", "no versioning", () => changed(locked, "BucketVersioning", gone), /versioning absent/],
    [
      "buckets-encrypted",
      "no encryption",
      () => changed(locked, "BucketServerSideEncryptionConfiguration", gone),
      /encryption absent/,
    ],
    [
      "buckets-encrypted",
      "a policy that lets plain HTTP through",
      () => changed(locked, "BucketPolicy", withInputs({ policy: '{"Statement":[]}' })),
      /no policy that refuses plain HTTP/,
    ],
    [
      "buckets-closed",
      "one of the four blocks off",
      () => changed(locked, "BucketPublicAccessBlock", withInputs({ blockPublicPolicy: false })),
      /found blockPublicPolicy not set/,
    ],
    [
      "buckets-locked",
      "no lock",
      () => changed(locked, "BucketObjectLockConfiguration", gone),
      /no object lock: .* bucket\.lockMode/,
    ],
    [
      "releases-gated",
      "release steps without their dependencies",
      () => changed(release, "local:Command", (each) => ({ ...each, dependsOn: [] })),
      /without a dependency on a gate/,
    ],
    [
      "releases-gated",
      "no gate at all",
      () =>
        changed(release, "local:Command", (each) =>
          /gate run/.test(String(each.inputs["create"])) ? undefined : each,
        ),
      /without a dependency on a gate/,
    ],
    ...["railway up --ci", "vercel deploy --prod", "supabase db push"].map(
      (create): [string, string, () => Facts[], RegExp] => [
        "releases-gated",
        `${create} beside the release`,
        () => [
          ...release,
          { type: "command:local:Command", name: "own", parent: "", inputs: { create }, dependsOn: [], protect: false },
        ],
        /^own: found/,
      ],
    ),
  ];
  for (const [rule, what, facts, message] of cases)
    it(`${rule} sees ${what}`, () => {
      const lines = reports(rule, facts());
      assert.ok(lines.length > 0, "nothing was reported");
      for (const line of lines) assert.match(line, message);
    });

  it("has each rule violated by a case", () => {
    assert.deepEqual(new Set(cases.map(([rule]) => rule)), new Set(policies.map(({ name }) => name)));
  });

  it("takes a dependency through others, and leaves Commands that release nothing alone", () => {
    const own = (name: string, create: string, dependsOn: string[]): Facts => ({
      ...{ type: "command:local:Command", name, parent: "", inputs: { create }, dependsOn, protect: false },
    });
    const chain = [own("gate", "node bin/dbprotect.js gate run", []), own("between", "true", ["gate"])];
    assert.deepEqual(reports("releases-gated", [...chain, own("last", "railway up", ["between"])]), []);
    assert.deepEqual(reports("releases-gated", [own("seed", "vercel env pull", [])]), []);
  });
});

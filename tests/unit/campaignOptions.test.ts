/** What is wrong with the campaign's options is one line with the option, what was found and what is expected; nothing is played. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CommanderError } from "commander";
import { type Campaign, campaignCommand } from "../../campaign/options";
import { type Plan, planOf } from "../../campaign/plan";
import { UsageError } from "../../scripts/contract/failure";

describe("the options of npm run campaign", () => {
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-campaign-options-"));
  const out = join(folder, "out");

  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  const parsed = async (...words: string[]): Promise<Campaign> => {
    let campaign: Campaign | undefined;
    await campaignCommand(async (given) => void (campaign = given))
      .exitOverride()
      .configureOutput({ writeErr: () => undefined })
      .parseAsync(words, { from: "user" });
    assert.ok(campaign !== undefined);
    return campaign;
  };

  const first = (count: number, { plans }: Campaign): Plan[] =>
    Array.from({ length: count }, () => plans.next())
      .filter(({ done }) => done !== true)
      .map(({ value }) => value as Plan);

  const plan = planOf(17);
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    ...["abc", "0", "1.5", "-3", ""].map(
      (value) => [["--runs", value], /'--runs <number>'.*found.*expected a number from 1/] as const,
    ),
    [["--seed", "4294967296"], /'--seed <number>'.*found 4294967296: expected a number from 1 to 4294967295$/],
    [["--lanes", "0"], /'--lanes <number>'.*found 0: expected a number from 1 to 64$/],
    [["--minimise", "few"], /'--minimise <number>'.*found few: expected a number from 0 to 1000$/],
    [["--minutes", "0"], /'--minutes <number>'.*found 0: expected a number above 0, at most 100000$/],
    [["--sed", "3"], /^error: unknown option '--sed'/],
    [["17"], /^error: too many arguments/],
    [["--plan", join(folder, "none.json")], /^--plan: found \S+none\.json: cannot be read as JSON: ENOENT[^\n]*$/],
    [["--plan", file("cut.json", "{")], /^--plan: found \S+cut\.json: cannot be read as JSON: [^\n]*$/],
    [
      ["--plan", file("other.json", JSON.stringify({ ...plan, store: "cloud" }))],
      /^--plan: found \S+other\.json: store: found "cloud": Invalid option: expected one of "folder"\|"two folders"\|"bucket"$/,
    ],
    [
      [
        "--plan",
        file("fault.json", JSON.stringify({ ...plan, faults: [{ during: "gate", fault: { kind: "rain" } }] })),
      ],
      /^--plan: found \S+fault\.json: faults\.0\.fault\.kind: found \{"kind":"rain"\}: [^\n]*'lost lease'[^\n]*$/,
    ],
    [
      ["--plan", file("plan.json", JSON.stringify(plan)), "--runs", "2"],
      /'--plan <file>' cannot be used with option '--runs/,
    ],
    [["--out", file("taken", "")], /^--out: found \S+taken: nothing can be written there: EEXIST[^\n]*$/],
    [
      ["--out", join(file("taken", ""), "below")],
      /^--out: found \S+below: nothing can be written there: ENOTDIR[^\n]*$/,
    ],
  ];

  for (const [words, message] of wrong)
    it(`refuses ${words.join(" ").replaceAll(folder, "")}`, async () => {
      await assert.rejects(parsed("--out", out, ...words), (error: Error) => {
        assert.ok(error instanceof UsageError || error instanceof CommanderError, String(error));
        assert.match(error.message, message);
        return true;
      });
    });

  it("ends with 2 and that line alone, without a stack", () => {
    const run = resolve(__dirname, "../../campaign/run.ts");
    const { status, stdout, stderr } = spawnSync(
      "node",
      ["--require", "tsx/cjs", run, "--plan", join(folder, "cut.json")],
      { encoding: "utf8" },
    );
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(stderr, /^error: --plan: found \S+cut\.json: [^\n]+\n$/);
  });

  it("says what is played", async () => {
    assert.deepEqual(first(3, await parsed("--out", out, "--seed", "17", "--runs", "2")), [planOf(17), planOf(18)]);
    const endless = await parsed("--out", out, "--minutes", "0.5");
    assert.deepEqual([first(30, endless).length, endless.minutes, endless.lanes, endless.minimise], [30, 0.5, 2, 12]);
    assert.equal(first(30, await parsed("--out", out)).length, 20);
    mkdirSync(join(folder, "kept"));
    const again = await parsed("--out", join(folder, "kept"), "--plan", join(folder, "plan.json"));
    assert.deepEqual([first(2, again), again.lanes, again.minimise], [[plan], 1, 0]);
    assert.deepEqual(readdirSync(out), []);
  });

  it("a plan of any seed fits its own form", async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const again = await parsed("--out", out, "--plan", file("any.json", JSON.stringify(planOf(seed))));
      assert.deepEqual(first(1, again), [planOf(seed)]);
    }
  });
});

/**
 * `npm run bench:judge`: precision and recall of the judge of migrations on labelled SQL, by class: the static judge beside squawk and
 * postgres-language-server, and with `--trial` what both judges together catch of what can be run. See docs/benchmarks.md.
 */
import { Command, Option } from "commander";
import { markdownTable } from "../docs/generate/markdown";
import { runProgram } from "../scripts/commandLine";
import { startCluster } from "../scripts/scratch/cluster";
import { type Fixture, classes, readFixtures } from "./judge/fixtures";
import { type Linter, judge, languageServer, squawk } from "./judge/linters";
import { ownFixtures } from "./judge/ownFixtures";
import { tryFixture } from "./judge/tried";

const counted = classes.filter((name) => name !== "other");

interface Options {
  readonly labels?: string;
  readonly squawk?: string;
  readonly pgls?: string;
  readonly class?: string;
  readonly trial?: boolean;
  readonly misses?: boolean;
}

const command = new Command("npm run bench:judge --")
  .description("Precision and recall of the judge of migrations on labelled SQL.")
  .argument("[folder]", "SQL files, or Rust tests that hold some; default: the project's own cases")
  .option("--labels <table>", "their classes: a line of class and pattern each; default: the first folder of each path")
  .option("--squawk <binary>", "judge by squawk too")
  .option("--pgls <binary>", "judge by postgres-language-server too")
  .addOption(new Option("--class <class>", "files of this class alone").choices(counted))
  .option("--trial", "try them on a real PostgreSQL as well")
  .option("--misses", "name the files on which the judge is wrong")
  .action(judgeAll);

async function judgeAll(folder: string | undefined, values: Options): Promise<void> {
  const all = folder === undefined ? ownFixtures() : readFixtures(folder, values.labels);
  const fixtures = all.filter(
    (fixture) => fixture.class !== "other" && (values.class ?? fixture.class) === fixture.class,
  );
  console.log(`${fixtures.length} files; ${all.length - fixtures.length} more are outside of the classes\n`);
  const linters = [
    judge,
    ...(values.squawk === undefined ? [] : [squawk(values.squawk)]),
    ...(values.pgls === undefined ? [] : [languageServer(values.pgls)]),
  ];
  await compare(fixtures, linters, values.misses === true);
  if (values.trial === true) await tryAll(fixtures, values.misses === true);
}

/** Recall: of the files of a class, those that are refused, for whatever reason. Precision: of what is refused by its rules. */
async function compare(fixtures: readonly Fixture[], linters: readonly Linter[], misses: boolean): Promise<void> {
  const verdicts = new Map<Linter, ReadonlyMap<Fixture, ReadonlySet<string>>>();
  for (const linter of linters) {
    const refused = new Map<Fixture, ReadonlySet<string>>();
    for (const fixture of fixtures) refused.set(fixture, await linter.refuses(fixture.sql));
    verdicts.set(linter, refused);
  }
  const rows = counted.map((name) => {
    const files = fixtures.filter((fixture) => fixture.class === name);
    const cells = linters.map((linter) => {
      const verdict = verdicts.get(linter)!;
      const refused = files.filter((fixture) => verdict.get(fixture)!.size > 0);
      if (misses && linter === judge) tell(`${name}, static`, name === "additive" ? refused : without(files, refused));
      if (name === "additive") return share(refused.length, files.length);
      const alarms = fixtures.filter((fixture) => fixture.class === "additive" && verdict.get(fixture)!.has(name));
      const precision = share(refused.length, refused.length + alarms.length);
      return `${share(refused.length, files.length)}, ${precision}`;
    });
    return [name === "additive" ? "additive (refused)" : name, String(files.length), ...cells];
  });
  console.log(markdownTable(["class", "files", ...linters.map(({ name }) => `${name}: recall, precision`)], rows));
}

async function tryAll(fixtures: readonly Fixture[], misses: boolean): Promise<void> {
  const cluster = await startCluster({
    listen: "loopback",
    lifetime: { kind: "parent" },
    purpose: "test",
    settings: { fsync: "off" },
  });
  process.env["SCRATCH_DATABASE_URL"] = cluster.url;
  try {
    const tried = new Map<Fixture, Awaited<ReturnType<typeof tryFixture>>>();
    for (const fixture of fixtures) tried.set(fixture, await tryFixture(cluster.url, fixture.sql));
    const rows = counted.map((name) => {
      const files = fixtures.filter((fixture) => fixture.class === name);
      const run = files.filter((fixture) => tried.get(fixture)!.cannotRun === undefined);
      const refusedBy = [
        run.filter((fixture) => tried.get(fixture)!.refusedStatically),
        run.filter((fixture) => tried.get(fixture)!.trial.length > 0),
        run.filter((fixture) => tried.get(fixture)!.refusedStatically || tried.get(fixture)!.trial.length > 0),
      ];
      if (misses) {
        for (const fixture of without(files, run))
          console.error(`cannot run: ${fixture.name}: ${tried.get(fixture)!.cannotRun}`);
        tell(`${name}, both`, name === "additive" ? refusedBy[2]! : without(run, refusedBy[2]!));
        if (name === "additive") {
          for (const fixture of refusedBy[1]!)
            console.error(`${fixture.name}: ${tried.get(fixture)!.trial.join("; ")}`);
        }
      }
      const label = name === "additive" ? "additive (refused)" : name;
      return [
        label,
        String(files.length),
        String(run.length),
        ...refusedBy.map((some) => share(some.length, run.length)),
      ];
    });
    const header = ["class", "files", "can be run", "static, with the catalog", "trial alone", "both"];
    console.log(`\n${markdownTable(header, rows)}`);
  } finally {
    await cluster.stop();
  }
}

function without(all: readonly Fixture[], some: readonly Fixture[]): Fixture[] {
  return all.filter((fixture) => !some.includes(fixture));
}

function tell(what: string, fixtures: readonly Fixture[]): void {
  console.error(`${what}: ${fixtures.map(({ name }) => name).join(", ") || "none"}`);
}

function share(part: number, whole: number): string {
  return whole === 0 ? "-" : `${part} (${Math.round((100 * part) / whole)} %)`;
}

void runProgram(command);

/** One run: the way of a release with what its plan does to it, the remedy after a loss, the way again until all is well, and the invariants. */
import { createHash } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readFreezes } from "../scripts/control/freeze";
import { currentReceipt, readLease } from "../scripts/control/lease";
import type { Receipt } from "../scripts/record/receipt";
import { inflict, isRowLoss, migrationText, mustBeRefused } from "./changes";
import { type CommandRun, Commands, type Struck, excused, faultsOfExit } from "./command";
import { findLeaks, findSecrets, processesOf } from "./leaks";
import { Load } from "./load";
import { Oracle } from "./oracle";
import type { Plan, PlannedFault, WayStep } from "./plan";
import { createShop, databaseOid, followedTables, freelyDeleted, readOdd, readShop } from "./shop";
import { Truth } from "./truth";
import { untilServes } from "./faults";
import { type Lane, type World, buildWorld } from "./world";

export interface RunResult {
  readonly plan: Plan;
  /** What the program did that it must not do, in words; empty: the run passed. */
  readonly violations: readonly string[];
  readonly faults: readonly Struck[];
  readonly runs: readonly CommandRun[];
  /** How often the way was begun until it ended well. */
  readonly attempts: number;
  /** Transactions of the writers that were acknowledged. */
  readonly committed: number;
  readonly seconds: number;
}

/** Attempts after which a run that has no more faults must have ended well. */
const mostAttempts = 5;

const words: Readonly<Record<WayStep, readonly string[]>> = {
  gate: ["gate", "run", "--json"],
  migrations: ["migrations:apply", "--yes", "--json"],
  railway: ["release", "railway", "--json"],
  vercel: ["release", "vercel", "--json"],
  verify: ["db:verify:post-deploy", "--json"],
};

/** Faults whose traces other commands find: times of a wrong clock, a lease that is another's. */
const lingers: readonly string[] = ["clock jump", "lost lease", "two operators"];

const person = ["--person", "Ada", "--reason", "the campaign goes on", "--yes", "--json"];

/** @param lie for the campaign's own test: changes what a command is said to have answered. */
export async function runPlan(
  lane: Lane,
  plan: Plan,
  lie: (run: CommandRun) => CommandRun = (run) => run,
): Promise<RunResult> {
  const start = performance.now();
  const run = new Run(lane, plan, lie);
  try {
    await run.play();
  } catch (error) {
    run.violations.push(
      `the campaign itself failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  } finally {
    await run.close();
  }
  const { violations, commands, attempts, committed } = run;
  return {
    ...{ plan, violations: [...new Set(violations)], attempts, committed },
    faults: commands?.faults ?? [],
    runs: commands?.runs ?? [],
    seconds: (performance.now() - start) / 1000,
  };
}

/** What `gate run --json` says, as far as it is judged. */
interface GateAnswer {
  readonly runId: string;
  readonly receiptSha256: string | null;
  readonly unchanged: boolean;
}

/** What a released version does. */
interface Version {
  readonly commit: string;
  readonly harmless: boolean;
}

class Run {
  readonly violations: string[] = [];
  commands: Commands | undefined;
  attempts = 0;
  private world!: World;
  private truth!: Truth;
  private load: Load | undefined;
  private readonly oracle = new Oracle(followedTables);
  private odd: readonly string[] = [];
  private version!: Version;
  /** The receipt of the last gate that passed. */
  private receipt: Receipt | undefined;
  /** The harmful version was live once. */
  private inflicted = false;
  /** What it did is not undone, nor accepted. */
  private damaged = false;
  private refusedMigration = false;
  /** A deployment that is about to be live, whoever waits for it. */
  private deploying: Promise<unknown> = Promise.resolve();
  private readonly lives = new Map<string, number>();
  /** What an earlier fault of this attempt leaves behind for the commands after it: a clock's wrong times, another's lease. */
  private lingering = false;
  private written = 0;
  private excuse = { killed: false };

  constructor(
    private readonly lane: Lane,
    private readonly plan: Plan,
    private readonly lie: (run: CommandRun) => CommandRun,
  ) {}

  get committed(): number {
    return this.written + (this.load?.committed ?? 0);
  }

  async play(): Promise<void> {
    await this.prepare();
    let done = false;
    while (!done && this.attempts < mostAttempts) done = await this.attempt();
    await this.stopLoad();
    await this.settle();
    if (!done)
      return void this.violations.push(
        `after ${mostAttempts} attempts, of which the last had no fault, the release had not ended well`,
      );
    this.violations.push(...(await this.truth.ofLive()));
    this.violations.push(...(await findLeaks(this.world, this.excuse)).map((leak) => `left behind: ${leak}`));
    this.violations.push(...(await findSecrets(this.world, this.commands!.runs)));
    const twice = [...this.lives].filter(([, times]) => times > 1);
    // A deployment that something else struck is rightly made again.
    const struck = this.plan.faults.filter(({ during }) => during === "railway" || during === "vercel");
    if (struck.length > 0 && struck.every(({ fault }) => fault.kind === "two operators"))
      this.violations.push(
        ...twice.map(([commit, times]) => `${commit.slice(0, 8)} was deployed ${times} times by two operators`),
      );
  }

  async close(): Promise<void> {
    await this.stopLoad();
    await this.deploying;
    await this.world?.close();
  }

  private startLoad(): void {
    const { writers, seed } = this.plan;
    this.load ??= new Load(this.world.url, this.oracle, writers, seed * 7 + this.attempts);
  }

  private async stopLoad(): Promise<void> {
    await this.load?.stop();
    this.written += this.load?.committed ?? 0;
    this.load = undefined;
  }

  private async prepare(): Promise<void> {
    const { plan } = this;
    this.world = await buildWorld(this.lane, plan, { onDeploy: (commit) => this.goLive(commit) });
    this.commands = new Commands(this.world);
    const client = await this.world.connect();
    try {
      this.odd = await createShop(client, plan.orders, plan.oddSchema ? plan.seed : undefined);
      const [rows, database, digests] = [
        await readShop(client),
        await databaseOid(client),
        await readOdd(client, this.odd),
      ];
      for (const [table, found] of rows)
        this.oracle.record(
          [...found].map(([key, content]) => ({ table, key, content })),
          1n,
          database,
        );
      this.truth = new Truth(this.world, this.oracle, digests);
    } finally {
      await client.end();
    }
    this.newVersion(plan.damage === "none" && !plan.brokenHealth);
    const text = migrationText[plan.migration];
    if (text !== null) writeFileSync(this.migrationFile(plan.migration), text);
  }

  private migrationFile(name: string): string {
    return join(this.world.migrationsFolder, `20260101000000_${name.replaceAll(/\W/g, "_")}.sql`);
  }

  private newVersion(harmless: boolean): void {
    const commit = createHash("sha1").update(`${this.plan.seed} ${this.attempts}`).digest("hex");
    this.version = { commit, harmless };
    if (!harmless && this.plan.brokenHealth) this.world.app.broken.add(commit);
  }

  private goLive(commit: string): Promise<void> {
    const going = this.becomeLive(commit);
    this.deploying = going.catch(() => undefined);
    return going;
  }

  private async becomeLive(commit: string): Promise<void> {
    this.lives.set(commit, (this.lives.get(commit) ?? 0) + 1);
    if (commit !== this.version.commit || this.version.harmless || this.inflicted) return;
    this.inflicted = true;
    const client = await this.world.connect();
    try {
      await inflict(this.plan.damage, client, this.oracle, this.odd);
      this.damaged = this.plan.damage !== "none";
    } finally {
      await client.end();
    }
  }

  /** What a killed command had started, such as a deployment, has ended: nothing of it happens after the next comparison. */
  private async quiet(): Promise<void> {
    for (let tries = 0; tries < 100 && processesOf(this.world).length > 0; tries++) await sleep(100);
    await this.deploying;
  }

  /** The way once, from the gate. @returns whether it ended well. */
  private async attempt(): Promise<boolean> {
    const faults = this.attempts === 0 ? this.plan.faults : [];
    this.attempts += 1;
    this.lingering = false;
    await this.quiet();
    this.startLoad();
    for (const step of this.plan.steps) {
      const run = await this.step(
        step,
        faults.find(({ during }) => during === step),
      );
      if (run.code === 0) continue;
      await this.correct();
      return false;
    }
    return true;
  }

  private async step(step: WayStep, fault: PlannedFault | undefined): Promise<CommandRun> {
    const run = await this.command(words[step], fault, this.expected(step));
    if (fault !== undefined && lingers.includes(fault.fault.kind)) this.lingering = true;
    if (fault !== undefined) await this.quiet();
    if (run.code === 0) await this.judge(step, run, fault);
    else if (step === "verify" && run.code === 1 && run.stdout.trim() !== "") await this.judgeFailure(run);
    return run;
  }

  /** What a step must exit with when nothing strikes it. */
  private expected(step: WayStep): number {
    if (step === "gate") return this.damaged || this.mustRefuse() ? 1 : 0;
    if (step === "verify") return this.damaged || (this.plan.brokenHealth && !this.version.harmless) ? 1 : 0;
    return 0;
  }

  private mustRefuse(): boolean {
    return mustBeRefused(this.plan.migration) && !this.refusedMigration;
  }

  /** Runs a command and says what of its exit is not as it must be. */
  private async command(
    line: readonly string[],
    planned: PlannedFault | undefined,
    expected: number,
  ): Promise<CommandRun> {
    const run = this.lie(await this.commands!.run(line, { DBPROTECT_RELEASE_VERSION: this.version.commit }, planned));
    if (planned?.fault.kind === "kill" && planned.fault.signal === "SIGKILL") this.excuse = { killed: true };
    if (planned?.fault.kind === "server crash") await untilServes(this.world);
    this.violations.push(...faultsOfExit(run));
    const allowed = [
      expected,
      ...(planned === undefined ? [] : excused(planned.fault, run)),
      ...(this.lingering ? [1, 3] : []),
    ];
    if (!allowed.includes(run.code)) {
      const why = planned === undefined ? "without a fault" : `during ${JSON.stringify(planned.fault)}`;
      this.violations.push(
        `${line.join(" ")}: exit ${run.code}, expected ${allowed.join(" or ")} ${why}: ${lastLine(run.stderr)}`,
      );
    }
    return run;
  }

  private async judge(step: WayStep, run: CommandRun, fault: PlannedFault | undefined): Promise<void> {
    const { commit } = this.version;
    const { app } = this.world;
    await this.settle();
    if (step === "gate") {
      const { runId, receiptSha256, unchanged } = JSON.parse(run.stdout) as GateAnswer;
      if (unchanged) return this.judgeUnchanged();
      if (receiptSha256 === null) return void this.violations.push("the gate passed without a receipt");
      if (this.mustRefuse()) this.violations.push(`the gate let a migration pass that ${this.plan.migration}`);
      const shared = fault?.fault.kind === "lost lease" || fault?.fault.kind === "two operators";
      this.violations.push(...(await this.truth.ofGate(runId, receiptSha256, shared)));
      // Of two operators the other one's gate may have passed after this one.
      const named = currentReceipt(await readLease(this.world.store));
      this.receipt = await this.truth.receipt(named?.runId ?? runId);
    }
    if ((step === "railway" || step === "vercel") && app.live[step] !== commit)
      this.violations.push(
        `${step} was said to be live, and ${app.live[step].slice(0, 8)} answers, not ${commit.slice(0, 8)}`,
      );
    if (step === "verify" && this.receipt !== undefined) {
      this.violations.push(...(await this.truth.ofVerification(this.receipt)));
      if (this.damaged) this.violations.push(`verified, and the release ${this.plan.damage}`);
    }
  }

  /** A gate that found its version live and verified: somebody else's verification, or one that was struck at its very end. */
  private async judgeUnchanged(): Promise<void> {
    const { commit } = this.version;
    if (this.world.app.live.railway !== commit) this.violations.push("unchanged, and another version answers");
    if (this.receipt === undefined) this.violations.push("unchanged, and no gate has passed");
    else this.violations.push(...(await this.truth.ofVerification(this.receipt)));
  }

  /** A verification that failed must have a reason: a loss, or an application that does not answer. */
  private async judgeFailure(run: CommandRun): Promise<void> {
    const document = JSON.parse(run.stdout) as {
      findings?: readonly string[];
      data?: { findings: readonly string[] } | null;
    };
    const findings = document.data?.findings ?? [];
    if (findings.length > 0 && !this.damaged)
      this.violations.push(`a verification found a loss where nothing was lost: ${findings[0]}`);
  }

  /** Between two attempts: whatever a person would do by now. */
  private async correct(): Promise<void> {
    const { plan } = this;
    await this.quiet();
    if (this.mustRefuse()) {
      // Refused for whatever reason: the next attempt comes with a corrected one.
      this.refusedMigration = true;
      rmSync(this.migrationFile(plan.migration));
      writeFileSync(this.migrationFile("additive"), migrationText.additive!);
    }
    const freezes = await readFreezes(this.world.store);
    const frozen = freezes.filter(({ state }) => state === "active");
    for (const { runId } of frozen)
      if (runId !== null && isRowLoss(plan.damage)) this.violations.push(...(await this.truth.ofNamedRows(runId)));
    if (frozen.length > 0) await this.remedy();
    if (this.inflicted || plan.brokenHealth) this.newVersion(true);
  }

  private async remedy(): Promise<void> {
    const { remedy, damage } = this.plan;
    const fault = this.plan.faults.find(({ during }) => during === "remedy");
    if (this.receipt === undefined) return void this.violations.push("frozen before any gate passed");
    const { visibility } = (await this.truth.manifest(this.receipt)).snapshot;
    if (remedy === "accept") return this.unfreeze(["--accept-missing"]);
    let way: "repair" | "restore by swap" | "restore in place" = remedy;
    if (way === "repair") {
      if (!isRowLoss(damage)) way = "restore by swap";
      else if (await this.repair(fault, visibility)) return this.unfreeze([]);
      else way = "restore by swap";
    }
    await this.restore(way, fault, visibility);
    await this.unfreeze([]);
  }

  /** @returns false: something stands in its way, and it said so. */
  private async repair(fault: PlannedFault | undefined, visibility: string): Promise<boolean> {
    await this.stopLoad();
    const line = ["db:repair", "--yes", "--json"];
    for (const planned of fault === undefined ? [undefined] : [fault, undefined]) {
      const run = await this.command(line, planned, 0);
      if (run.code !== 0) continue;
      this.oracle.putBack(visibility, freelyDeleted);
      await this.settle();
      this.violations.push(...(await this.truth.ofVerification(this.receipt!)).map((lie) => `repaired, and ${lie}`));
      return true;
    }
    return false;
  }

  private async restore(
    way: "restore by swap" | "restore in place",
    fault: PlannedFault | undefined,
    visibility: string,
  ): Promise<void> {
    // In place the application has to wait anyway; a swap is done under load.
    if (way === "restore in place") await this.stopLoad();
    const line = [
      "db:emergency-restore",
      this.receipt!.backup.name,
      ...(way === "restore in place" ? ["--in-place"] : []),
      "--yes",
      "--json",
    ];
    const planned = fault?.fault.kind === "two operators" ? undefined : fault;
    for (const strikes of planned === undefined ? [undefined] : [planned, undefined]) {
      const before = await this.oid();
      const run = await this.command(line, strikes, 0);
      await this.settle();
      const after = await this.oid();
      if (run.code !== 0 && before === after) continue;
      const { aside } = run.code === 0 ? (JSON.parse(run.stdout) as { aside: string | null }) : { aside: null };
      if (aside !== null && this.plan.damage !== "drops a table" && this.plan.damage !== "drops a column")
        this.violations.push(
          ...(await this.truth.ofDatabase(aside, this.oracle.inDatabase(before))).map((line) => `put aside: ${line}`),
        );
      this.oracle.restored(visibility, after, after !== before);
      if (run.code === 0) return;
    }
  }

  private async oid(): Promise<string> {
    const client = await this.world.connect();
    return databaseOid(client).finally(() => client.end());
  }

  private async unfreeze(more: readonly string[]): Promise<void> {
    this.damaged = false;
    const run = await this.command(["deploy:unfreeze", ...person, ...more], undefined, 0);
    if (run.code === 0 && more.length === 0 && this.receipt !== undefined) {
      const lies = await this.truth.ofVerification(this.receipt);
      this.violations.push(...lies.map((lie) => `unfrozen without acceptance, and ${lie}`));
    }
    if (more.length > 0) await this.accept();
  }

  /** What a person accepted as lost is lost from now on; it was named. */
  private async accept(): Promise<void> {
    const client = await this.world.connect();
    try {
      this.truth = new Truth(this.world, this.oracle, await readOdd(client, this.odd));
      this.oracle.forget(await readShop(client));
    } finally {
      await client.end();
    }
  }

  private async settle(): Promise<void> {
    const client = await this.world.connect();
    try {
      await this.oracle.settle(async (xid) => {
        const { rows } = await client.query<{ at: Date | null }>(
          `SELECT CASE pg_xact_status($1::text::xid8) WHEN 'committed' THEN pg_xact_commit_timestamp($1::text::xid) END AS at`,
          [String(xid)],
        );
        return rows[0]?.at ?? undefined;
      });
    } finally {
      await client.end();
    }
  }
}

function lastLine(text: string): string {
  return text.trim().split("\n").slice(-2).join(" | ").slice(0, 400);
}

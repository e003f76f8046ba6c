/** The ways back, mildest first, each with what it costs this database; and which of them to take, and why. Pure. */
import { describeSeconds } from "../verification/expectedRto";
import type { Assessment, DamagedTable, LadderRung } from "./assessment";

/** The strategy gives recovery the minutes 5 to 30. */
const recoverySeconds = 25 * 60;

/** Of its 0 to 5 minutes. */
export const immediateSeconds = 5 * 60;

/** What was measured; null: never. */
export interface Measured {
  readonly rollbackSeconds: number | null;
  readonly rollbacks: number;
  /** Of the backup that is to be restored; without the safety backup. */
  readonly restoreSeconds: number | null;
  readonly restores: number;
  readonly backupSeconds: number | null;
  /** Of this assessment: one comparison with the live database. */
  readonly compareSeconds: number | null;
  /** Whether a restored copy of that backup lives. */
  readonly copyLives: boolean;
}

export type LadderFacts = Pick<
  Assessment,
  "database" | "lastGood" | "receipt" | "lossWindowSeconds" | "tables" | "definitions" | "dataChecks" | "health"
> & {
  readonly measured: Measured;
  /** Whether a platform is configured that could be rolled back. */
  readonly application: boolean;
  /** What a recovery of the platform's would aim at: of the newest receipt. Null: no receipt. */
  readonly recoveryPoint: string | null;
};

export function ladderOf(facts: LadderFacts): LadderRung[] {
  return [rollbackRung(facts), repairRung(facts), restoreRung(facts), recoveryRung(facts)];
}

function rung(
  name: LadderRung["rung"],
  rest: Omit<LadderRung, "rung" | "withinStrategy">,
  limit = recoverySeconds,
): LadderRung {
  const withinStrategy = rest.expectedSeconds === null ? null : rest.expectedSeconds <= limit;
  return { rung: name, ...rest, withinStrategy };
}

function rollbackRung({ application, measured }: LadderFacts): LadderRung {
  return rung(
    "deploy:rollback",
    {
      command: "npm run deploy:rollback",
      possible: application,
      detail: application
        ? "takes the application back; brings no row back"
        : "neither Railway nor Vercel is configured here",
      expectedSeconds: measured.rollbackSeconds,
      basis: measured.rollbackSeconds === null ? "never measured here" : `median of ${measured.rollbacks} rollback(s)`,
      lossSeconds: 0,
    },
    immediateSeconds,
  );
}

/** Whatever is damaged, a backup that was compared with holds it: none means that there was none. */
const noBackup = "no backup of this database could be compared with";

function repairRung({ tables, lastGood, receipt, measured, database, definitions }: LadderFacts): LadderRung {
  const why =
    database.state !== "reachable"
      ? "there is no database to put rows back into"
      : lastGood === null
        ? noBackup
        : tables.length === 0 && definitions.length === 0
          ? "no row is missing"
          : tables.some(({ repairable }) => !repairable)
            ? `what is gone is more than rows: ${namesOf(tables.filter(({ repairable }) => !repairable))}`
            : undefined;
  const columns = tables.flatMap(({ table, columns: changed }) =>
    changed.length === 0 ? [] : [`${table}:${changed.map(({ column }) => column).join(",")}`],
  );
  const basis = receipt === null ? `--backup ${lastGood?.name ?? ""}` : `--receipt ${receipt}`;
  const { copyLives, restoreSeconds, compareSeconds } = measured;
  const copySeconds = copyLives ? 0 : restoreSeconds;
  return rung("db:repair", {
    command: `npm run db:repair -- ${basis}${columns.length === 0 ? "" : ` --columns ${columns.join(" ")}`}`,
    possible: why === undefined,
    detail: why ?? "puts back just what is missing; what was written since stays",
    // It compares before and after, and once more to name the rows.
    expectedSeconds: copySeconds === null || compareSeconds === null ? null : copySeconds + 3 * compareSeconds,
    basis: `${copyLives ? "the gate's copy lives" : "a copy is restored first"}; comparing took ${compareSeconds === null ? "?" : describeSeconds(compareSeconds)} just now`,
    lossSeconds: 0,
  });
}

function restoreRung({ lastGood, lossWindowSeconds, measured, database }: LadderFacts): LadderRung {
  const { restoreSeconds, restores, backupSeconds } = measured;
  const possible = lastGood !== null && lastGood.depth >= 4 && database.state !== "unreachable";
  const safety = database.state === "reachable" ? backupSeconds : 0;
  return rung("db:emergency-restore", {
    command: `npm run db:emergency-restore -- ${lastGood?.name ?? "<backup>"}`,
    possible,
    detail: possible
      ? "the whole database as it was then; what is live now is kept beside it"
      : database.state === "unreachable"
        ? "the server cannot be reached"
        : lastGood === null
          ? noBackup
          : `${lastGood.name} was verified at depth ${lastGood.depth} only: npm run db:verify -- ${lastGood.name}`,
    expectedSeconds: restoreSeconds === null || safety === null ? null : restoreSeconds + safety,
    basis:
      restoreSeconds === null
        ? "nothing of this store was ever restored"
        : `median of ${restores} restore(s), scaled${safety === 0 ? "" : ", with a safety backup"}`,
    lossSeconds: lossWindowSeconds,
  });
}

/** Asked of the platform, not of this program: what it offers and how long it takes is the platform's. */
function recoveryRung({ recoveryPoint }: LadderFacts): LadderRung {
  return rung("point-in-time recovery", {
    command: null,
    possible: false,
    detail:
      recoveryPoint === null
        ? "by the platform, where it offers it: npm run platform:check"
        : `by the platform, where it offers it (npm run platform:check), to ${recoveryPoint}`,
    ...{ expectedSeconds: null, basis: "the platform's, never measured here", lossSeconds: null },
  });
}

/** The mildest way that brings all of it back. */
export function recommend(facts: LadderFacts, ladder: readonly LadderRung[]): Assessment["recommendation"] {
  const { database, tables, definitions, dataChecks, health, lastGood } = facts;
  const of = (name: LadderRung["rung"]): LadderRung => ladder.find((each) => each.rung === name)!;
  const take = (name: LadderRung["rung"], reason: string): Assessment["recommendation"] => {
    return { rung: name, command: of(name).command, reason };
  };
  const none = (reason: string): Assessment["recommendation"] => ({ rung: null, command: null, reason });
  if (database.state === "unreachable")
    return none(`${database.detail}: nothing can be told of the data; see the platform's status page first`);
  const restore = of("db:emergency-restore");
  const orRestore = (reason: string): Assessment["recommendation"] =>
    restore.possible ? take("db:emergency-restore", reason) : none(`${reason}; but ${restore.detail}`);
  if (database.state === "gone")
    return orRestore("the database is gone: only a restore of all of it brings it back, and nothing is left to lose");
  if (tables.length + definitions.length > 0) {
    if (of("db:repair").possible)
      return take(
        "db:repair",
        `rows are damaged in ${namesOf(tables) || "definitions only"}; it is the mildest way, and keeps what was written since ${lastGood?.takenAt ?? ""}`,
      );
    return orRestore(`${of("db:repair").detail}: a repair of rows cannot bring that back`);
  }
  const rows = lastGood === null ? `whether rows are missing is not known (${noBackup})` : "no row is missing";
  if (health.outcome === "fail")
    return of("deploy:rollback").possible
      ? take("deploy:rollback", `the application does not answer (${health.failing.join(", ")}) and ${rows}`)
      : none(`the application does not answer and ${rows}; nothing is configured that could be rolled back`);
  if (dataChecks?.verdict === "halt")
    return none(
      `${rows}, but data checks fail (${dataChecks.summary}): if values are wrong, name their columns: npm run db:repair -- --columns <table>:<column>`,
    );
  return none(lastGood === null ? `${rows}: check BACKUP_STORE` : "nothing that can be compared is damaged");
}

function namesOf(tables: readonly Pick<DamagedTable, "table">[]): string {
  return tables.map(({ table }) => table).join(", ");
}

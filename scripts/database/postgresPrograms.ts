/** Which folder of PostgreSQL programs a piece of work uses; picked by major, never the first one found. */
import {
  type PostgresPrograms,
  preferredMajor,
  programsFor,
  programsIn,
  searchPostgres,
} from "../../bin/setup/postgresSearch.js";
import { UsageError } from "../contract/failure";

export { type PostgresPrograms, preferredMajor };

export interface PostgresWish {
  /** Exactly this major. */
  readonly major?: number;
  /** The lowest major that is at least this one; `PG_BIN` wins if its major is high enough. Not with `major`. */
  readonly atLeast?: number;
  /** `client`: pg_dump, pg_restore, pg_dumpall, psql. `server`: postgres and initdb too. Default `server`. */
  readonly use?: "client" | "server";
}

/** A search runs each candidate's `pg_dump --version`; what a process found once it need not look for again. */
const found = new Map<string, PostgresPrograms>();

/**
 * The programs of the wanted major. Without `major` and `atLeast`: the preferred major (17), else the newest.
 * Order: `PG_BIN`, PATH, the usual folders of distributions and installers, what setup fetched.
 *
 * @throws UsageError naming the majors that are there and the command that gets the wanted one.
 */
export function findPostgres(wish: PostgresWish = {}, env: NodeJS.ProcessEnv = process.env): PostgresPrograms {
  const use = wish.use ?? "server";
  const key = JSON.stringify([wish, env["PG_BIN"], env["PATH"], env["DBPROTECT_CACHE"]]);
  const known = found.get(key);
  if (known) return known;
  const named = env["PG_BIN"] === undefined || env["PG_BIN"] === "" ? undefined : env["PG_BIN"];
  if (named !== undefined && programsIn(named, use) === undefined) {
    throw new UsageError(`PG_BIN: found ${named}: expected a folder with working ${programsFor[use].join(", ")}`, {
      hint: "point PG_BIN at PostgreSQL's bin folder, or unset it",
    });
  }
  const candidates = searchPostgres(use, env);
  const chosen = choose(candidates, wish, named);
  if (chosen === undefined) {
    const majors = [...new Set(candidates.map(({ major }) => major))].sort((a, b) => a - b);
    const wanted = wish.major ?? wish.atLeast ?? preferredMajor;
    const which = wish.major === undefined && wish.atLeast !== undefined ? `${wanted} or newer` : String(wanted);
    throw new UsageError(
      `PostgreSQL ${which} is not on this machine (looked for its ${use} programs; found ${majors.length === 0 ? "none" : majors.join(", ")})`,
      { hint: `run: npm run setup -- --postgres ${wanted}` },
    );
  }
  found.set(key, chosen);
  return chosen;
}

function choose(
  candidates: readonly PostgresPrograms[],
  wish: PostgresWish,
  named: string | undefined,
): PostgresPrograms | undefined {
  if (wish.major !== undefined) return candidates.find(({ major }) => major === wish.major);
  const { atLeast } = wish;
  if (atLeast !== undefined) {
    const enough = candidates.filter(({ major }) => major >= atLeast);
    const lowest = Math.min(...enough.map(({ major }) => major));
    return enough.find(({ binDir }) => binDir === named) ?? enough.find(({ major }) => major === lowest);
  }
  const newest = Math.max(...candidates.map(({ major }) => major));
  return (
    candidates.find(({ binDir }) => binDir === named) ??
    candidates.find(({ major }) => major === preferredMajor) ??
    candidates.find(({ major }) => major === newest)
  );
}

/**
 * Railway goes back to an old image: a new deployment of it, with the variables of then. The request returns no record, so
 * the deployment that is newer than the one of before the request is the rollback.
 */
import type { RailwayNote, RollbackTurn } from "../control/rollback";
import { Refusal, Unavailable } from "../contract/failure";
import { type Railway, type RailwayDeployment, railwayPhase } from "../platforms/railway";
import { followState } from "./followState";
import type { SideContext, SideOutcome } from "./rollbackSide";
import { liveOnRailway } from "./rollbackTargets";

/** Seconds in which a rollback that was asked for, without an answer, must have shown. */
const appearanceSeconds = 20;

/** @throws Refusal when it cannot be gone back to, or the new deployment does not become live; Unavailable when it takes too long. */
export async function rollbackRailway(
  railway: Railway,
  turn: RollbackTurn,
  to: string,
  context: SideContext,
): Promise<SideOutcome> {
  const before = await liveOnRailway(railway);
  const latest = await railway.latest();
  const former = turn.railway?.target === to ? turn.railway : null;
  if (before !== undefined && (before.id === to || before.id === former?.became)) {
    // It stays live when nothing newer takes its place: a build that failed never will, one under way is cancelled.
    const { cancelled } = await endNewer(railway, before, context);
    if (cancelled.length === 0) return { outcome: "already", from: before.id, live: before.id, message: "it is live" };
    return {
      ...{ outcome: "rolled back", from: before.id, live: before.id },
      message: `it is live; cancelled before it took its place: ${cancelled.join(", ")}`,
    };
  }
  const target = await railway.deployment(to);
  const underWay = former !== null && latest !== null && isRollbackOf(target, former, latest);
  const note = underWay ? former : { target: to, latestBefore: latest?.id ?? null, became: null };
  if (underWay) context.onProgress(`railway: a former run has asked for it already: deployment ${latest.id}`);
  else await ask(railway, turn, target, note, context);
  const became = await confirm(railway, target, note, context);
  await turn.noteRailway({ ...note, became });
  return {
    outcome: "rolled back",
    from: before?.id ?? null,
    live: became,
    message: `deployment ${became} has its image`,
  };
}

/**
 * Waits until every deployment newer than this one has ended, by itself or cancelled.
 *
 * @throws Unavailable when one goes on, or became live meanwhile.
 */
async function endNewer(
  railway: Railway,
  live: RailwayDeployment,
  context: SideContext,
): Promise<{ readonly cancelled: readonly string[] }> {
  const cancelled: string[] = [];
  await followState<true>(
    "railway",
    async () => {
      const all = await railway.deployments();
      const newer = all.slice(
        0,
        all.findIndex(({ id }) => id === live.id),
      );
      const open = newer.filter(({ status }) => railwayPhase(status) !== "ended");
      if (open.some(({ status }) => railwayPhase(status) === "live")) {
        throw new Unavailable(`deployment ${open[0]?.id} became live before it could be cancelled`, {
          hint: "run this again: it is rolled back like any other",
        });
      }
      for (const { id } of open.filter((each) => !cancelled.includes(each.id))) {
        context.onProgress(`railway: deployment ${id} is under way: cancelled`);
        await railway.cancel(id);
        cancelled.push(id);
      }
      const first = open[0];
      return first === undefined ? { done: true } : { awaited: `deployment ${first.id}: ${first.status}` };
    },
    context,
  );
  return { cancelled };
}

/** Newer than what was the newest when it was asked for, of the same build, and not given up. */
function isRollbackOf(target: RailwayDeployment, note: RailwayNote, latest: RailwayDeployment): boolean {
  return (
    latest.id !== note.latestBefore &&
    compareBuilds(target, latest) === "same" &&
    railwayPhase(latest.status) !== "ended"
  );
}

function compareBuilds(one: RailwayDeployment, other: RailwayDeployment): "same" | "other" | "not known" {
  for (const key of ["imageDigest", "commitHash"] as const) {
    const [a, b] = [one.meta?.[key], other.meta?.[key]];
    if (typeof a === "string" && typeof b === "string") return a === b ? "same" : "other";
  }
  return "not known";
}

async function ask(
  railway: Railway,
  turn: RollbackTurn,
  target: RailwayDeployment,
  note: RailwayNote,
  context: SideContext,
): Promise<void> {
  if (!target.canRollback) {
    throw new Refusal(
      `deployment ${target.id} (${target.status}) cannot be rolled back to: Railway no longer keeps its image`,
      {
        hint: "deploy that version again: railway up --ci from its commit",
      },
    );
  }
  await turn.noteRailway(note);
  try {
    await railway.rollback(target.id);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    // It may have been accepted all the same.
    context.onProgress(`railway: ${error.message}; looking whether it was accepted`);
    const options = { ...context, seconds: Math.min(appearanceSeconds, context.seconds) };
    await followState("railway", async () => appeared(await railway.latest(), note), options).catch(() => {
      context.signal.throwIfAborted();
      throw error;
    });
  }
}

function appeared(
  latest: RailwayDeployment | null,
  note: RailwayNote,
): { done: RailwayDeployment } | { awaited: string } {
  return latest !== null && latest.id !== note.latestBefore
    ? { done: latest }
    : { awaited: "waiting for the new deployment to show" };
}

/** @returns the id of the deployment that is live, read again from Railway. */
function confirm(
  railway: Railway,
  target: RailwayDeployment,
  note: RailwayNote,
  context: SideContext,
): Promise<string> {
  return followState(
    "railway",
    async () => {
      const found = appeared(await railway.latest(), note);
      if ("awaited" in found) return found;
      const { id, status } = found.done;
      if (compareBuilds(target, found.done) === "other") {
        throw new Refusal(`deployment ${id} of another build overtook the rollback: somebody else deploys`, {
          hint: "stop that (npm run deploy:freeze), then run this again",
        });
      }
      switch (railwayPhase(status)) {
        case "live":
          return { done: id };
        case "ended":
          throw new Refusal(`deployment ${id} ended as ${status}`, { hint: "look at its log in Railway's dashboard" });
        case "waiting":
          return { awaited: `deployment ${id} waits for an approval in Railway's dashboard (${status})` };
        case "passing":
        case "unknown":
          return { awaited: `deployment ${id}: ${status}` };
      }
    },
    context,
  );
}

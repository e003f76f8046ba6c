/** Vercel points the production domains to an old deployment: nothing is built, and its build-time variables stay. */
import { Refusal, Unavailable } from "../contract/failure";
import { PlatformRefusal } from "../platforms/platformRefusal";
import type { Vercel, VercelProject } from "../platforms/vercel";
import { followState } from "./followState";
import type { SideContext, SideOutcome } from "./rollbackSide";

/** @throws Refusal when it cannot be gone back to, or the domains do not move; Unavailable when it takes too long. */
export async function rollbackVercel(vercel: Vercel, to: string, context: SideContext): Promise<SideOutcome> {
  const before = await vercel.project();
  const from = before.productionId;
  if (isMoving(before)) {
    const { toDeploymentId, type } = before.lastAliasRequest;
    if (toDeploymentId !== to) {
      throw new Unavailable(`a ${type} to deployment ${toDeploymentId} is under way`, {
        hint: "run this again when it is done",
      });
    }
    context.onProgress("vercel: it has been asked for already");
    return {
      outcome: "rolled back",
      from,
      live: await confirm(vercel, to, undefined, context),
      message: "production points to it",
    };
  }
  if (from === to) return { outcome: "already", from, live: from, message: "production points to it" };
  const former = before.lastAliasRequest?.requestedAt;
  await ask(vercel, to, former, context);
  return {
    outcome: "rolled back",
    from,
    live: await confirm(vercel, to, former, context),
    message: "production points to it",
  };
}

function isMoving(project: VercelProject): project is VercelProject & { lastAliasRequest: object } {
  return ["pending", "in-progress"].includes(project.lastAliasRequest?.jobStatus ?? "");
}

async function ask(vercel: Vercel, to: string, former: number | undefined, context: SideContext): Promise<void> {
  try {
    await vercel.rollback(to);
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof PlatformRefusal) throw explain(error, to);
    if (!(error instanceof Unavailable)) throw error;
    // It may have been accepted all the same.
    context.onProgress(`vercel: ${error.message}; looking whether it was accepted`);
    const { lastAliasRequest } = await vercel.project();
    if (lastAliasRequest?.toDeploymentId !== to || lastAliasRequest.requestedAt === former) throw error;
  }
}

function explain(error: PlatformRefusal, to: string): Refusal | Unavailable {
  const said = `deployment ${to}: ${error.message}`;
  switch (error.status) {
    case 402:
      return new Refusal(said, {
        cause: error,
        hint: "the Hobby plan goes back one deployment only: promote another one",
      });
    case 404:
    case 410:
      return new Refusal(said, { cause: error, hint: "it is gone: name another one with --to-deployment" });
    case 409:
      return new Unavailable(said, {
        cause: error,
        hint: "another rollback or promotion is under way: run this again",
      });
    case 422:
      return new Refusal(said, {
        cause: error,
        hint: "production never pointed to it: name another one with --to-deployment",
      });
    default:
      return error;
  }
}

/** @param former when the request before ours was made: what Vercel tells of that one is not about ours. */
function confirm(vercel: Vercel, to: string, former: number | undefined, context: SideContext): Promise<string> {
  return followState<string>(
    "vercel",
    async () => {
      const { productionId, lastAliasRequest: request } = await vercel.project();
      if (request === null || request.toDeploymentId !== to || request.requestedAt === former) {
        return { awaited: "waiting for the request to show" };
      }
      if (request.jobStatus === "failed" || request.jobStatus === "skipped") {
        throw new Refusal(`Vercel's rollback to ${to} ended as ${request.jobStatus}`, { hint: "run this again" });
      }
      if (request.jobStatus !== "succeeded") return { awaited: `rollback to ${to}: ${request.jobStatus}` };
      return productionId === to
        ? { done: to }
        : { awaited: `production still points to ${productionId ?? "nothing"}` };
    },
    context,
  );
}

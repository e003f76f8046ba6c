/** The scene of a version that starts and does not answer: the application goes back by itself. */
import { unhealthyVersion } from "./crm/versions";
import { endingOf } from "./ending";
import { versionsThatAnswer, whyHalted } from "./sceneEvidence";
import type { Scene } from "./scenes";

export const unhealthyRelease: Scene = {
  name: "A release that does not answer",
  does: `Version ${unhealthyVersion} starts, but its health check fails; rollback.onFailure is application.`,
  expected: "verification fails: health; application rolled back",
  async act(stage) {
    const [api, frontend] = await versionsThatAnswer(stage);
    const mark = stage.world.log.requests.length;
    // Not watched: what the verification alone finds takes the application back as well.
    const plan = { version: unhealthyVersion, healthSeconds: 1, soakSeconds: 0 };
    const result = await stage.up({ ...plan, onFailure: "application" });
    const after = (await versionsThatAnswer(stage)).join(", ");
    const health = await fetch(`${stage.world.host.url}/api/health`);
    const calls = stage.world.log.requests.slice(mark).map(({ call }) => call);
    const rollbacks = calls.filter((call) => /deploymentRollback|POST .*\/rollback\//.test(call));
    const took = /application: rolled back within [\d.]+ s/.exec([...result.errors, stage.printed()].join("\n"));
    const events = stage.releaseEvents();
    return {
      actual: `${endingOf(result)}; application ${took === null ? "not rolled back" : "rolled back"}`,
      evidence: [
        whyHalted(result, "/api/health"),
        {
          claim: "one request to each platform to go back",
          found: rollbacks.join(", "),
          holds: rollbacks.length === 2,
        },
        {
          claim: "version that answers again: API, frontend",
          found: `${after}; health ${health.status}`,
          holds: after === `${api}, ${frontend}` && health.ok,
        },
        { claim: "the time, beside the strategy's five minutes", found: took?.[0] ?? "not told", holds: took !== null },
        {
          claim: "what the store recorded: no row is lost, and the version is not live",
          found: events.join(", "),
          holds: ["verified", "railway-rolled-back", "vercel-rolled-back"].every((event) => events.includes(event)),
        },
      ],
    };
  },
};

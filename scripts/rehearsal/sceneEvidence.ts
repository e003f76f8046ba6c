/** What several scenes look at as evidence: the version that answers, the reason that a user reads. */
import { reasonGiven } from "./ending";
import type { UpResult } from "./engine/engine";
import type { SceneEvidence, Stage } from "./stage";

/** Of the API and of the frontend, whatever their health. */
export async function versionsThatAnswer(stage: Stage): Promise<readonly [api: string, frontend: string]> {
  const { version } = (await (await fetch(`${stage.world.host.url}/api/health`)).json()) as { version: string };
  const page = await (await fetch(stage.world.host.url)).text();
  return [version, /Version ([\d.]+)/.exec(page)?.[1] ?? "none"];
}

/** The reason that the user reads, which must name the culprit. */
export function whyHalted(result: UpResult, culprit: string): SceneEvidence {
  const reason = reasonGiven(result);
  return { claim: "the reason that is given", found: reason, holds: reason.includes(culprit) };
}

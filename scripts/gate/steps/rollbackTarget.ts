/** Gate step: what is live on Railway and Vercel now, so that the release can be rolled back to it. */
import { messageOf } from "../../contract/failure";
import { hintWithLinks } from "../../contract/links";
import type { RollbackTarget } from "../../record/receipt";
import { type Platform, describeTarget, findTarget, openPlatforms, platforms } from "../../release/rollbackTargets";
import type { GateFinding, GateStep } from "../context";

export const rollbackTargetStep: GateStep = {
  name: "rollback-target",
  async run({ settings, signal }, state) {
    const configured = platforms.filter((platform) => settings[platform] !== undefined);
    if (configured.length === 0) return { summary: "neither Railway nor Vercel is released" };
    const found = await Promise.all(configured.map((platform) => look(platform, signal)));
    const targets = {
      railway: null,
      vercel: null,
      ...Object.fromEntries(found.map(({ platform, target }) => [platform, target])),
    };
    state.rollback = targets;
    const lacking = found.filter(({ target }) => target?.possible !== true);
    const findings: GateFinding[] =
      settings.rollback.target === "optional"
        ? []
        : lacking.map(({ platform, message }) => ({ id: platform, message }));
    const there = found.length - lacking.length;
    return {
      summary: `${there} of ${found.length} platform(s) can be rolled back${lacking.length > 0 && findings.length === 0 ? "; rollback.target is optional" : ""}`,
      evidence: found.map(({ message }) => message),
      findings,
      hint: hintWithLinks(
        "set what is missing; for a first deployment set rollback.target to optional; if a platform does not answer, look there",
        ...configured,
      ),
    };
  },
};

interface Look {
  readonly platform: Platform;
  readonly target: RollbackTarget | null;
  readonly message: string;
}

async function look(platform: Platform, signal: AbortSignal): Promise<Look> {
  try {
    const target = await findTarget(platform, openPlatforms(process.env, signal));
    return { platform, target, message: `${platform}: ${describeTarget(target)}` };
  } catch (error) {
    signal.throwIfAborted();
    // A platform that cannot be asked now could not be rolled back now either.
    return { platform, target: null, message: `${platform}: ${messageOf(error)}` };
  }
}

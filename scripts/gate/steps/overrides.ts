/** Gate steps that guard the break-glass overrides themselves: none may be expired, none unused. */
import { Refusal } from "../../contract/failure";
import type { GateStep } from "../context";
import { expiredOverrides, isOfTrial, namesInformation, unusedOverrides } from "../overrides";
import { describeOverride } from "../runSteps";

export const overridesStep: GateStep = {
  name: "overrides",
  run({ settings: { overrides } }) {
    const expired = expiredOverrides(overrides, new Date())[0];
    if (expired !== undefined) {
      throw new Refusal(`the override of ${expired.what} expired on ${expired.expires}`, {
        hint: "remove it from the stack's config, or renew it with a new reason",
      });
    }
    return Promise.resolve({
      summary: `${overrides.length} override(s) in force`,
      evidence: overrides.map(describeOverride),
    });
  },
};

/** Stands after the last step before the backup whose findings can be overridden; the trial looks after its own. */
export const unusedOverridesStep: GateStep = {
  name: "unused-overrides",
  run({ settings: { overrides } }, { usedOverrides, migrations = [] }) {
    const unused = unusedOverrides(overrides, usedOverrides).find(
      (override) => !isOfTrial(override) && !namesInformation(override, migrations),
    );
    if (unused === undefined) return Promise.resolve({ summary: "every override was needed" });
    throw new Refusal(`the override of ${unused.what} was not needed by any step`, {
      hint: "remove it from the stack's config: it would wait for the day that something does need it",
    });
  },
};

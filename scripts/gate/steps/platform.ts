/** Gate step: the platform's own protection (Level 1) is as it is demanded to be. */
import { checkPosture, describeFinding, isHalting } from "../../posture/checkPosture";
import type { GateStep } from "../context";

export const platformStep: GateStep = {
  name: "platform",
  async run({ settings, target, signal }) {
    const check = await checkPosture({ settings: settings.platform, target: () => target, signal });
    const open = check.findings.filter(({ outcome }) => outcome !== "met");
    const { findings } = check;
    return {
      summary: `${check.platform}: ${findings.length - open.length} of ${findings.length} requirements met at Level ${check.level}`,
      evidence: findings.filter((finding) => !isHalting(finding)).map(describeFinding),
      findings: findings
        .filter(isHalting)
        .map((finding) => ({ id: finding.requirement, message: describeFinding(finding) })),
      hint: "change it at the platform, or what is demanded in platform.requirements",
    };
  },
};

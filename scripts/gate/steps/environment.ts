/** Gate step: the required variables are there, and the critical ones are as they were accepted. */
import { checkEnvironment } from "../../environment/checkEnvironment";
import type { GateStep } from "../context";

export const environmentStep: GateStep = {
  name: "environment",
  async run({ settings, store }) {
    const check = await checkEnvironment({ store, settings: settings.environment });
    return {
      summary:
        check.verdict === "pass"
          ? (check.lines.at(-1) ?? "")
          : `${check.findings.length} variable(s) missing or changed`,
      evidence: check.lines,
      findings: check.findings.map(({ name, message }) => ({ id: name, message })),
      hint: "put the value back, or acknowledge the change in environment.acknowledgements with reason, person and expiry",
    };
  },
};

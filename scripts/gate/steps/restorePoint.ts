/** Gate step: a restore point of the platform's, by name, that the receipt tells of; only where it is configured. */
import { UsageError } from "../../contract/failure";
import { supabaseOf } from "../../posture/checkPosture";
import { restorePointName, takeRestorePoint } from "../../posture/restorePoint";
import type { GateStep } from "../context";

export const restorePointStep: GateStep = {
  name: "restore-point",
  async run({ settings, runId, signal }, state) {
    if (!settings.platform.restorePoint) return { summary: "none is asked for (platform.restorePoint)" };
    const supabase = supabaseOf(settings.platform, process.env, signal);
    if (supabase === undefined) {
      throw new UsageError("platform.restorePoint: found true without a Supabase project: expected one", {
        hint: "set SUPABASE_ACCESS_TOKEN and SUPABASE_PROJECT_REF, or platform.restorePoint to false",
      });
    }
    const waitSeconds = settings.platform.restorePointSeconds;
    const point = await takeRestorePoint({ supabase, name: restorePointName(runId), waitSeconds, signal });
    state.restorePoint = { name: point.name, completedOn: point.completed_on };
    return {
      summary: `${point.name} is available${point.completed_on === null ? "" : ` since ${point.completed_on}`}`,
    };
  },
};

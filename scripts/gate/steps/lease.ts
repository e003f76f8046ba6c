/** Gate step of the read-only part: does another run hold the right to release? A full gate takes it instead. */
import { demandFreeLease } from "../../control/lease";
import type { GateStep } from "../context";
import { withoutStore } from "./withoutStore";

export const leaseStep: GateStep = {
  name: "lease",
  async run({ store, stack, runId, takeOver }) {
    if (store === undefined) return withoutStore;
    await demandFreeLease(store, { stack, runId, takeOver });
    return { summary: "the lease is free" };
  },
};

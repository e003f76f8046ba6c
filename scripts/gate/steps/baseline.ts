/** Gate step: how the application answers before the release, so that a spike after it can be told from how it always is. */
import type { EndpointBaseline } from "../../record/healthBaseline";
import { type Receipt, readTrustedReceipt } from "../../record/receipt";
import { newestRun, readEvents, releaseSteps } from "../../record/releaseEvents";
import { readNotes } from "../../record/releaseNotes";
import { rolledBackSteps } from "../../release/checklistEvidence";
import type { Store } from "../../store/store";
import { healthEndpoints } from "../../verification/healthChecks";
import { describeBaseline, measureBaseline } from "../../verification/measureBaseline";
import type { GateStep } from "../context";

export const baselineStep: GateStep = {
  name: "baseline",
  async run({ store, settings, addresses, stack, signal }, state) {
    if (settings.watch.soakMinutes === 0) return { summary: "watch.soakMinutes is 0: nothing will be watched" };
    const endpoints = healthEndpoints({ ...addresses, settings: settings.health });
    if (endpoints.length === 0) return { summary: "neither APP_URL nor FRONTEND_URL is set" };
    const former = store === undefined ? undefined : await unwatchedRelease(store, stack);
    const known = (former?.baseline ?? []).filter(({ url }) => endpoints.some((each) => each.url.href === url));
    const unknown = endpoints.filter(({ url }) => !known.some((each) => each.url === url.href));
    const measured = await measureBaseline(unknown, settings.watch.requests, signal);
    state.baseline = [...known, ...measured];
    return {
      summary: summarize(state.baseline, former, known.length),
      evidence: state.baseline.map(describeBaseline),
    };
  },
};

function summarize(baseline: readonly EndpointBaseline[], former: Receipt | undefined, known: number): string {
  const failing = baseline.filter(({ failures }) => failures > 0).length;
  const paths = `${baseline.length} health path${baseline.length === 1 ? "" : "s"} measured`;
  const failed = failing === 0 ? "" : `; ${failing} of them failed at times`;
  const taken =
    known === 0 ? "" : `; ${known} before run ${former?.runId}, which released and was not watched to a good end`;
  return `${paths}${failed}${taken}`;
}

/**
 * The newest release, where what it made live was never seen to be well: measured now, its own spike would pass for how it
 * always is.
 */
async function unwatchedRelease(store: Store, stack: string): Promise<Receipt | undefined> {
  const run = await newestRun(store, stack);
  if (run === undefined) return undefined;
  const [events, notes] = await Promise.all([readEvents(store, run.runId), readNotes(store, run.runId)]);
  const undone = rolledBackSteps({ events });
  const released = releaseSteps.filter((step) => events.some(({ event }) => event === `${step}-started`));
  // One that released nothing says as much as the release before it, whose baseline it took.
  if (released.length > 0 && released.every((step) => undone.includes(step))) return undefined;
  if (notes.findLast(({ kind, item }) => kind === "watched" && item === null)?.ok === true) return undefined;
  return (await readTrustedReceipt(store, run.runId)).receipt;
}

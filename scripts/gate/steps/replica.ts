/** Gate step: whether the live replica follows and has the source's definitions; else it warns or halts. */
import { Unavailable, messageOf } from "../../contract/failure";
import { describeChange } from "../../fingerprint/compare";
import { readDrift } from "../../replica/drift";
import { type ReplicaPair, pairFromEnvironment, withPair } from "../../replica/pair";
import { readStatus } from "../../replica/status";
import type { GateFinding, GateStep } from "../context";

export const replicaStep: GateStep = {
  name: "replica",
  async run({ settings, target }) {
    if (settings.replica === undefined) return { summary: "none is configured (replica)" };
    const pair = { ...pairFromEnvironment(settings), source: target };
    const findings = await look(pair);
    if (findings.length === 0) return { summary: `${pair.settings.name} follows, with the same definitions` };
    const messages = findings.map(({ message }) => message);
    const summary = `the live replica ${pair.settings.name}: ${messages[0] ?? ""}`;
    return pair.settings.onDrift === "warn"
      ? { summary: `WARNING: ${summary}`, evidence: messages }
      : { summary, findings, hint: "run: npm run replication:status; docs/replica.md says what mends it" };
  },
};

async function look(pair: ReplicaPair): Promise<GateFinding[]> {
  try {
    const { findings } = await readStatus(pair);
    const drift = await withPair(pair, readDrift);
    return [
      ...findings.map(({ id, message }) => ({ id, message })),
      ...drift.map((change) => ({ id: `drift:${change.kind} ${change.name}`, message: describeChange(change) })),
    ];
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return [{ id: "unreachable", message: messageOf(error) }];
  }
}

/** The live replica for people: what stands in its way, what a setup does, how it stands. */
import { describeIdentity } from "../database/identity";
import type { IdleSlot } from "../replica/janitor";
import type { Finding } from "../replica/preflight";
import type { SetupPlan } from "../replica/setUp";
import type { ReplicaStatus } from "../replica/status";
import { renderTable } from "./table";

export function describeFindings(findings: readonly Finding[]): string {
  if (findings.length === 0) return "nothing stands in the way";
  return findings
    .map(
      ({ id, severity, problem, fix }) =>
        `${severity === "halt" ? "HALT" : "note"} ${id}: ${problem}\n     fix: ${fix}`,
    )
    .join("\n");
}

export function describeSetup({ identity, steps, findings, choice }: SetupPlan): string {
  const notes = findings.filter(({ severity }) => severity === "warn");
  return [
    `the live replica of ${describeIdentity(identity.source)}`,
    `will be            ${describeIdentity(identity.replica)}:`,
    ...(steps.length === 0
      ? ["  all of it is there; its address is set anew, sequences are set"]
      : steps.map((step) => `  ${step}`)),
    ...(choice.uncovered.length === 0 ? [] : [`  not on the replica, as declared: ${choice.uncovered.join(", ")}`]),
    ...(notes.length === 0 ? [] : [describeFindings(notes)]),
  ].join("\n");
}

export function renderStatus(status: ReplicaStatus): string {
  const { slot, subscription, tables, lagBytes, lagSeconds, identity, findings } = status;
  const bytes = (value: number | null): string => (value === null ? "-" : value.toLocaleString("en-US"));
  const open = tables.filter(({ state }) => state !== "ready");
  const conflicts = Object.entries(subscription?.conflicts ?? {}).map(([kind, count]) => `${kind} ${count}`);
  return [
    `source   ${describeIdentity(identity.source)}`,
    `replica  ${describeIdentity(identity.replica)}`,
    `lag      ${bytes(lagBytes)} bytes, ${lagSeconds === null ? "-" : lagSeconds.toFixed(1)} s`,
    `slot     ${slot === null ? "none" : `${slot.active ? "in use" : "NOT in use"}, ${slot.walStatus ?? "empty"}, holds ${bytes(slot.retainedBytes)} bytes of log${slot.safeWalBytes === null ? "" : `, ${bytes(slot.safeWalBytes)} more until it can be lost`}`}`,
    `errors   ${subscription === null ? "-" : `${subscription.applyErrors ?? "?"} while applying, ${subscription.copyErrors ?? "?"} while copying`}${conflicts.length === 0 ? "" : `; conflicts: ${conflicts.join(", ")}`}`,
    `tables   ${tables.length - open.length} of ${tables.length} ready${status.uncovered.length === 0 ? "" : `; ${status.uncovered.length} declared uncovered`}`,
    ...(open.length === 0
      ? []
      : [
          renderTable(open, [
            { title: "TABLE", value: ({ name }) => name },
            { title: "STATE", value: ({ state }) => state },
          ]),
        ]),
    ...(findings.length === 0
      ? ["the replica follows"]
      : findings.map(({ id, message }) => `FINDING ${id}: ${message}`)),
  ].join("\n");
}

export function renderIdle(idle: readonly IdleSlot[]): string {
  if (idle.length === 0) return "every slot of ours is in use";
  return renderTable(idle, [
    { title: "SLOT", value: ({ name }) => name },
    { title: "IDLE SINCE", value: ({ idleSince }) => idleSince },
    { title: "HOURS", value: ({ hours }) => Math.floor(hours) },
    { title: "BYTES HELD", value: ({ retainedBytes }) => retainedBytes },
    { title: "", value: ({ expired }) => (expired ? "past its time" : "") },
  ]);
}

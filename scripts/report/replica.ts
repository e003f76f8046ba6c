/** The live replica for people: what stands in its way, what a setup does, how it stands. */
import { describeIdentity } from "../database/identity";
import type { FailoverPlan, FailoverResult } from "../replica/failover";
import type { IdleSlot } from "../replica/janitor";
import type { Finding } from "../replica/preflight";
import type { SetupPlan } from "../replica/setUp";
import type { ReplicaStatus } from "../replica/status";
import type { PlannedSync, SyncResult } from "../replica/sync";
import type { ReplicaVerification } from "../replica/verify";
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

export function describeSync({ identity, words, published, refused }: PlannedSync): string {
  return [
    `brings the live replica ${describeIdentity(identity.replica)}`,
    `to the definitions of   ${describeIdentity(identity.source)}:`,
    ...words.map((line) => `  ${line}`),
    ...published.map((table) => `  publishes ${table}, and copies its rows`),
    ...(words.length + published.length + refused.length === 0 ? ["  nothing is missing there"] : []),
    "  sets sequences",
    ...refused.map(({ what, reason }) => `NO ADDITION ${what}: ${reason}`),
  ].join("\n");
}

export function renderSync({ made, published, sequences, compared, seconds }: SyncResult): string {
  const rows = compared.length === 0 ? "" : `; every row of ${compared.join(", ")} compared, all equal`;
  return `the replica has the source's definitions: ${made.length} made, ${published.length} table(s) published, ${sequences.length} sequence(s) moved${rows}, in ${seconds.toFixed(1)} s`;
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

export function renderVerification({ verdict, exact, tables, rows, rounds, findings }: ReplicaVerification): string {
  const how = exact ? "under the write fence, sequences too" : `while both went on; ${rounds} time(s) read again`;
  const words = { equal: "EQUAL", different: "DIFFERENT", undecided: "UNDECIDED" } as const;
  return [
    `${words[verdict]}: ${tables} table(s), ${rows.toLocaleString("en-US")} rows of the source, compared ${how}`,
    ...findings.map((finding) => `  ${finding}`),
  ].join("\n");
}

export function describeFailover(plan: FailoverPlan, sourceLost: boolean): string {
  const { identity, fence, going, lagBytes, lagSeconds, newestBeat, withoutLogin, wayBack } = plan;
  const replica = describeIdentity(identity.replica);
  const steps = going
    ? ["a former run has decided it: this one goes on where that one ended"]
    : sourceLost
      ? [
          `GIVES UP the source: nothing is fenced, nothing compared. What was committed before ${newestBeat ?? "the first heartbeat"} is here; of what came later nobody can tell`,
          "sequences are moved past what the rows show",
        ]
      : [
          `keeps ${fence?.fenced.roles.join(", ") ?? ""} from writing to the source, and ends their sessions (${fence?.grants.length ?? 0} rights)`,
          `waits for the last write (now ${lagBytes ?? 0} bytes, ${(lagSeconds ?? 0).toFixed(1)} s behind), sets sequences, compares every row`,
        ];
  const holes = [...(fence?.functions ?? []), ...(fence?.unheld ?? []), ...(fence?.roles ?? [])];
  return [
    `makes ${replica} the database, instead of ${going ? "its source" : describeIdentity(identity.source)}:`,
    ...steps.map((step) => `  ${step}`),
    "  drops the subscription, and its slot on the source; the fence on the source stays up",
    ...(plan.connections === undefined
      ? ["  sets no connection string: it is printed"]
      : [
          ...plan.connections.changes.map(({ line }) => `  ${line}`),
          ...[...plan.connections.same, ...plan.connections.left].map((line) => `  ${line}`),
        ]),
    wayBack && !sourceLost
      ? "  keeps what is written from then on, for replication:failback"
      : "  keeps nothing for a way back: that needs a new copy",
    ...(plan.rightsDiffer
      ? [
          "  rights to write are withheld on the new database: afterwards lift its own fence: deploy:maintenance off, with its own store",
        ]
      : []),
    ...(holes.length === 0 ? [] : [`  the fence does not hold: ${holes.join(", ")}: see that they write nothing`]),
    ...(withoutLogin.length === 0
      ? []
      : [
          `  cannot log in on the replica: ${withoutLogin.join(", ")}: ALTER ROLE … LOGIN PASSWORD …, where the application connects as one`,
        ]),
  ].join("\n");
}

export function renderFailover(result: FailoverResult, roles: readonly string[]): string {
  const { host, port, database } = result.identity.replica;
  return [
    `FAILED OVER: ${describeIdentity(result.identity.replica)} is the database since ${result.promotedAt}`,
    result.sourceLost
      ? "nothing was compared: the source was lost"
      : `nothing is lost: ${result.rows === null ? "a former run compared every row" : `${result.rows.toLocaleString("en-US")} rows compared, all equal`}`,
    `connect to it: postgres://<role>:<password>@${host}:${port}/${database} (${roles.join(", ")})`,
    ...(result.connections === null
      ? []
      : [...result.connections, "the next deployment of each has it: deploy them now"]),
    ...result.left.map((line) => `STILL THERE ${line}`),
    result.wayBack
      ? "the way back: npm run replication:failback; until then the new database keeps its log for it"
      : "the way back needs a new copy: replication:setup with the addresses exchanged, into an empty database",
  ].join("\n");
}

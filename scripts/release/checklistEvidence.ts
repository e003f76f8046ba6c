/** What the receipt, the release events and the notes of a release prove of a checklist's items. Reads no database. */
import type { Receipt } from "../record/receipt";
import { type ReleaseEvent, type ReleaseStep, releaseSteps } from "../record/releaseEvents";
import type { NoteKind, ReleaseNote } from "../record/releaseNotes";
import type { ProofName } from "./checklists";

/** All that is recorded of one release. */
export interface ReleaseFacts {
  readonly receipt: Receipt;
  /** Oldest first, like the notes. */
  readonly events: readonly ReleaseEvent[];
  readonly notes: readonly ReleaseNote[];
}

/** `open`: nothing was found, a person may know; `failed`: the records say that it is not so, and no person may say else. */
export interface Evidence {
  readonly state: "proven" | "open" | "failed";
  readonly detail: string;
}

export function evidenceFor(proof: ProofName, facts: ReleaseFacts): Evidence {
  return proofs[proof](facts);
}

const proofs: Readonly<Record<ProofName, (facts: ReleaseFacts) => Evidence>> = {
  backup: (facts) => byGateStep(facts, "backup"),
  integrity: (facts) => byGateStep(facts, "verification"),
  environment: (facts) => byGateStep(facts, "environment"),
  dataChecks: (facts) => byGateStep(facts, "data-checks"),
  dataState,
  rollbackPlan,
  deploymentLogs,
  connectivity,
  endpoints: (facts) => byNote(facts, "endpoints", "no health check after the release is recorded: set APP_URL"),
  intact,
  workflows: (facts) => byNote(facts, "workflows", "no integration test after the release is recorded"),
  watched: (facts) => byNote(facts, "watched", "what was released was not watched: watch.soakMinutes"),
  watchedHealth: (facts) => byNote(facts, "watched", "no health path was watched: set APP_URL", "health"),
  watchedLogs,
  pruned: (facts) => byNote(facts, "pruned", "retention was not carried out after this release"),
  backupVerified,
  teamTold,
};

/** The steps whose deployment was undone after whatever else happened to them. */
export function rolledBackSteps({ events }: Pick<ReleaseFacts, "events">): ReleaseStep[] {
  return releaseSteps.filter(
    (step) => events.findLast(({ event }) => event.startsWith(`${step}-`))?.event === `${step}-rolled-back`,
  );
}

/** An overridden step ran as well; who let its findings pass stands beside it. */
function byGateStep({ receipt }: ReleaseFacts, name: string): Evidence {
  const report = receipt.steps.find(({ step }) => step === name);
  if (report === undefined) return { state: "open", detail: `the gate did not run its step ${name}` };
  const { outcome, summary, evidence } = report;
  if (outcome === "halt") return { state: "failed", detail: `gate step ${name}: ${summary}` };
  if (outcome === "skipped") return { state: "open", detail: `gate step ${name} was skipped: ${summary}` };
  const overrides = evidence.filter((line) => line.startsWith("OVERRIDE "));
  return { state: "proven", detail: [`gate step ${name}: ${summary}`, ...overrides].join("; ") };
}

function backupVerified(facts: ReleaseFacts): Evidence {
  const created = byGateStep(facts, "backup");
  return created.state === "proven" ? byGateStep(facts, "verification") : created;
}

function dataState(facts: ReleaseFacts): Evidence {
  const created = byGateStep(facts, "backup");
  if (created.state !== "proven") return created;
  const { backup, runId } = facts.receipt;
  return { state: "proven", detail: `the fingerprint of every row in ${backup.name}, and receipt ${runId}` };
}

/** For the data the verified backup, for the application what was live before. */
function rollbackPlan(facts: ReleaseFacts): Evidence {
  const restorable = backupVerified(facts);
  if (restorable.state !== "proven") return restorable;
  const { settings, rollback, backup, recoveryPoint } = facts.receipt;
  const lacking = (["railway", "vercel"] as const).filter(
    (platform) => settings[platform] !== undefined && rollback[platform]?.possible !== true,
  );
  if (lacking.length > 0) {
    return { state: "open", detail: `nothing is known that ${lacking.join(" and ")} could be rolled back to` };
  }
  const application = (["railway", "vercel"] as const).flatMap((platform) => {
    const target = rollback[platform];
    return target === null ? [] : [`${platform} back to ${target.deploymentId}`];
  });
  return {
    state: "proven",
    detail: [`data from ${backup.name}, of ${recoveryPoint.utc}`, ...application].join("; "),
  };
}

/** A release step hands on the log of what it deploys line by line until that ended. */
function deploymentLogs({ receipt, events }: ReleaseFacts): Evidence {
  const steps = releaseSteps.filter((step) => receipt.settings[step] !== undefined);
  if (steps.length === 0) return { state: "open", detail: "no release step is configured: nobody saw a log" };
  const lastOf = (step: ReleaseStep): string | undefined =>
    events.findLast(({ event }) => event.startsWith(`${step}-`))?.event;
  const failed = steps.filter((step) => lastOf(step) === `${step}-failed`);
  if (failed.length > 0) return { state: "failed", detail: `${failed.join(", ")} failed` };
  const followed = steps.filter((step) => [`${step}-live`, `${step}-rolled-back`].includes(lastOf(step) ?? ""));
  const missing = steps.filter((step) => !followed.includes(step));
  if (missing.length > 0) return { state: "open", detail: `${missing.join(", ")} did not end yet` };
  return { state: "proven", detail: `followed to the end: ${followed.join(", ")}` };
}

/** Whatever its verdict was, the comparison of all rows went through a connection. */
function connectivity({ events }: ReleaseFacts): Evidence {
  const compared = events.findLast(
    ({ event, at }) => ["verified", "verification-failed"].includes(event) && at >= lastLive(events),
  );
  return compared === undefined
    ? { state: "open", detail: "the database was not compared since the release: npm run db:verify:post-deploy" }
    : { state: "proven", detail: `compared at ${compared.at}` };
}

function intact({ events }: ReleaseFacts): Evidence {
  const verdict = events.findLast(({ event }) => ["verified", "accepted", "verification-failed"].includes(event));
  if (verdict === undefined || verdict.at < lastLive(events)) {
    return { state: "open", detail: "not compared since the release: npm run db:verify:post-deploy" };
  }
  const { event, at, person } = verdict;
  const detail = verdict.detail.split("\n")[0] ?? "";
  if (event === "verified") return { state: "proven", detail: `${detail} (${at})` };
  return event === "accepted"
    ? { state: "open", detail: `rows were accepted as lost by ${person ?? "somebody"} at ${at}: ${detail}` }
    : { state: "failed", detail: `${detail} (${at})` };
}

/** That it could not be told by webhook or topic does not keep anybody from telling it otherwise. */
function teamTold({ notes }: ReleaseFacts): Evidence {
  const told = notes.findLast(({ kind, item }) => kind === "notified" && item === "release-started");
  if (told === undefined)
    return { state: "open", detail: "nothing told the team: NOTIFY_WEBHOOK_URL, NOTIFY_SNS_TOPIC_ARN" };
  return told.ok
    ? { state: "proven", detail: `${told.detail} (${told.at})` }
    : { state: "open", detail: `it was not told: ${told.detail} (${told.at})` };
}

/** An error in a log need not be a spike: a person who looked knows. */
function watchedLogs(facts: ReleaseFacts): Evidence {
  const evidence = byNote(facts, "watched", "no log was followed after the release: deploy:watch", "logs");
  return evidence.state === "failed" ? { ...evidence, state: "open" } : evidence;
}

/** @param item what the note is of, where the kind has several. */
function byNote(
  { events, notes }: ReleaseFacts,
  kind: NoteKind,
  otherwise: string,
  item: string | null = null,
): Evidence {
  const note = notes.findLast((each) => each.kind === kind && each.item === item && each.at >= lastLive(events));
  if (note === undefined) return { state: "open", detail: otherwise };
  return { state: note.ok ? "proven" : "failed", detail: `${note.detail} (${note.at})` };
}

/** When something was last made live; whatever was seen before that says nothing of it. */
function lastLive(events: readonly ReleaseEvent[]): string {
  return events.findLast(({ event }) => event.endsWith("-live"))?.at ?? "";
}

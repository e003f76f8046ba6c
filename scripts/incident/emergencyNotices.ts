/**
 * Whom an emergency tells, beside its work: a channel that does not answer costs the recovery nothing. What is told follows from
 * what is on record as done, so that a run which goes on tells what a killed one did not, and nothing twice.
 */
import type { Emergency, EmergencyStep } from "../control/emergency";
import { type IncidentChannels, type IncidentNotice, tellOfIncident } from "../record/incidentNotice";

export class EmergencyNotices {
  readonly #told = new Set<string>();
  #queue: Promise<void> = Promise.resolve();

  constructor(
    private readonly channels: IncidentChannels,
    private readonly signal: AbortSignal,
  ) {}

  /** In order, one after the other; returns at once. */
  tell(emergency: Emergency): void {
    const { incident } = emergency;
    for (const notice of noticesOf(emergency)) {
      if (this.#told.has(notice.event)) continue;
      this.#told.add(notice.event);
      this.#queue = this.#queue.then(() =>
        this.signal.aborted ? undefined : tellOfIncident(incident, notice, this.channels),
      );
    }
  }

  /** Until everybody was told or given up. Never rejects. */
  settled(): Promise<void> {
    return this.#queue;
  }
}

/** What there is to tell by now. */
function noticesOf({ id, incident, person, reason, choice, steps }: Emergency): IncidentNotice[] {
  if (incident === null) return [];
  const isDone = (step: EmergencyStep): boolean => steps.some((is) => is.step === step && is.state === "done");
  const key = `emergency ${id}`;
  const notices: IncidentNotice[] = [];
  if (isDone("deploy:freeze")) {
    notices.push({ event: "frozen", key, text: `every gate and release is frozen by ${person}: ${key}: ${reason}` });
    notices.push({ event: "incident-opened", key: "opened", text: `${reason}; ${key} assesses it` });
  }
  if (choice !== null && choice.way !== "nothing") {
    const { way, backup } = choice;
    const by = backup === null || way === "deploy:rollback" ? "" : ` from ${backup.name}`;
    if (isDone("db:assess")) notices.push({ event: "recovery-started", key, way, text: `${way}${by} begins` });
    if (isDone("recover")) notices.push({ event: "recovery-ended", key, way, text: `${way}${by} is done` });
  }
  if (isDone("db:emergency-verify"))
    notices.push({ event: "incident-mitigated", key, text: "what was recovered is verified" });
  if (isDone("deploy:unfreeze") && choice?.unfreeze === true)
    notices.push({ event: "unfrozen", key, text: `${key} is over: releases may go on` });
  return notices;
}

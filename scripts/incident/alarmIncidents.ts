/**
 * Incidents that an alarm opens: a signal of `db:health` that is critical in two readings. One is open for each signal; that it
 * recovered, or became critical again, is an event of it. A person closes it, for an alarm that is silent explains nothing.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../contract/failure";
import type { Health, HealthSignal } from "../monitoring/health";
import { type IncidentIds, listIncidents, openForAlarm, readIncident, recordIncident } from "../record/incident";
import { type IncidentChannels, tellOfIncident } from "../record/incidentNotice";
import type { SignalName } from "../thresholds";

export interface AlarmInput {
  /** The first reading. */
  readonly health: Health;
  /** Seconds until a signal that is critical is read again: one reading says little. */
  readonly confirmSeconds: number;
  readonly readAgain: () => Promise<Health>;
  readonly readIds: () => Promise<IncidentIds>;
  readonly channels: IncidentChannels;
  readonly signal: AbortSignal;
}

/**
 * Never throws but for an interruption: that no incident can be opened, for the store does not answer say, must not keep
 * anybody from seeing how the database is.
 *
 * @returns the incidents that were opened.
 */
export async function openForAlarms(input: AlarmInput): Promise<string[]> {
  const { health, channels, signal } = input;
  try {
    const critical = await confirmed(input);
    const opened: string[] = [];
    for (const each of critical) opened.push(...(await sound(each, input)));
    // Of a signal that could not be read nothing is known.
    const well = health.signals.filter(({ state }) => ["ok", "warn", "shown"].includes(state));
    await noteRecovered(well, channels);
    return opened;
  } catch (error) {
    signal.throwIfAborted();
    channels.onProgress(`warning: no incident can be opened for an alarm: ${messageOf(error)}`);
    return [];
  }
}

/** A verification that fails opens an incident of its own. */
const toldByItsVerification: SignalName = "failedVerifications";

/** Critical in this reading and in the next. */
async function confirmed({ health, confirmSeconds, readAgain, signal }: AlarmInput): Promise<HealthSignal[]> {
  const critical = ({ signals }: Health): HealthSignal[] =>
    signals.filter((each) => each.state === "critical" && each.signal !== toldByItsVerification);
  if (critical(health).length === 0) return [];
  await sleep(confirmSeconds * 1000, undefined, { signal });
  const before = new Set(critical(health).map((each) => each.signal));
  return critical(await readAgain()).filter((each) => before.has(each.signal));
}

async function sound(alarm: HealthSignal, { channels, health, readIds }: AlarmInput): Promise<string[]> {
  const { store } = channels;
  const text = describe(alarm);
  const { id, opened } = await openForAlarm(store, alarm.signal, async () => ({
    ...{ kind: "alarm", title: `alarm: ${text}`, person: null, receipt: null, impact: [] },
    began: { notBefore: null, notAfter: health.at },
    ids: await readIds(),
    notVerified: ["the data was not compared: npm run db:assess"],
  }));
  if (opened || (await stateIn(channels, id)) === "recovered")
    await record(channels, id, alarm.signal, "critical", text);
  if (opened) await tellOfIncident(id, { event: "incident-opened", key: "opened", text: `alarm: ${text}` }, channels);
  return opened ? [id] : [];
}

async function noteRecovered(well: readonly HealthSignal[], channels: IncidentChannels): Promise<void> {
  for (const id of await listIncidents(channels.store, "open")) {
    const alarm = well.find(({ signal }) => signal === alarmOf(id));
    if (alarm === undefined || (await stateIn(channels, id)) !== "critical") continue;
    const text = `recovered: ${describe(alarm)}`;
    await record(channels, id, alarm.signal, "recovered", text);
    await tellOfIncident(id, { event: "incident-noted", text }, channels);
  }
}

/** The signal whose alarm opened the incident; undefined: another cause did. */
function alarmOf(id: string): string | undefined {
  return /^alarm-([A-Za-z]+)(-\d+)?$/.exec(id)?.[1];
}

/** As the incident's last event of its alarm has it. */
async function stateIn({ store }: IncidentChannels, id: string): Promise<"critical" | "recovered" | undefined> {
  const last = (await readIncident(store, id)).events.findLast((event) => event.event === "alarm");
  return last?.event === "alarm" ? last.state : undefined;
}

async function record(
  { store }: IncidentChannels,
  id: string,
  signal: SignalName,
  state: "critical" | "recovered",
  text: string,
): Promise<void> {
  await recordIncident(store, id, { event: "alarm", person: null, signal, state, text });
}

/** `Age of the newest verified backup: 31 h (critical from 26 h)`; numbers only, for others read it. */
function describe({ title, value, unit, critical }: HealthSignal): string {
  const of = (number: number | null): string =>
    number === null ? "no value" : `${Number(number.toFixed(1))} ${unit}`.trim();
  return `${title}: ${of(value)}${critical === null ? "" : ` (critical: ${of(critical)})`}`;
}

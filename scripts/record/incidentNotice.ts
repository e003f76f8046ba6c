/**
 * Tells of an incident: the team by its channels, the public by its status page. Each channel once for each notice, which the
 * incident's timeline proves; a channel that fails is a line there. Telling is never a reason to end what it tells of.
 */
import { messageOf } from "../contract/failure";
import { type NoticeName, fillTemplate, pageNotices } from "../notices";
import type { Pace } from "../platforms/http";
import { type PageStep, Statuspage, statuspageFromEnvironment } from "../platforms/statuspage";
import type { CommunicationSettings, StatusPageSettings } from "../settings";
import type { Store } from "../store/store";
import { type Incident, listIncidents, readIncident, recordIncident } from "./incident";
import { type TeamChannels, type TeamMessage, teamChannels } from "./teamChannels";

export type IncidentNoticeName = Exclude<NoticeName, `release-${string}` | "rollback-ended">;

export interface IncidentNotice {
  readonly event: IncidentNoticeName;
  /** One line without the incident's name. No row's content. */
  readonly text: string;
  /** How it is recovered: `db:repair`. */
  readonly way?: string;
  /** Of several notices of one kind in an incident, which: the same one is told once. Default: each is told. */
  readonly key?: string;
}

export interface IncidentChannels extends Omit<TeamChannels, "templates"> {
  readonly store: Store;
  readonly communication: CommunicationSettings;
  readonly onProgress: (line: string) => void;
  /** For Statuspage. */
  readonly pagePace?: Pace | undefined;
}

/** Milliseconds for the page: two calls with their repetitions. */
const pageMilliseconds = 15_000;

/** Tells of every open incident; of none: only the team, and nothing is recorded. Never throws. */
export async function tellOfOpenIncidents(notice: IncidentNotice, channels: IncidentChannels): Promise<void> {
  const open = await listIncidents(channels.store, "open").catch((error: unknown): string[] => {
    channels.onProgress(`warning: whether an incident is open cannot be told: ${messageOf(error)}`);
    return [];
  });
  for (const id of open.length === 0 ? [null] : open) await tellOfIncident(id, notice, channels);
}

/** @param id null: there is no incident; the public is told nothing then. Never throws. */
export async function tellOfIncident(
  id: string | null,
  notice: IncidentNotice,
  channels: IncidentChannels,
): Promise<void> {
  const { store, communication, onProgress } = channels;
  const team = teamChannels({ ...channels, templates: communication.templates });
  if (team.length === 0 && communication.statusPage === undefined) return;
  const incident = id === null ? undefined : await readOrWarn(store, id, onProgress);
  const message = messageOfNotice(notice, id, incident?.title ?? "");
  const ways: Way[] = [
    ...team.map(({ name, deliver }) => ({
      channel: name,
      tell: async (): Promise<Told> => ({ ...(await deliver(message)), pageIncident: null }),
    })),
    ...(id === null ? [] : pageWay(id, incident, message, channels)),
  ];
  await Promise.all(
    ways
      .filter(({ channel }) => !isTold(incident, notice, channel))
      .map(async ({ channel, tell }) => {
        const told = await tell();
        if (told === undefined) return;
        const { delivered, detail } = told;
        if (!delivered) onProgress(`warning: ${namesOfChannels[channel]} (${notice.event}): ${detail}`);
        if (id === null) return;
        try {
          const facts = { notice: notice.event, key: notice.key ?? null, channel };
          await recordIncident(store, id, { event: "told", person: null, ...facts, ...told });
        } catch (error) {
          onProgress(`warning: who was told is not in the incident's timeline: ${messageOf(error)}`);
        }
      }),
  );
}

const namesOfChannels = {
  webhook: "the team was not told",
  sns: "the team was not told",
  statuspage: "the status page was not updated",
} as const;

type ChannelName = keyof typeof namesOfChannels;

interface Told {
  readonly delivered: boolean;
  readonly detail: string;
  /** Its id on the status page; null: another channel, or it is not known. */
  readonly pageIncident: string | null;
}

interface Way {
  readonly channel: ChannelName;
  /** Never throws. Undefined: there is nothing to tell. */
  readonly tell: () => Promise<Told | undefined>;
}

async function readOrWarn(store: Store, id: string, onProgress: (line: string) => void): Promise<Incident | undefined> {
  try {
    return await readIncident(store, id);
  } catch (error) {
    onProgress(`warning: incident ${id} cannot be read: ${messageOf(error)}`);
    return undefined;
  }
}

function isTold(incident: Incident | undefined, { event, key }: IncidentNotice, channel: ChannelName): boolean {
  if (key === undefined) return false;
  return (incident?.events ?? []).some(
    (is) => is.event === "told" && is.delivered && is.channel === channel && is.notice === event && is.key === key,
  );
}

function messageOfNotice({ event, text, way = "" }: IncidentNotice, id: string | null, title: string): TeamMessage {
  const at = new Date().toISOString();
  return {
    event,
    values: { text: `${id === null ? "" : `incident ${id}: `}${text}`, at, incident: id ?? "", title, way },
    facts: { incident: id },
    about: id === null ? "dbprotect" : `incident ${id}`,
  };
}

function pageWay(
  id: string,
  incident: Incident | undefined,
  { event, values }: TeamMessage,
  { env = process.env, communication, pagePace }: IncidentChannels,
): Way[] {
  const { statusPage } = communication;
  const notice = Object.entries(pageNotices).find(([name]) => name === event)?.[1];
  if (statusPage === undefined || notice === undefined) return [];
  const tell = async (): Promise<Told | undefined> => {
    try {
      const access = statuspageFromEnvironment(env);
      if (access === undefined)
        throw new Error("STATUSPAGE_API_KEY: found nothing: expected the key of the status page");
      const signal = AbortSignal.timeout(pageMilliseconds);
      const page = new Statuspage(access, statusPage.pageId, { pace: pagePace, signal });
      const body = fillTemplate(statusPage.texts[event as keyof typeof pageNotices], values);
      // Of what only endangers the data the public hears when somebody recovers something.
      const isOurs = incident?.kind === "alarm" || incident?.kind === "drill";
      const mayOpen = notice.affected && !(isOurs && notice.status === "investigating");
      const openAs = mayOpen ? statusPage.name : undefined;
      return await publish(page, { id, known: pageIncidentOf(incident) }, stepOf(notice, body, statusPage), openAs);
    } catch (error) {
      const late = error instanceof Error && error.name === "TimeoutError";
      const detail = late ? `no answer within ${pageMilliseconds / 1000} s` : messageOf(error);
      return { delivered: false, detail, pageIncident: pageIncidentOf(incident) };
    }
  };
  return [{ channel: "statuspage", tell }];
}

function stepOf(
  { status, affected }: (typeof pageNotices)[keyof typeof pageNotices],
  body: string,
  settings: StatusPageSettings,
): PageStep {
  const shown = affected ? settings.affected : "operational";
  return {
    ...{ status, body, notifySubscribers: settings.notifySubscribers },
    components: Object.fromEntries(settings.components.map((component) => [component, shown])),
  };
}

function pageIncidentOf(incident: Incident | undefined): string | null {
  const told = (incident?.events ?? []).findLast((event) => event.event === "told" && event.pageIncident !== null);
  return told?.event === "told" ? told.pageIncident : null;
}

/**
 * Our incident on the page is known by what its metadata say, so that a run that was killed before it wrote down its id, or
 * whose answer was lost, does not open a second one, and does not say twice what stands there.
 *
 * @param openAs its title there, where it may be opened; undefined: only what is open is moved on.
 */
async function publish(
  page: Statuspage,
  { id, known }: { readonly id: string; readonly known: string | null },
  step: PageStep,
  openAs: string | undefined,
): Promise<Told | undefined> {
  const ours = (await page.unresolved()).find((each) => each.id === known || incidentIn(each.metadata) === id);
  if (ours !== undefined) {
    const { id: pageIncident, incident_updates: updates } = ours;
    const [newest] = updates;
    if (newest?.status === step.status && newest.body === step.body)
      return { delivered: true, detail: `${step.status}, as it says already`, pageIncident };
    await page.update(pageIncident, step);
    return { delivered: true, detail: step.status, pageIncident };
  }
  // Somebody resolved it on the page: it is theirs to open again.
  if (known !== null)
    return { delivered: true, detail: "it is resolved there already: left as it is", pageIncident: known };
  if (openAs === undefined) return undefined;
  const { id: pageIncident } = await page.create(openAs, step, { dbprotect: { incident: id } });
  return { delivered: true, detail: `opened, ${step.status}`, pageIncident };
}

/** @returns the id of ours that an incident on the page is of. */
function incidentIn(metadata: Readonly<Record<string, unknown>> | null | undefined): unknown {
  const own = metadata?.["dbprotect"];
  return typeof own === "object" && own !== null && "incident" in own ? own.incident : undefined;
}

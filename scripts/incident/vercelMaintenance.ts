/**
 * Vercel's side of a maintenance: a rule of the firewall before production, which counts at once and everywhere, while a
 * variable would reach only what is built next. The rule is known by its name; what others put there is left alone.
 */
import { isDeepStrictEqual } from "node:util";
import { type VercelMaintenance, passHeader } from "../control/maintenance";
import { Refusal, Unavailable, UsageError } from "../contract/failure";
import type { Vercel } from "../platforms/vercel";
import {
  type Firewall,
  type FirewallEntry,
  createFirewall,
  insertFirewallRule,
  readFirewall,
  removeFirewallRule,
} from "../platforms/vercelFirewall";
import { followState } from "../release/followState";
import type { MaintenanceSettings } from "../settings";

export interface VercelContext {
  /** Puts the record into the store, before what it says is done; null: nothing is changed any more. */
  readonly keep: (record: VercelMaintenance | null) => Promise<void>;
  readonly runId: string;
  /** Where the redirection is to be seen; undefined: it is not looked at. */
  readonly frontendUrl: string | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

type Does = NonNullable<MaintenanceSettings["vercel"]>;

/** Seconds in which a rule must have come into force everywhere; Vercel says 300 milliseconds. */
const publishingSeconds = 30;

/** Looks only. @throws UsageError when the page is behind the redirection itself; Refusal when no rule may be added. */
export async function demandRoom(vercel: Vercel, does: Does, frontendUrl: string | undefined): Promise<void> {
  if (does.action === "redirect" && frontendUrl !== undefined && hostOf(does.location) === hostOf(frontendUrl))
    throw new UsageError(
      `maintenance.vercel.location: found ${does.location}: expected a page at another host than FRONTEND_URL, all of which is redirected`,
    );
  const { id } = await vercel.project();
  refuseWithoutRoom(await readFirewall(vercel, id));
}

function hostOf(address: string): string | undefined {
  return URL.canParse(address) ? new URL(address).host : undefined;
}

function refuseWithoutRoom({ active, hasDraft }: Firewall): void {
  if (active === null && hasDraft)
    throw new Refusal(
      "vercel: the firewall has a draft and was never configured: a rule would take the draft's place",
      {
        hint: "publish or discard it at Vercel's dashboard; then run this again",
      },
    );
  if (active !== null && !active.firewallEnabled)
    throw new Refusal(
      `vercel: the firewall is switched off, with ${active.rules.length} rule(s): to switch it on would bring these into force`,
      { hint: "switch it on at Vercel's dashboard, if that is meant; then run this again" },
    );
}

/**
 * @returns a line that says how it is now.
 * @throws Refusal when another project is on record, no rule may be added, or it does not come into force.
 */
export async function raiseOnVercel(
  vercel: Vercel,
  does: Does,
  former: VercelMaintenance | null,
  context: VercelContext,
): Promise<string> {
  const { id: projectId } = await vercel.project();
  if (former !== null) demandSameProject(former, projectId);
  const firewall = await readFirewall(vercel, projectId);
  const found = former === null ? undefined : ruleOf(firewall, former);
  const stands = found?.active === true && isDeepStrictEqual(former?.does, does);
  if (!stands) refuseWithoutRoom(firewall);
  const record: VercelMaintenance = {
    ...{
      projectId,
      rule: former?.rule ?? `dbprotect maintenance ${context.runId}`,
      pass: former?.pass ?? context.runId,
    },
    ...{ does, state: "setting" },
  };
  await context.keep(record);
  if (!stands) {
    context.onProgress(`vercel: adding the rule ${JSON.stringify(record.rule)} to the firewall`);
    if (found !== undefined) await removeFirewallRule(vercel, projectId, found.id);
    await add(vercel, record, firewall);
  }
  if (ruleOf(await readFirewall(vercel, projectId), record) === undefined)
    throw new Refusal("vercel: the rule was removed by somebody else meanwhile: run this again");
  if (context.frontendUrl !== undefined) await proveAnswer(context.frontendUrl, does, context);
  await context.keep({ ...record, state: "on" });
  const proven = context.frontendUrl === undefined ? "" : `; ${hostOf(context.frontendUrl)} answers so`;
  return `vercel: production ${described(does)}${proven}`;
}

/** @returns a line that says how it is now. @throws Refusal when another project is on record. */
export async function clearOnVercel(
  vercel: Vercel,
  former: VercelMaintenance,
  context: Pick<VercelContext, "keep" | "onProgress">,
): Promise<string> {
  const { id: projectId } = await vercel.project();
  demandSameProject(former, projectId);
  const found = ruleOf(await readFirewall(vercel, projectId), former);
  await context.keep({ ...former, state: "clearing" });
  if (found !== undefined) {
    context.onProgress(`vercel: removing the rule ${JSON.stringify(former.rule)} from the firewall`);
    await removeFirewallRule(vercel, projectId, found.id);
    if (ruleOf(await readFirewall(vercel, projectId), former) !== undefined)
      throw new Refusal("vercel: the rule is still there: run this again");
  }
  await context.keep(null);
  return found === undefined ? "vercel: the rule is gone already" : "vercel: the rule is gone, production answers";
}

/** Looks only. @returns why production is not as the record says; undefined: it is. */
export async function findOnVercel(vercel: Vercel, record: VercelMaintenance): Promise<string | undefined> {
  const { id: projectId } = await vercel.project();
  demandSameProject(record, projectId);
  const firewall = await readFirewall(vercel, projectId);
  const holds = firewall.active?.firewallEnabled === true && ruleOf(firewall, record)?.active === true;
  return holds ? undefined : `vercel: the rule ${JSON.stringify(record.rule)} is not in force`;
}

export function described(does: Does): string {
  return does.action === "deny" ? "answers 403" : `redirects to ${does.location}`;
}

function ruleOf({ active }: Firewall, { rule }: VercelMaintenance): FirewallEntry | undefined {
  return active?.rules.find(({ name }) => name === rule);
}

function demandSameProject(record: VercelMaintenance, projectId: string): void {
  if (record.projectId === projectId) return;
  throw new Refusal(
    `vercel: the maintenance on record is of project ${record.projectId}, not of ${projectId}: nothing was changed`,
    { hint: "set VERCEL_PROJECT_ID" },
  );
}

async function add(vercel: Vercel, record: VercelMaintenance, { active }: Firewall): Promise<void> {
  const rule = {
    name: record.rule,
    description: "deploy:maintenance off takes it away",
    letThrough: { header: passHeader, value: record.pass },
    does: record.does,
  };
  try {
    if (active === null) await createFirewall(vercel, record.projectId, rule);
    else await insertFirewallRule(vercel, record.projectId, rule);
  } catch (error) {
    // It may have been added all the same.
    if (!(error instanceof Unavailable)) throw error;
    if (ruleOf(await readFirewall(vercel, record.projectId), record) === undefined) throw error;
  }
}

/** @throws Unavailable when the address goes on answering as ever. */
function proveAnswer(frontendUrl: string, does: Does, { signal, onProgress }: VercelContext): Promise<true> {
  return followState<true>(
    "vercel",
    async () => {
      const answer = await fetch(frontendUrl, {
        ...{ redirect: "manual", headers: { connection: "close" } },
        signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
      }).catch(() => undefined);
      signal.throwIfAborted();
      await answer?.body?.cancel();
      const location = answer?.headers.get("location");
      const isThere = does.action === "deny" ? answer?.status === 403 : location === does.location;
      return isThere ? { done: true } : { awaited: `FRONTEND_URL answers ${answer?.status ?? "nothing"} and not so` };
    },
    { seconds: publishingSeconds, signal, onProgress },
  );
}

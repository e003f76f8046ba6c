/**
 * The firewall of a Vercel project, as far as one rule of ours goes: read, add the rule, take it away. What others put there
 * is never sent, so it cannot be overwritten; only where there is nothing at all the first rule needs a whole configuration.
 */
import { z } from "zod";
import type { Vercel } from "./vercel";

/** What a rule does to a request that fits: sends it elsewhere, for now (307), or answers 403. */
export type FirewallAction = { readonly action: "redirect"; readonly location: string } | { readonly action: "deny" };

export interface FirewallRule {
  /** Unlike every other rule's, so that it is known again. At most 160 characters. */
  readonly name: string;
  readonly description: string;
  /** A request with this header is let through. */
  readonly letThrough: { readonly header: string; readonly value: string };
  readonly does: FirewallAction;
}

const ruleSchema = z.looseObject({ id: z.string(), name: z.string(), active: z.boolean() });

const configurationSchema = z.object({
  firewallEnabled: z.boolean(),
  version: z.number(),
  rules: z.array(ruleSchema),
});

const listSchema = z.object({ active: configurationSchema.nullish(), draft: z.unknown() });

export interface Firewall {
  /** What is in force; null: nothing was ever configured. */
  readonly active: z.infer<typeof configurationSchema> | null;
  /** Whether somebody prepares another one at the dashboard. */
  readonly hasDraft: boolean;
}

export type FirewallEntry = z.infer<typeof ruleSchema>;

const path = "/v1/security/firewall/config";

/** @param projectId the id, not the name. */
export async function readFirewall(vercel: Vercel, projectId: string): Promise<Firewall> {
  const { active, draft } = await vercel.request("GET", path, listSchema, { query: { projectId } });
  return { active: active ?? null, hasDraft: draft !== undefined && draft !== null };
}

/**
 * Adds the rule behind those that are there; production only, at once and everywhere, without a deployment.
 *
 * @throws PlatformRefusal when there is no configuration to add it to; Unavailable also when it may have been added.
 */
export async function insertFirewallRule(vercel: Vercel, projectId: string, rule: FirewallRule): Promise<void> {
  const body = { action: "rules.insert", id: null, value: describe(rule) };
  await vercel.request("PATCH", path, z.unknown(), { query: { projectId }, body, repeatable: false });
}

/** Makes the first configuration, with this rule alone. **It replaces what is there**: read first that nothing is. */
export async function createFirewall(vercel: Vercel, projectId: string, rule: FirewallRule): Promise<void> {
  const body = { firewallEnabled: true, rules: [describe(rule)] };
  await vercel.request("PUT", path, z.unknown(), { query: { projectId }, body, repeatable: false });
}

export async function removeFirewallRule(vercel: Vercel, projectId: string, id: string): Promise<void> {
  const body = { action: "rules.remove", id, value: null };
  await vercel.request("PATCH", path, z.unknown(), { query: { projectId }, body, repeatable: false });
}

function describe({ name, description, letThrough, does }: FirewallRule): object {
  const conditions = [
    { type: "environment", op: "eq", value: "production" },
    { type: "header", op: "eq", neg: true, key: letThrough.header, value: letThrough.value },
  ];
  const mitigate =
    does.action === "redirect"
      ? { action: "redirect", redirect: { location: does.location, permanent: false } }
      : { action: "deny" };
  return { name, description, active: true, conditionGroup: [{ conditions }], action: { mitigate } };
}

/**
 * The firewall of the stand-in for Vercel: checks every request against the published description, keeps rules in their
 * order, and says what they do to a request. Source: Vercel's REST API, "Update Firewall Configuration" and its neighbours
 * (2026).
 */
import { randomUUID } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { z } from "zod";

const conditionSchema = z.strictObject({
  type: z.enum(["host", "path", "method", "header", "query", "cookie", "ip_address", "environment", "user_agent"]),
  op: z.enum(["re", "eq", "neq", "ex", "nex", "inc", "ninc", "pre", "suf", "sub", "gt", "gte", "lt", "lte"]),
  neg: z.boolean().optional(),
  key: z.string().optional(),
  value: z.union([z.string(), z.array(z.string()), z.number()]).optional(),
});

const ruleShape = {
  name: z.string().min(1).max(160),
  description: z.string().max(256).optional(),
  active: z.boolean(),
  conditionGroup: z.array(z.strictObject({ conditions: z.array(conditionSchema).max(65) })).max(25),
  action: z.strictObject({
    mitigate: z
      .strictObject({
        action: z.enum(["log", "challenge", "deny", "bypass", "rate_limit", "redirect"]),
        rateLimit: z.unknown().optional(),
        redirect: z.strictObject({ location: z.string(), permanent: z.boolean() }).nullish(),
        actionDuration: z.string().nullish(),
      })
      .optional(),
  }),
};

const changeSchema = z.discriminatedUnion("action", [
  z.strictObject({ action: z.literal("firewallEnabled"), id: z.null().optional(), value: z.boolean() }),
  z.strictObject({ action: z.literal("rules.insert"), id: z.null().optional(), value: z.strictObject(ruleShape) }),
  z.strictObject({ action: z.literal("rules.update"), id: z.string(), value: z.strictObject(ruleShape) }),
  z.strictObject({ action: z.literal("rules.remove"), id: z.string(), value: z.null().optional() }),
]);

const wholeSchema = z.strictObject({
  firewallEnabled: z.boolean(),
  rules: z.array(z.strictObject({ id: z.string().optional(), ...ruleShape })).optional(),
  ips: z.array(z.unknown()).optional(),
});

export type FirewallFakeRule = z.infer<z.ZodObject<typeof ruleShape>>;

interface Configuration {
  firewallEnabled: boolean;
  version: number;
  rules: (FirewallFakeRule & { readonly id: string })[];
}

export interface FirewallFake {
  /** As `GET` lists it. */
  list(): { readonly active: Configuration | null; readonly draft: unknown; readonly versions: readonly number[] };
  /** As if somebody had done it at the dashboard. */
  configure(rules: readonly FirewallFakeRule[], enabled?: boolean): void;
  /** Somebody prepares a configuration and has not published it. */
  draft(): void;
  /** A problem, or undefined when it is done. */
  put(body: unknown): string | undefined;
  /** `not found`: there is no configuration, or no such rule. */
  patch(body: unknown): "not found" | { readonly invalid: string } | undefined;
  /** What becomes of a request to production; undefined: it passes. */
  judge(
    headers: IncomingHttpHeaders,
  ): { readonly status: number; readonly headers: Record<string, string> } | undefined;
}

export function startFirewallFake(): FirewallFake {
  let active: Configuration | null = null;
  let draft: unknown = null;
  const replace = (enabled: boolean, rules: readonly FirewallFakeRule[]): void => {
    active = {
      firewallEnabled: enabled,
      version: (active?.version ?? 0) + 1,
      rules: rules.map((rule) => ({ id: `rule_${randomUUID().slice(0, 8)}`, ...rule })),
    };
  };
  return {
    list: () => ({
      ...{ active: structuredClone(active), draft },
      versions: Array.from({ length: active?.version ?? 0 }, (_, index) => index + 1),
    }),
    configure: (rules, enabled = true) => replace(enabled, rules),
    draft: () => {
      draft = { firewallEnabled: true, rules: [], changes: [{}] };
    },
    put: (body) => {
      const parsed = wholeSchema.safeParse(body);
      if (!parsed.success) return z.prettifyError(parsed.error);
      replace(parsed.data.firewallEnabled, parsed.data.rules ?? []);
      return undefined;
    },
    patch: (body) => {
      const parsed = changeSchema.safeParse(body);
      if (!parsed.success) return { invalid: z.prettifyError(parsed.error) };
      const change = parsed.data;
      if (active === null) return "not found";
      const { rules } = active;
      if (
        (change.action === "rules.remove" || change.action === "rules.update") &&
        !rules.some(({ id }) => id === change.id)
      )
        return "not found";
      active.version++;
      if (change.action === "firewallEnabled") active.firewallEnabled = change.value;
      if (change.action === "rules.insert") rules.push({ id: `rule_${randomUUID().slice(0, 8)}`, ...change.value });
      if (change.action === "rules.remove") active.rules = rules.filter(({ id }) => id !== change.id);
      if (change.action === "rules.update")
        active.rules = rules.map((rule) => (rule.id === change.id ? { ...change.value, id: rule.id } : rule));
      return undefined;
    },
    judge: (headers): ReturnType<FirewallFake["judge"]> => {
      if (active === null || !active.firewallEnabled) return undefined;
      for (const { active: on, conditionGroup, action } of active.rules) {
        if (!on || !conditionGroup.some(({ conditions }) => conditions.every((each) => fits(each, headers)))) continue;
        const { mitigate } = action;
        if (mitigate?.action === "bypass") return undefined;
        if (mitigate?.action === "deny") return { status: 403, headers: {} };
        if (mitigate?.action === "redirect")
          return {
            status: mitigate.redirect?.permanent === true ? 308 : 307,
            headers: { location: mitigate.redirect?.location ?? "" },
          };
      }
      return undefined;
    },
  };
}

/** Of a request to production; whatever else a condition asks is answered as if it did not fit. */
function fits(
  { type, op, neg = false, key, value }: z.infer<typeof conditionSchema>,
  headers: IncomingHttpHeaders,
): boolean {
  const found =
    type === "environment" ? "production" : type === "header" ? headers[key?.toLowerCase() ?? ""] : undefined;
  return (op === "eq" && found === value) !== neg;
}

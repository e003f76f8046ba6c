/**
 * Looks into the values of Supabase's variables: is the address this project's, is each key one of the right role, of
 * this project and unexpired, do the frontend's variables agree with the server's, and is nothing secret in what a build
 * puts into everybody's browser? Says what is wrong with a value, never the value. Pure.
 */
import { z } from "zod";
import { projectRefPattern } from "../platforms/supabase";
import type { ObservedVariable } from "./sources";

export interface ContentFinding {
  readonly name: string;
  readonly source: string;
  readonly target: string;
  /** `expected a key of role service_role, found one of role anon`. */
  readonly wrong: string;
}

/** Bundlers replace these names by their values in what the browser loads: Vite's and Next.js's. */
const publicPrefix = /^(?:VITE_|NEXT_PUBLIC_)/;

type Role = "anon" | "service_role";

const keyRoles: Readonly<Record<string, Role>> = {
  SUPABASE_ANON_KEY: "anon",
  SUPABASE_PUBLISHABLE_KEY: "anon",
  SUPABASE_SERVICE_ROLE_KEY: "service_role",
  SUPABASE_SECRET_KEY: "service_role",
};

/** Supabase's keys of the newer kind say their role in their prefix, and nothing of their project. */
const newKeyPrefixes: Readonly<Record<Role, string>> = { anon: "sb_publishable_", service_role: "sb_secret_" };

/** Claims of Supabase's legacy keys; `exp` in Unix seconds. */
const claimsSchema = z.object({
  role: z.string().optional(),
  ref: z.string().optional(),
  exp: z.number().optional(),
});

type Claims = z.infer<typeof claimsSchema>;

/** @param projectRef the project, where it is configured (`SUPABASE_PROJECT_REF`); else what `SUPABASE_URL` says. */
export function judgeContent(
  variables: readonly ObservedVariable[],
  projectRef: string | undefined,
  now: Date,
): ContentFinding[] {
  const readable = variables.filter(({ kind, value }) => kind !== "unreadable" && value !== "");
  const urls = readable.filter(({ name }) => name === "SUPABASE_URL");
  const ref = projectRef ?? urls.map(({ value }) => refOf(value)).find((each) => each !== undefined);
  return readable.flatMap((variable) => {
    const server = variable.name.replace(publicPrefix, "");
    const role = keyRoles[server];
    const wrong = [
      ...(server === "SUPABASE_URL" ? judgeUrl(variable.value, ref) : []),
      ...(role === undefined ? [] : judgeKey(variable.value, role, ref, now)),
      ...(server === variable.name ? [] : judgePublic(variable, server, readable)),
    ];
    const { name, source, target } = variable;
    return wrong.map((each) => ({ name, source, target, wrong: each }));
  });
}

/** The project of `https://<ref>.supabase.co`; undefined for a domain of one's own. */
function refOf(value: string): string | undefined {
  const host = URL.canParse(value) ? new URL(value).hostname : "";
  const [label = ""] = host.split(".");
  return host === `${label}.supabase.co` && projectRefPattern.test(label) ? label : undefined;
}

function judgeUrl(value: string, ref: string | undefined): string[] {
  if (!URL.canParse(value)) return ["expected an https URL, found none"];
  const url = new URL(value);
  if (url.protocol !== "https:") return [`expected an https URL, found ${url.protocol.slice(0, -1)}`];
  if (url.username !== "" || url.password !== "") return ["expected a URL without user and password, found one with"];
  if (!url.hostname.endsWith(".supabase.co")) return [];
  const found = refOf(value);
  if (found === undefined) return ["expected https://<20 lower-case letters>.supabase.co, found another host there"];
  return found === ref ? [] : [`expected project ${ref ?? "none"}, found ${found}`];
}

function judgeKey(value: string, role: Role, ref: string | undefined, now: Date): string[] {
  for (const [found, prefix] of Object.entries(newKeyPrefixes)) {
    if (value.startsWith(prefix)) return found === role ? [] : [`expected a key of role ${role}, found ${prefix}…`];
  }
  const claims = readClaims(value);
  if (claims === undefined) {
    return [`expected a JWT of role ${role} or a key that starts with ${newKeyPrefixes[role]}, found neither`];
  }
  const wrong: string[] = [];
  if (claims.role !== role) wrong.push(`expected a key of role ${role}, found one of role ${shown(claims.role)}`);
  if (claims.exp !== undefined && claims.exp * 1000 <= now.getTime()) {
    wrong.push(`expired at ${new Date(claims.exp * 1000).toISOString()}`);
  }
  // Keys of a self-hosted Supabase name no project.
  if (ref !== undefined && claims.ref !== undefined && claims.ref !== ref) {
    wrong.push(`expected a key of project ${ref}, found one of ${shown(claims.ref)}`);
  }
  return wrong;
}

/** The payload of a JWT; its signature is the server's business. */
function readClaims(value: string): Claims | undefined {
  const parts = value.split(".");
  if (parts.length !== 3 || parts.some((part) => !/^[\w-]+$/.test(part))) return undefined;
  try {
    return claimsSchema.safeParse(JSON.parse(Buffer.from(parts[1] ?? "", "base64url").toString("utf8"))).data;
  } catch {
    return undefined;
  }
}

/** A claim comes from a value that could be anything: only a plain word is repeated. */
function shown(claim: string | undefined): string {
  return claim !== undefined && /^[a-z_]{1,24}$/.test(claim) ? claim : "another kind";
}

/** Names of what must not be public; an anon key is made for it, whatever it is called. */
const confidentialName = /SERVICE_ROLE|SECRET|PASSWORD|PASSPHRASE|PRIVATE|TOKEN|CREDENTIAL/i;

function judgePublic(variable: ObservedVariable, server: string, all: readonly ObservedVariable[]): string[] {
  const { value } = variable;
  const others = all.filter(({ name }) => !publicPrefix.test(name));
  const same = others.find((other) => confidentialName.test(other.name) && other.value === value && value.length >= 8);
  const secret =
    confidentialKind(value) ??
    (same === undefined ? undefined : `the value of ${same.name}`) ??
    (confidentialName.test(server) ? "something of a secret's name" : undefined);
  if (secret !== undefined) return [`is put into everybody's browser, and holds ${secret}`];
  const twins = others.filter(({ name, kind }) => name === server && kind !== "unreadable");
  if (!server.startsWith("SUPABASE_") || twins.every((twin) => twin.value === value)) return [];
  return [`expected the value of ${server}, found another one`];
}

/** What a value is by itself, whatever its name. */
function confidentialKind(value: string): string | undefined {
  if (value.startsWith(newKeyPrefixes.service_role) || readClaims(value)?.role === "service_role") {
    return "a key that passes all row security";
  }
  if (/^sbp_[0-9a-f]{20,}$/.test(value)) return "an access token of Supabase's";
  if (value.includes("PRIVATE KEY-----")) return "a private key";
  return /^[a-z][a-z0-9+.-]*:\/\/[^\s/@]*:[^\s/@]+@/i.test(value) ? "a URL with a password" : undefined;
}

/** What is wrong with the values of Supabase's variables, told without telling a value. */
import assert from "node:assert/strict";
import { judgeContent } from "../../../scripts/environment/content";
import type { ObservedVariable } from "../../../scripts/environment/sources";

const ref = "abcdefghijklmnopqrst";
const other = "zyxwvutsrqponmlkjihg";
const now = new Date("2026-11-22T12:00:00Z");
const later = now.getTime() / 1000 + 86_400;

/** A key as Supabase signs them, but for its signature. */
function jwt(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256", typ: "JWT" })}.${part({ iss: "supabase", ref, exp: later, ...claims })}.c2lnbmF0dXJl`;
}

const well: Record<string, string> = {
  SUPABASE_URL: `https://${ref}.supabase.co`,
  SUPABASE_ANON_KEY: jwt({ role: "anon" }),
  SUPABASE_SERVICE_ROLE_KEY: jwt({ role: "service_role" }),
  VITE_SUPABASE_URL: `https://${ref}.supabase.co`,
  VITE_SUPABASE_ANON_KEY: jwt({ role: "anon" }),
};

/** `NAME: what is wrong`, sorted; checks on the way that no value is told. */
function judge(changes: Record<string, string>, projectRef?: string): string[] {
  const values = { ...well, ...changes };
  const variables = Object.entries(values).map(([name, value]): ObservedVariable => ({
    name,
    value,
    source: "process",
    target: "run",
    kind: "secret",
  }));
  const lines = judgeContent(variables, projectRef, now).map(({ name, wrong }) => `${name}: ${wrong}`);
  for (const value of Object.values(values)) assert.ok(value === "" || !lines.join("\n").includes(value), value);
  return lines.sort();
}

describe("content of Supabase's variables", () => {
  it("is right: legacy keys, keys of the newer kind, a domain of one's own", () => {
    assert.deepEqual(judge({}), []);
    assert.deepEqual(judge({}, ref), []);
    const publishable = "sb_publishable_0123456789";
    const newer = { SUPABASE_ANON_KEY: publishable, SUPABASE_SERVICE_ROLE_KEY: "sb_secret_0123456789" };
    assert.deepEqual(judge({ ...newer, VITE_SUPABASE_ANON_KEY: publishable }), []);
    const own = { SUPABASE_URL: "https://db.example.com", VITE_SUPABASE_URL: "https://db.example.com" };
    assert.deepEqual(judge(own), []);
  });

  it("names an address that is none, not https, or of another project", () => {
    const both = (url: string) => ({ SUPABASE_URL: url, VITE_SUPABASE_URL: url });
    assert.match(judge(both("abc"))[0] ?? "", /^SUPABASE_URL: expected an https URL, found none$/);
    assert.match(judge(both(`http://${ref}.supabase.co`))[0] ?? "", /found http$/);
    assert.match(judge(both(`https://u:p@${ref}.supabase.co`)).join(), /SUPABASE_URL: expected a URL without user/);
    assert.match(judge(both("https://short.supabase.co"))[0] ?? "", /found another host there$/);
    assert.deepEqual(judge({}, other).slice(0, 1), [
      `SUPABASE_ANON_KEY: expected a key of project ${other}, found one of ${ref}`,
    ]);
    assert.match(
      judge({}, other).join("\n"),
      new RegExp(`^SUPABASE_URL: expected project ${other}, found ${ref}$`, "m"),
    );
  });

  it("names keys of the wrong role, expired, of another project, or none at all", () => {
    const key = (value: string) => judge({ SUPABASE_SERVICE_ROLE_KEY: value });
    assert.deepEqual(key(jwt({ role: "anon", iat: 1 })), [
      "SUPABASE_SERVICE_ROLE_KEY: expected a key of role service_role, found one of role anon",
    ]);
    assert.deepEqual(key("sb_publishable_0123456789"), [
      "SUPABASE_SERVICE_ROLE_KEY: expected a key of role service_role, found sb_publishable_…",
    ]);
    assert.deepEqual(key(jwt({ role: "service_role", exp: now.getTime() / 1000 })), [
      "SUPABASE_SERVICE_ROLE_KEY: expired at 2026-11-22T12:00:00.000Z",
    ]);
    assert.deepEqual(key(jwt({ role: "service_role", ref: other })), [
      `SUPABASE_SERVICE_ROLE_KEY: expected a key of project ${ref}, found one of ${other}`,
    ]);
    for (const none of ["your_service_role_key", "a.b.c", `${"x".repeat(20)}.${"y".repeat(20)}.z`]) {
      assert.match(key(none)[0] ?? "", /^SUPABASE_SERVICE_ROLE_KEY: expected a JWT of role service_role or a key/);
    }
    assert.match(key(jwt({ role: "<script>of a secret</script>" }))[0] ?? "", /found one of role another kind$/);
  });

  it("names a frontend whose variables are not the server's", () => {
    assert.deepEqual(judge({ VITE_SUPABASE_ANON_KEY: "sb_publishable_9876543210" }), [
      "VITE_SUPABASE_ANON_KEY: expected the value of SUPABASE_ANON_KEY, found another one",
    ]);
    assert.match(
      judge({ NEXT_PUBLIC_SUPABASE_URL: `https://${other}.supabase.co` }).join(),
      /^NEXT_PUBLIC_SUPABASE_URL: /,
    );
    assert.deepEqual(judge({ API_URL: "https://a.example.com", VITE_API_URL: "https://b.example.com" }), []);
  });

  it("finds every secret that a build would publish", () => {
    const published = /is put into everybody's browser, and holds /;
    const found = (changes: Record<string, string>): void => assert.match(judge(changes).join("\n"), published);
    found({ VITE_SUPABASE_ANON_KEY: jwt({ role: "service_role" }) });
    found({ NEXT_PUBLIC_KEY: "sb_secret_0123456789" });
    found({ VITE_DATABASE: "postgres://app:p4ssw0rd@db.example.com/app" });
    found({ VITE_TOOLS: `sbp_${"0a".repeat(20)}` });
    found({ JWT_SECRET: "0123456789abcdef", VITE_CONFIG: "0123456789abcdef" });
    found({ NEXT_PUBLIC_STRIPE_SECRET: "anything" });
    found({ VITE_PEM: "-----BEGIN PRIVATE KEY-----\nMIIE" });
    assert.deepEqual(judge({ VITE_TITLE: "CRM", NEXT_PUBLIC_SITE: "https://crm.example.com" }), []);
  });
});

/** The fake of Supabase's Management API answers as the published description says, in each state that tests put it in. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type SupabaseFake, serviceNames, startSupabaseFake } from "../../scripts/rehearsal/platforms/supabaseFake";
import { skip } from "../skip";

const file = join(__dirname, "../../../shared/api/supabase-management.openapi.json");

type JsonSchema = z.core.JSONSchema.JSONSchema;

interface Operation {
  readonly parameters: readonly { readonly name: string; readonly schema: { readonly items?: { enum?: string[] } } }[];
  readonly responses: Readonly<Record<string, { readonly content?: { "application/json": { schema: JsonSchema } } }>>;
}

interface Description {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> };
}

const questions = [
  ["GET", "/v1/projects/{ref}", ""],
  ["GET", "/v1/projects/{ref}/health", `?${serviceNames.map((name) => `services=${name}`).join("&")}`],
  ["GET", "/v1/projects/{ref}/database/backups", ""],
  ["GET", "/v1/projects/{ref}/database/backups/schedule", ""],
  ["POST", "/v1/projects/{ref}/database/backups/restore-point", ""],
  ["GET", "/v1/projects/{ref}/database/backups/restore-point", "?name=described"],
  ["GET", "/v1/projects/{ref}/config/disk/util", ""],
  ["GET", "/v1/projects/{ref}/analytics/endpoints/usage.api-counts", "?interval=15min"],
  ["GET", "/v1/projects/{ref}/advisors/security", ""],
  ["GET", "/v1/projects/{ref}/advisors/performance", ""],
  ["GET", "/v1/organizations/{slug}", ""],
  ["GET", "/v1/organizations/{slug}/entitlements", ""],
  ["GET", "/v1/organizations/{slug}/projects", "?limit=100&offset=0"],
] as const;

describe("the fake of Supabase", function () {
  this.timeout(20_000);
  let published: Description;
  let fake: SupabaseFake;

  before(async function () {
    if (!existsSync(file)) return skip(this, "no published description beside the clone");
    // zod finds definitions in one place only; and alternatives overlap that the description calls exclusive.
    const text = readFileSync(file, "utf8")
      .replaceAll("#/components/schemas/", "#/definitions/")
      .replaceAll('"oneOf":', '"anyOf":');
    published = JSON.parse(text) as Description;
    fake = await startSupabaseFake();
    const day = 86_400_000;
    fake.state.pitr = true;
    fake.state.window = { earliest: new Date(Date.now() - 7 * day), latest: new Date() };
    fake.state.ill.set("rest", "UNHEALTHY");
    fake.state.lints.security.push({ name: "rls_disabled_in_public", level: "ERROR", detail: "Table public.notes" });
    fake.state.replicas.push({ region: "eu-west-1", status: "ACTIVE_HEALTHY" });
  });
  after(() => fake?.close());

  for (const [method, path, query] of questions) {
    it(`answers ${method} ${path} as described`, async () => {
      const operation = published.paths[path]?.[method.toLowerCase()];
      assert.ok(operation, "the description has no such operation");
      const names = operation.parameters.map(({ name }) => name);
      for (const name of new URLSearchParams(query).keys()) assert.ok(names.includes(name), `no parameter ${name}`);
      const slug = "rehearsal-organization";
      const place = path.replace("{ref}", fake.projectRef).replace("{slug}", slug);
      const response = await fetch(`${fake.url}${place}${query}`, {
        method,
        headers: { authorization: `Bearer ${fake.token}`, "content-type": "application/json" },
        ...(method === "POST" ? { body: JSON.stringify({ name: "described" }) } : {}),
      });
      const schema = operation.responses[String(response.status)]?.content?.["application/json"].schema;
      assert.ok(schema, `${response.status} is not described`);
      const described = z.fromJSONSchema(
        { ...schema, definitions: published.components.schemas },
        { defaultTarget: "openapi-3.0" },
      );
      const answer = described.safeParse(await response.json());
      assert.ok(answer.success, answer.error === undefined ? "" : z.prettifyError(answer.error));
    });
  }

  it("knows the services that there are", () => {
    const { parameters } = published.paths["/v1/projects/{ref}/health"]!["get"]!;
    const described = parameters.find(({ name }) => name === "services")?.schema.items?.enum;
    assert.deepEqual([...serviceNames].sort(), [...(described ?? [])].sort());
  });
});

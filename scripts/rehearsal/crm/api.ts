/**
 * The CRM's HTTP API and frontend: every answer comes from the database, read as Supabase does it, by a login that
 * becomes `authenticated` behind row-level security for a person's request and `service_role` for a job.
 */
import { Pool, type ClientBase } from "pg";
import { z } from "zod";
import { serveLoopback, type Answer, type Call, type LoopbackServer } from "../loopbackServer";
import { crmVersion } from "./versions";

export interface CrmApi {
  readonly url: string;
  /** Runs the version's start-up job, then lets it take the traffic. */
  deploy(version: string): Promise<void>;
  deployFrontend(version: string): void;
  close(): Promise<void>;
}

const newClientSchema = z.strictObject({
  name: z.string().min(1),
  email: z.email(),
  phone: z.string().optional(),
});

const pageSchema = z.object({
  organisation: z.coerce.number().int().positive().default(1),
  limit: z.coerce.number().int().min(1).max(100).default(20),
  /** The last id of the previous page. */
  after: z.coerce.number().int().min(0).default(0),
});

/** One transaction under a role, with the claims that the policies read. */
async function asRole<T>(
  pool: Pool,
  role: "authenticated" | "service_role",
  organisation: number | undefined,
  work: (client: ClientBase) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query(`BEGIN; SET LOCAL ROLE ${role}`);
    const claims = organisation === undefined ? {} : { organisation_id: organisation };
    await client.query("SELECT set_config('request.jwt.claims', $1, true)", [JSON.stringify(claims)]);
    const result = await work(client);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    await client.query("ROLLBACK").catch(() => undefined);
    throw error;
  } finally {
    client.release();
  }
}

async function listClients(pool: Pool, url: URL): Promise<Answer> {
  const page = pageSchema.safeParse(Object.fromEntries(url.searchParams));
  if (!page.success) return { status: 400, body: { message: z.prettifyError(page.error) } };
  const { organisation, limit, after } = page.data;
  const clients = await asRole(pool, "authenticated", organisation, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `SELECT c.id, c.reference, c.name, c.email, c.stage, c.updated_at, u.full_name AS owner,
              (SELECT count(*)::int FROM tasks t WHERE t.client_id = c.id AND t.status <> 'done') AS open_tasks,
              (SELECT max(m.sent_at) FROM chat_messages m WHERE m.client_id = c.id) AS last_message_at
       FROM clients c JOIN users u ON u.id = c.owner_id WHERE c.id > $1 ORDER BY c.id LIMIT $2`,
      [after, limit],
    );
    return rows;
  });
  return { status: 200, body: { clients, next: clients.length === limit ? clients.at(-1)?.id : null } };
}

async function addClient(pool: Pool, call: Call): Promise<Answer> {
  const page = pageSchema.safeParse(Object.fromEntries(call.url.searchParams));
  let document: unknown;
  try {
    document = JSON.parse(call.body);
  } catch {
    return { status: 400, body: { message: "the body is not JSON" } };
  }
  const added = newClientSchema.safeParse(document);
  if (!page.success || !added.success) {
    return { status: 400, body: { message: z.prettifyError((page.error ?? added.error) as z.ZodError) } };
  }
  const { organisation } = page.data;
  const row = await asRole(pool, "authenticated", organisation, async (client) => {
    const { rows } = await client.query<{ id: string; reference: string }>(
      `INSERT INTO clients (organisation_id, owner_id, name, email, phone)
       SELECT $1, u.id, $2, $3, $4 FROM users u ORDER BY u.id LIMIT 1 RETURNING id, reference`,
      [organisation, added.data.name, added.data.email, added.data.phone],
    );
    return rows[0];
  });
  return { status: 201, body: row };
}

async function databaseHealth(pool: Pool): Promise<Answer> {
  const started = performance.now();
  try {
    await asRole(pool, "service_role", undefined, (client) => client.query("SELECT count(*) FROM organisations"));
    return { status: 200, body: { status: "ok", milliseconds: Math.round(performance.now() - started) } };
  } catch (error) {
    return { status: 503, body: { status: "down", message: String(error) } };
  }
}

function frontend(version: string): Answer {
  const body = `<!doctype html><html lang="en"><title>CRM</title><main><h1>CRM</h1><p>Version ${version}</p></main></html>`;
  return { status: 200, body };
}

/** @param databaseUrl of the login `crm_api`. */
export async function startCrmApi(databaseUrl: string, version: string): Promise<CrmApi> {
  const pool = new Pool({ connectionString: databaseUrl, max: 4, application_name: "crm" });
  // A connection that the server ends, idle or not (a write fence does), must not end the API.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  let live = crmVersion(version).version;
  let frontendVersion = live;
  const routes: Record<string, (call: Call) => Promise<Answer> | Answer> = {
    "GET /api/health": () =>
      crmVersion(live).unhealthy === true
        ? { status: 503, body: { status: "no cache", version: live } }
        : { status: 200, body: { status: "ok", version: live } },
    "GET /api/db/health": () => databaseHealth(pool),
    "GET /api/crm/clients": ({ url }) => listClients(pool, url),
    "POST /api/crm/clients": (call) => addClient(pool, call),
    "GET /": () => frontend(frontendVersion),
  };
  const server: LoopbackServer = await serveLoopback(async (call) => {
    const route = routes[`${call.method} ${call.url.pathname}`];
    return route === undefined ? { status: 404, body: { message: "no such page" } } : route(call);
  });
  return {
    url: server.url,
    deploy: async (next) => {
      const { startUp } = crmVersion(next);
      if (startUp !== undefined) await asRole(pool, "service_role", undefined, startUp);
      live = next;
    },
    deployFrontend: (next) => {
      frontendVersion = crmVersion(next).version;
    },
    close: async () => {
      await server.close();
      await pool.end();
    },
  };
}

/** Where the CRM is hosted in a rehearsal: its database is created here, its API runs as a child process, and versions go live. */
import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { withClient } from "../withClient";
import type { Instruction, Notice } from "./child";

export interface CrmHost {
  /** The address of the API and of the frontend. */
  readonly url: string;
  /** Lets a version take the traffic. Rejects when its start-up job fails. */
  deploy(part: "api" | "frontend", version: string): Promise<void>;
  stop(): Promise<void>;
}

/** The first migration of the rehearsed project, as the Supabase CLI names files. */
export const schemaFile = { name: "20260105090000_crm.sql", path: join(__dirname, "schema.sql") };

export interface CrmDatabase {
  /** The superuser's address of the CRM's database. */
  readonly url: string;
  /** The address for the API's login, which is no superuser and owns nothing. */
  readonly apiUrl: string;
}

/**
 * Creates the database `crm` with roles and schema, and records the schema as an applied migration. It has no rows yet.
 *
 * @param serverUrl of a superuser on a server without these roles.
 */
export async function createCrmDatabase(serverUrl: string): Promise<CrmDatabase> {
  await withClient(serverUrl, (client) => client.query("CREATE DATABASE crm"));
  const url = new URL(serverUrl);
  url.pathname = "/crm";
  const password = randomBytes(18).toString("hex");
  await withClient(url.href, async (client) => {
    const schema = readFileSync(schemaFile.path, "utf8");
    for (const sql of [readSql("roles.sql"), schema]) await client.query(sql);
    await client.query("INSERT INTO supabase_migrations.schema_migrations VALUES ($1, $2, $3)", [
      schemaFile.name.slice(0, 14),
      [schema],
      schemaFile.name.slice(15, -4),
    ]);
    await client.query(`ALTER ROLE crm_api PASSWORD '${password}'`);
  });
  const apiUrl = new URL(url);
  apiUrl.username = "crm_api";
  apiUrl.password = password;
  return { url: url.href, apiUrl: apiUrl.href };
}

/** Writes the rows: about 2 seconds, in which the API may be started. */
export async function seedCrmDatabase({ url }: CrmDatabase): Promise<void> {
  await Promise.all(
    ["seed.sql", "seedMessages.sql"].map((file) => withClient(url, (client) => client.query(readSql(file)))),
  );
}

function readSql(file: string): string {
  return readFileSync(join(__dirname, file), "utf8");
}

/** Starts the API with `version` live. It ends with this process, also when this process is killed. */
export async function startCrmHost(databaseUrl: string, version: string): Promise<CrmHost> {
  const child = fork(join(__dirname, "child.ts"), {
    execArgv: ["--require", require.resolve("tsx/cjs")],
    env: { ...process.env, CRM_DATABASE_URL: databaseUrl, CRM_VERSION: version },
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  const url = await new Promise<string>((resolve, reject) => {
    child.once("exit", (code) => {
      const error = new Error(`the CRM's API ended with code ${code}`);
      reject(error);
      for (const answer of waiting.values()) answer.reject(error);
    });
    child.on("message", (notice: Notice) => {
      if (notice.kind === "listening") return resolve(notice.url);
      const answer = waiting.get(notice.id);
      waiting.delete(notice.id);
      if (notice.error === undefined) answer?.resolve();
      else answer?.reject(new Error(notice.error));
    });
  });
  let sent = 0;
  return {
    url,
    deploy: (part, next) =>
      new Promise((resolve, reject) => {
        const instruction: Instruction = { id: ++sent, deploy: part, version: next };
        waiting.set(instruction.id, { resolve, reject });
        child.send(instruction);
      }),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill();
      await ended;
    },
  };
}

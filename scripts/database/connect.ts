/**
 * Opens connections: pinned session settings, timeouts, and errors that name the host and say what to do.
 */
import { Client } from "pg";
import { Refusal, Unavailable, codeOf, messageOf } from "../contract/failure";
import { quoteLiteral } from "./sqlText";
import { closeConnection, watchForStall } from "./stallWatch";
import { type DatabaseTarget, clientConfig, describeTarget, encryptionAttempts } from "./target";

/**
 * Settings that change how a value is written as text, and so every hash of it; and those that would end
 * a long read. `row_security = off` turns silent filtering by a policy into an error (PostgreSQL manual,
 * "5.9 Row Security Policies").
 */
const sessionSettings: Readonly<Record<string, string>> = {
  TimeZone: "UTC",
  DateStyle: "ISO, MDY",
  IntervalStyle: "postgres",
  extra_float_digits: "1",
  bytea_output: "hex",
  xmloption: "content",
  search_path: "pg_catalog",
  client_encoding: "UTF8",
  row_security: "off",
  statement_timeout: "0",
  lock_timeout: "10s",
  idle_in_transaction_session_timeout: "0",
  idle_session_timeout: "0",
  transaction_timeout: "0",
  lc_monetary: "C",
  // Compiled expressions cost more than they save where most of the time goes into writing values as text.
  jit: "off",
};

/** The majors that brought settings which older servers do not know. */
const settingSince: Readonly<Record<string, number>> = { idle_session_timeout: 14, transaction_timeout: 17 };

/** The pinned settings as statements, for a session of one of PostgreSQL's programs. */
export function pinnedSettings(serverMajor: number): string[] {
  return Object.entries(sessionSettings)
    .filter(([name]) => serverMajor >= (settingSince[name] ?? 0))
    .map(([name, value]) => `SET ${name} = ${quoteLiteral(value)}`);
}

/** `pinned`: for reading and hashing. `plain`: the server's and role's own settings, for what runs the user's SQL. */
export type SessionKind = "pinned" | "plain";

/**
 * Connects to `target`, by default with pinned session settings.
 *
 * @throws Unavailable when the server cannot be reached, refuses the password or is full.
 * @throws Refusal when the role may not connect to the database.
 */
export async function connect(target: DatabaseTarget, session: SessionKind = "pinned"): Promise<Client> {
  let refusal: unknown;
  for (const encrypted of encryptionAttempts(target)) {
    const config = clientConfig(target, encrypted);
    const client = new Client(config);
    // A connection lost while idle must reach the next query as its error, not end the process.
    client.on("error", () => undefined);
    try {
      await client.connect();
      watchForStall(client, config);
      if (session === "pinned") await pinSession(client);
      return client;
    } catch (error) {
      await client.end().catch(() => undefined);
      refusal = error;
      if (!mayRetryOtherwise(error)) break;
    }
  }
  throw connectionFailure(target, refusal);
}

/** Runs `work` on a connection of its own and closes it, whatever happens. */
export async function withConnection<T>(
  target: DatabaseTarget,
  work: (client: Client) => Promise<T>,
  session: SessionKind = "pinned",
): Promise<T> {
  const client = await connect(target, session);
  try {
    return await work(client);
  } finally {
    await closeConnection(client);
  }
}

async function pinSession(client: Client): Promise<void> {
  const names = Object.keys(sessionSettings);
  await client.query(
    "SELECT pg_catalog.set_config(s.name, s.value, false) FROM unnest($1::text[], $2::text[]) AS s(name, value)" +
      // transaction_timeout: since 17.
      " WHERE pg_catalog.current_setting(s.name, true) IS NOT NULL",
    [names, Object.values(sessionSettings)],
  );
}

function mayRetryOtherwise(error: unknown): boolean {
  const message = messageOf(error);
  // 28000: pg_hba.conf has no entry for this kind of connection (with or without encryption).
  return message.includes("does not support SSL") || codeOf(error) === "28000";
}

const hints: Readonly<Record<string, string>> = {
  ECONNREFUSED: "is the server running, and is that its port?",
  ENOTFOUND:
    "check the host's spelling; a direct Supabase host has only an IPv6 address: use the session pooler where there is no IPv6",
  EAI_AGAIN: "name resolution failed: check the network",
  ETIMEDOUT: "check the network and the firewall",
  ENETUNREACH: "no route: a direct Supabase host has only an IPv6 address; use the session pooler on port 5432",
  EHOSTUNREACH: "no route to the host: check the network",
  ENOENT: "no socket there: is the server running?",
  "28P01": "wrong password for this user",
  "28000": "the server does not accept this user, database or encryption (pg_hba.conf)",
  "3D000": "that database does not exist",
  "53300": "the server has no free connection",
  "57P03": "the server is starting or shutting down; try again",
};

function connectionFailure(target: DatabaseTarget, error: unknown): Error {
  if (error instanceof AggregateError && error.errors.length > 0) return connectionFailure(target, error.errors[0]);
  const code = codeOf(error);
  const hint = code === undefined ? undefined : hints[code];
  const message = `${target.source}: cannot connect to ${describeTarget(target)} as ${target.user}: ${messageOf(error)}`;
  const options = { ...(hint === undefined ? {} : { hint }), cause: error };
  return code === "42501" ? new Refusal(message, options) : new Unavailable(message, options);
}

/** True for errors that mean "the connection is gone", not "the statement was wrong". */
export function isConnectionLoss(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== undefined && /^(08|57P)/.test(code)) return true;
  return (
    ["ECONNRESET", "EPIPE", "ECONNREFUSED"].includes(code ?? "") ||
    /Connection terminated|Client has encountered a connection error/.test(messageOf(error))
  );
}

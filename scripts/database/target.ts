/**
 * A database's address: parsed once from a URL, then given to `pg` and to libpq's programs in the form
 * each of them wants. The one place that knows what `sslmode` means (`pg` and libpq differ).
 */
import { readFileSync } from "node:fs";
import type { ClientConfig } from "pg";
import { UsageError, messageOf } from "../contract/failure";
import { registerSecret } from "../contract/redaction";
import { localUserName } from "../process/localUser";

/** libpq's values, PostgreSQL manual, "33.19 SSL Support". */
const sslModes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;
export type SslMode = (typeof sslModes)[number];

export interface DatabaseTarget {
  /** Where the URL came from, for messages: `DATABASE_URL`. */
  readonly source: string;
  /** Host name, address, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string | undefined;
  readonly database: string;
  readonly sslMode: SslMode;
  /** PEM file of a private CA (`sslrootcert`, else `PGSSLROOTCERT`). */
  readonly sslRootCert: string | undefined;
}

/** In angle brackets: `redact` takes anything else there for a password. */
const example = "postgres://<user>:<password>@<host>:5432/<database>";

/** Supabase's transaction pooler: it cannot carry a snapshot, pg_dump or a session's lock. */
const transactionPoolerPort = 6543;

/**
 * Reads a database URL from an environment variable.
 *
 * @throws UsageError when it is missing, malformed, or names the transaction pooler.
 */
export function targetFromEnvironment(variable: string, env: NodeJS.ProcessEnv = process.env): DatabaseTarget {
  const value = env[variable];
  if (value === undefined || value === "") {
    throw new UsageError(`${variable} is not set: expected ${example}`, {
      hint: `export ${variable}`,
    });
  }
  return parseTarget(value, variable);
}

/** Parses `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…&host=/socket/folder`. */
export function parseTarget(text: string, source: string, env: NodeJS.ProcessEnv = process.env): DatabaseTarget {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError(`${source}: found something that is not a URL: expected ${example}`);
  }
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") {
    throw new UsageError(`${source}: found the scheme ${url.protocol}//: expected postgres://`);
  }
  const parameters = url.searchParams;
  const password = decoded(url.password, source, "password") || env["PGPASSWORD"];
  registerSecret(password);
  const target: DatabaseTarget = {
    source,
    host: parameters.get("host") ?? (decoded(url.hostname, source, "host").replace(/^\[|\]$/g, "") || "localhost"),
    port: portOf(parameters.get("port") ?? (url.port === "" ? "5432" : url.port), source),
    user: decoded(url.username, source, "user") || env["PGUSER"] || ownName(source),
    password: password === "" ? undefined : password,
    database: decoded(url.pathname.slice(1), source, "database") || "postgres",
    sslMode: sslModeOf(parameters.get("sslmode") ?? env["PGSSLMODE"], source),
    sslRootCert: parameters.get("sslrootcert") ?? env["PGSSLROOTCERT"],
  };
  if (target.port === transactionPoolerPort) {
    throw new UsageError(
      `${source}: found port 6543, the transaction pooler, which cannot carry a snapshot, pg_dump or a lock: expected port 5432`,
      { hint: "use the direct host db.<ref>.supabase.co:5432, or the session pooler on port 5432" },
    );
  }
  return target;
}

/** As libpq does: who runs this, if the machine knows a name. */
function ownName(source: string): string {
  const name = localUserName();
  if (name !== undefined) return name;
  throw new UsageError(
    `${source}: found no user, and uid ${process.getuid?.() ?? "unknown"} has no name here: expected ${example}`,
    { hint: "write the user into the address, or export PGUSER" },
  );
}

function portOf(text: string, source: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port > 0 && port < 65_536) return port;
  throw new UsageError(`${source}: port: found ${text}: expected a number from 1 to 65535`);
}

function decoded(text: string, source: string, part: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UsageError(`${source}: the ${part} is not percent-encoded: write % as %25`);
  }
}

function sslModeOf(text: string | null | undefined, source: string): SslMode {
  if (text === null || text === undefined || text === "") return "prefer";
  const mode = sslModes.find((known) => known === text);
  if (mode === undefined)
    throw new UsageError(`${source}: sslmode: found ${text}: expected one of ${sslModes.join(", ")}`);
  return mode;
}

/** The same server, another database. */
export function withDatabase(target: DatabaseTarget, database: string): DatabaseTarget {
  return { ...target, database };
}

/** `host:port/database`, for messages; never a password. */
export function describeTarget(target: DatabaseTarget): string {
  return target.host.startsWith("/")
    ? `${target.host}/${target.database}`
    : `${target.host}:${target.port}/${target.database}`;
}

/** libpq's variables that say nothing of the target: where passwords and revoked certificates are. */
const kept = ["PGPASSFILE", "PGSSLCRL", "PGSSLCRLDIR"];

/** The environment that points libpq's programs at the target, on top of the process's own. */
export function libpqEnvironment(target: DatabaseTarget): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("PG") || kept.includes(name));
  return {
    ...Object.fromEntries(inherited),
    PGHOST: target.host,
    PGPORT: String(target.port),
    PGUSER: target.user,
    PGDATABASE: target.database,
    PGSSLMODE: target.sslMode,
    PGAPPNAME: "dbprotect",
    PGCONNECT_TIMEOUT: "15",
    PGCLIENTENCODING: "UTF8",
    ...(target.password === undefined ? {} : { PGPASSWORD: target.password }),
    ...(target.sslRootCert === undefined ? {} : { PGSSLROOTCERT: target.sslRootCert }),
  };
}

/** How `pg` is to connect; `encrypted` says which half of libpq's `prefer` and `allow` is being tried. */
export function clientConfig(target: DatabaseTarget, encrypted: boolean): ClientConfig {
  return {
    host: target.host,
    port: target.port,
    user: target.user,
    database: target.database,
    ...(target.password === undefined ? {} : { password: target.password }),
    ssl: encrypted ? tlsOptions(target) : false,
    application_name: "dbprotect",
    connectionTimeoutMillis: 15_000,
    keepAlive: true,
  };
}

function tlsOptions(target: DatabaseTarget): Exclude<ClientConfig["ssl"], boolean | undefined> {
  const ca =
    target.sslRootCert === undefined || target.sslRootCert === "system" ? undefined : readRootCertificate(target);
  const trust = ca === undefined ? {} : { ca };
  switch (target.sslMode) {
    case "verify-full":
      return { ...trust, rejectUnauthorized: true };
    case "verify-ca":
      return { ...trust, rejectUnauthorized: true, checkServerIdentity: () => undefined };
    case "require":
      // libpq: with a root certificate at hand, `require` behaves like `verify-ca`.
      return ca === undefined
        ? { rejectUnauthorized: false }
        : { ...trust, rejectUnauthorized: true, checkServerIdentity: () => undefined };
    default:
      return { rejectUnauthorized: false };
  }
}

function readRootCertificate(target: DatabaseTarget): string {
  try {
    return readFileSync(target.sslRootCert ?? "", "utf8");
  } catch (error) {
    throw new UsageError(`${target.source}: sslrootcert: ${target.sslRootCert} cannot be read: ${messageOf(error)}`);
  }
}

/** The order in which connections are tried: libpq's `prefer` and `allow` have a second attempt. */
export function encryptionAttempts(target: DatabaseTarget): readonly boolean[] {
  if (target.host.startsWith("/") || target.sslMode === "disable") return [false];
  if (target.sslMode === "prefer") return [true, false];
  return target.sslMode === "allow" ? [false, true] : [true];
}

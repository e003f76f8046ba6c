/**
 * How the replica's server connects to the source, and how that is told to it without a password in any statement's text.
 */
import type { Client } from "pg";
import { UsageError } from "../contract/failure";
import { quoteLiteral } from "../database/sqlText";
import type { ReplicaPair } from "./pair";

/**
 * libpq's connection string (PostgreSQL manual, "32.1.1 Connection Strings"). With `replica.passfile` it holds no password.
 *
 * @throws UsageError when `sslmode` asks for a certificate of whose place on the replica's server nothing is known.
 */
export function connectionInfo({ route, settings }: Pick<ReplicaPair, "route" | "settings">): string {
  const { passfile, rootCertificate } = settings;
  const root = rootCertificate ?? (route.sslRootCert === "system" ? "system" : undefined);
  if (root === undefined && (route.sslMode === "verify-ca" || route.sslMode === "verify-full"))
    throw new UsageError(
      `replica.rootCertificate: found nothing: expected the path, on the replica's server, of the CA that ${route.source} is checked by (sslmode ${route.sslMode})`,
    );
  const words: Record<string, string | undefined> = {
    host: route.host,
    port: String(route.port),
    user: route.user,
    dbname: route.database,
    sslmode: route.sslMode,
    sslrootcert: root,
    ...(passfile === undefined ? { password: route.password } : { passfile }),
    // A network that drops what it carried is noticed within a minute.
    ...{ connect_timeout: "15", keepalives_idle: "15", keepalives_interval: "5", keepalives_count: "3" },
  };
  return Object.entries(words)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${quoted(value)}`]))
    .join(" ");
}

function quoted(value: string): string {
  return `'${value.replace(/[\\']/g, "\\$&")}'`;
}

const parameter = "dbprotect.connection";

/**
 * Runs a statement whose `%L` is the connection string. The string travels as a parameter and the server puts it into the
 * statement: so it is in no log of statements, no `pg_stat_activity`, and in no error, whose context would quote it.
 *
 * @param statement one that may run inside a transaction.
 */
export async function runWithConnectionInfo(client: Client, statement: string, info: string): Promise<void> {
  await client.query("SELECT set_config($1, $2, false)", [parameter, info]);
  try {
    await client.query(
      `DO $run$ BEGIN
         EXECUTE format(${quoteLiteral(statement)}, current_setting('${parameter}'));
       EXCEPTION WHEN OTHERS THEN
         RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = SQLERRM;
       END $run$`,
    );
  } finally {
    await client.query("SELECT set_config($1, '', false)", [parameter]).catch(() => undefined);
  }
}

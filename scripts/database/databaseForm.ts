/** How a database was created, and how large it is: what another one is made like. */
import type { ClientBase } from "pg";

export interface DatabaseForm {
  /** `pg_database_size`. */
  readonly databaseBytes: number;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  /** Who compares text; `locale` is of icu and builtin only (PostgreSQL manual, "23.1.4 Locale Providers"). */
  readonly localeProvider: "libc" | "icu" | "builtin";
  readonly locale: string | null;
}

/** Of the database that `client` is connected to. */
export async function readDatabaseForm(client: ClientBase): Promise<DatabaseForm> {
  const { rows } = await client.query<Omit<DatabaseForm, "databaseBytes"> & { bytes: string }>(
    `SELECT pg_database_size(oid)::text AS bytes, pg_encoding_to_char(encoding) AS encoding,
            datcollate AS collate, datctype AS ctype,
            -- Not before 15; the locale was renamed in 17.
            CASE to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END AS "localeProvider",
            COALESCE(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale
       FROM pg_database d WHERE datname = current_database()`,
  );
  const { bytes, ...form } = rows[0]!;
  return { databaseBytes: Number(bytes), ...form };
}

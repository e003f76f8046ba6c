/** Whatever answers SQL: a connection, or a session of psql that is in the middle of something. */
import type { QueryResultRow } from "pg";

export interface Queryable {
  query<Row extends QueryResultRow>(text: string, values?: unknown[]): Promise<{ rows: Row[] }>;
}

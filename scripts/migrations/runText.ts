/** Runs SQL of several statements over the simple protocol and tells which one failed. */
import { type ClientBase, DatabaseError, Query } from "pg";

export class StatementFailed extends Error {
  /** How many statements of the text had completed: the index of the one that failed. */
  readonly completed: number;
  /** 0-based character (code point) in the text, where the server named one. */
  readonly position: number | undefined;

  constructor(completed: number, cause: Error) {
    super(cause.message, { cause });
    this.name = "StatementFailed";
    this.completed = completed;
    const position = cause instanceof DatabaseError ? Number(cause.position) : Number.NaN;
    this.position = Number.isInteger(position) ? position - 1 : undefined;
  }
}

/**
 * Sends `text` as one simple query. Rows that it returns are dropped as they arrive.
 *
 * @throws StatementFailed with the server's or the connection's error as its cause.
 */
export function runText(client: ClientBase, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const query = new Query(text);
    const submit = query.submit.bind(query);
    let completed = 0;
    const count = (): void => {
      completed += 1;
    };
    let stopCounting = (): void => undefined;
    // The server says for each statement that it completed: only the connection passes that on.
    query.submit = (connection) => {
      connection.on("commandComplete", count);
      stopCounting = () => void connection.removeListener("commandComplete", count);
      return submit(connection);
    };
    query.on("row", () => undefined);
    query.on("end", () => {
      stopCounting();
      resolve();
    });
    query.on("error", (error) => {
      stopCounting();
      reject(new StatementFailed(completed, error));
    });
    client.query(query);
  });
}

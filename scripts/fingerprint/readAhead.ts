/** The rows of a query in order, in constant memory; a batch is read while the one before it is used up. */
import type { Client } from "pg";
import Cursor from "pg-cursor";

const batchRows = 5_000;

export class ReadAhead<Raw, Row> {
  private readonly cursor: Cursor<Raw>;
  private reading: Promise<Row[]>;
  /** Gives up the rows that are being read. */
  private fail: (reason: Error) => void = () => undefined;
  private readonly ended = Promise.withResolvers<void>();
  private batch: Row[] = [];
  private place = 0;

  constructor(
    private readonly client: Client,
    query: string,
    private readonly parse: (raw: Raw) => Row,
  ) {
    client.once("end", this.onEnd);
    this.cursor = client.query(new Cursor<Raw>(query));
    this.reading = this.read();
  }

  /** The next row if it is at hand, without the turn of the event loop that waiting takes; undefined: ask `next`. */
  take(): Row | undefined {
    return this.batch[this.place] === undefined ? undefined : this.batch[this.place++];
  }

  async next(): Promise<Row | undefined> {
    if (this.place >= this.batch.length) {
      this.batch = await this.reading;
      this.place = 0;
      if (this.batch.length > 0) this.reading = this.read();
    }
    return this.batch[this.place++];
  }

  /** The session takes other queries then, unless it has ended. */
  async close(): Promise<void> {
    const failed = await this.reading.then(
      () => false,
      () => true,
    );
    // pg-cursor waits for an answer: after an error it may have come already, and a session that ended gives none.
    if (!failed) await Promise.race([this.cursor.close(), this.ended.promise]);
    this.client.off("end", this.onEnd);
  }

  private read(): Promise<Row[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Row[]>();
    this.fail = reject;
    this.cursor
      .read(batchRows)
      .then((rows) => rows.map(this.parse))
      .then(resolve, reject);
    promise.catch(() => undefined); // whoever waits for the rows gets it
    return promise;
  }

  /** pg-cursor says nothing of a session that ends between its last row and the server's being ready again. */
  private readonly onEnd = (): void => {
    this.fail(new Error("Connection terminated unexpectedly"));
    this.ended.resolve();
  };
}

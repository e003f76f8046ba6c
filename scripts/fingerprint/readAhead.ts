/** The rows of a query in order, in constant memory; a batch is read while the one before it is used up. */
import type { Client } from "pg";
import Cursor from "pg-cursor";

const batchRows = 5_000;

export class ReadAhead<Raw, Row> {
  private readonly cursor: Cursor<Raw>;
  private reading: Promise<Row[]>;
  private batch: Row[] = [];
  private place = 0;

  constructor(
    client: Client,
    query: string,
    private readonly parse: (raw: Raw) => Row,
  ) {
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

  async close(): Promise<void> {
    await this.reading.catch(() => undefined);
    await this.cursor.close();
  }

  private read(): Promise<Row[]> {
    const reading = this.cursor.read(batchRows).then((rows) => rows.map(this.parse));
    reading.catch(() => undefined); // whoever waits for the rows gets it
    return reading;
  }
}

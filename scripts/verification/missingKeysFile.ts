/**
 * All missing keys of a verification as newline-delimited JSON, for whoever repairs them; a report shows the first few.
 * The file goes into the folder `reports` of the working directory, or into `DBPROTECT_REPORTS`.
 */
import { type WriteStream, createWriteStream, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";

export class MissingKeysFile {
  private stream: WriteStream | undefined;
  private readonly folder = process.env["DBPROTECT_REPORTS"] || "reports";
  private readonly path: string;

  constructor(runId: string) {
    this.path = resolve(join(this.folder, `missing-${runId}.ndjson`));
  }

  /** Opens the file (0600: keys can be personal data) at the first missing key. */
  add(table: string, key: string): void {
    if (this.stream === undefined) {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      this.stream = createWriteStream(this.path, { mode: 0o600 });
    }
    this.stream.write(`${JSON.stringify({ table, key })}\n`);
  }

  /** @returns the path, or null when no key is missing; fine to call twice. */
  async close(): Promise<string | null> {
    const { stream } = this;
    if (stream === undefined) return null;
    if (!stream.closed) {
      await new Promise<void>((done, fail) => {
        stream.once("error", fail);
        stream.end(done);
      });
    }
    return this.path;
  }
}

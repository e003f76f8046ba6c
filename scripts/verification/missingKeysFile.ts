/**
 * All missing keys of a verification as newline-delimited JSON, for whoever repairs them; a report shows the first few.
 * It is a help, not the proof: a folder that cannot be written to must not keep a loss from being found, so nothing here throws.
 */
import { closeSync, openSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { makePrivateFolder } from "../contract/privateFolder";
import { messageOf } from "../contract/failure";
import { reportFile } from "../contract/reportsFolder";

/** Characters collected before they are written; written synchronously, so that millions of keys need no more memory. */
const batchCharacters = 64 * 1024;

export class MissingKeysFile {
  private readonly path: string;
  private descriptor: number | undefined;
  private pending = "";
  private written = false;
  private problemFound: string | null = null;

  constructor(runId: string) {
    this.path = reportFile(`missing-${runId}.ndjson`);
  }

  /** Why the file is missing or incomplete, for people; null: it is neither. Final once the file is closed. */
  get problem(): string | null {
    return this.problemFound;
  }

  add(table: string, key: string): void {
    if (this.problemFound !== null) return;
    this.pending += `${JSON.stringify({ table, key })}\n`;
    if (this.pending.length >= batchCharacters) this.attempt(() => this.flush());
  }

  /** @returns the path of the complete file, or null when no key is missing or there is a problem; fine to call twice. */
  async close(): Promise<string | null> {
    if (this.pending !== "" && this.problemFound === null) this.attempt(() => this.flush());
    const { descriptor } = this;
    if (descriptor !== undefined) {
      this.descriptor = undefined;
      this.written = true;
      // A network file system may say only now that the disk is full.
      this.attempt(() => closeSync(descriptor));
    }
    return this.written && this.problemFound === null ? this.path : null;
  }

  /** Opens the file (0600: keys can be personal data) with the first keys. */
  private flush(): void {
    if (this.descriptor === undefined) {
      makePrivateFolder(dirname(this.path));
      this.descriptor = openSync(this.path, "w", 0o600);
    }
    writeFileSync(this.descriptor, this.pending);
    this.pending = "";
  }

  private attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.problemFound = `the missing keys could not be written: ${messageOf(error)}`;
      this.pending = "";
    }
  }
}

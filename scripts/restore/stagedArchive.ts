/** Reads pg_dump's archives of a staged backup through pg_restore: their contents, and scripts of chosen entries. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { readVerified } from "../backup/archiveStream";
import { type Archive, type Manifest, fileKey } from "../backup/manifest";
import { Damage } from "../contract/failure";
import { type RunningProgram, startProgram } from "../database/program";
import { WithoutOuterTransaction } from "./outerTransaction";
import type { StagedBackup } from "./stageBackup";
import { type TocEntry, parseContents } from "./tableOfContents";

export class StagedArchive {
  #contents: Promise<TocEntry[]> | undefined;

  constructor(
    private readonly staged: StagedBackup,
    private readonly manifest: Manifest,
    readonly archive: Archive,
    /** Of the client programs. */
    private readonly binDir: string,
    private readonly signal?: AbortSignal,
  ) {}

  contents(): Promise<TocEntry[]> {
    return (this.#contents ??= this.#read(["--list"]).then(parseContents));
  }

  /** What makes these entries, as SQL without transaction and without commands of psql. */
  async statementsOf(entries: readonly TocEntry[]): Promise<string> {
    const script = await this.#read([...scriptArguments, await this.#useList(entries)]);
    return script.replace(/^\\(un)?restrict .*$/gm, "");
  }

  /**
   * A script of these entries for psql, to be run inside a transaction.
   *
   * @param consume reads all of it.
   */
  async script(entries: readonly TocEntry[], consume: (script: Readable) => Promise<void>): Promise<void> {
    const program = this.#start([...scriptArguments, "--single-transaction", await this.#useList(entries)]);
    const script = new WithoutOuterTransaction();
    program.stdout.on("error", (error) => script.destroy(error)).pipe(script);
    const consumed = consume(script).catch((error: unknown) => {
      // Nobody reads on: pg_restore must not wait for it.
      program.stdout.destroy();
      throw error;
    });
    await bothOf(this.#feed(program), consumed);
  }

  /** The archive's bytes, decrypted and decompressed: the rows of a `copy` archive. */
  async bytes(sink: NodeJS.WritableStream, consume: () => Promise<void>): Promise<void> {
    await bothOf(this.#readInto(sink), consume());
  }

  async #read(args: readonly string[]): Promise<string> {
    const program = this.#start(args);
    let written = "";
    await bothOf(
      this.#feed(program),
      text(program.stdout).then((output) => void (written = output)),
    );
    return written;
  }

  #start(args: readonly string[]): RunningProgram {
    return startProgram({
      ...{ binDir: this.binDir, program: "pg_restore", args },
      ...(this.signal === undefined ? {} : { signal: this.signal }),
    });
  }

  async #useList(entries: readonly TocEntry[]): Promise<string> {
    const file = join(this.staged.folder, "entries.list");
    await writeFile(file, entries.map(({ line }) => `${line}\n`).join(""));
    return `--use-list=${file}`;
  }

  #readInto(sink: NodeJS.WritableStream): Promise<void> {
    const key = fileKey(this.manifest, this.archive.file);
    return readVerified(this.staged.store, key, this.archive, sink, this.signal);
  }

  /** All of it was checked when it was staged: pg_restore may stop reading where it has what it wants. */
  async #feed(program: RunningProgram): Promise<void> {
    await Promise.allSettled([this.#readInto(program.stdin), program.succeeded]);
    await program.succeeded;
  }
}

/** Another server need have neither the tablespaces nor what provides the labels (manifest.notRestored). */
const scriptArguments = ["--no-tablespaces", "--no-security-labels", "--file=-"];

/** Waits for both, whichever fails. That a script ended early is what its writer can explain; else the reader knows why. */
async function bothOf(writing: Promise<void>, reading: Promise<void>): Promise<void> {
  const [written, read] = await Promise.allSettled([writing, reading]);
  if (read.status === "rejected" && !(read.reason instanceof Damage)) throw read.reason;
  if (written.status === "rejected") throw written.reason;
  if (read.status === "rejected") throw read.reason;
}

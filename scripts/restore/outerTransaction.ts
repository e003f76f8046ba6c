/**
 * Takes the outer BEGIN and COMMIT off what `pg_restore --single-transaction` writes as a script, so that several scripts
 * make one transaction. (Without that option it wraps every large object in a transaction of its own.) Only these two
 * are touched: rows and bodies of procedures may hold such lines too.
 */
import { Transform, type TransformCallback } from "node:stream";
import { Damage } from "../contract/failure";

/** Written before the first SET (pg_backup_archiver.c, RestoreArchive): comments of a few lines precede it. */
const begin = "\nBEGIN;\n";
const commit = "\nCOMMIT;\n";

/** Bytes among which they are looked for. */
const atEitherEnd = 4096;

/** What follows the COMMIT: comments, and since the fix of CVE-2025-8714 a psql command that ends its restriction. */
const trailer = /^(\s|--[^\n]*\n|\\unrestrict \w+\n)*$/;

/** The last line that pg_restore and pg_dump write: a script that was cut short has none. */
const scriptEnd = "\n-- PostgreSQL database dump complete\n";

export class WithoutOuterTransaction extends Transform {
  #held = Buffer.alloc(0);
  #begun = false;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    if (!this.#begun && this.#held.length >= atEitherEnd && !this.#dropBegin()) return done(unexpected("BEGIN"));
    if (this.#begun && this.#held.length > atEitherEnd) {
      const passed = this.#held.length - atEitherEnd;
      this.push(this.#held.subarray(0, passed));
      this.#held = this.#held.subarray(passed);
    }
    done();
  }

  override _flush(done: TransformCallback): void {
    if (!this.#begun && !this.#dropBegin()) return done(unexpected("BEGIN"));
    const place = this.#held.lastIndexOf(commit);
    const after = this.#held.subarray(place + commit.length).toString("latin1");
    if (place === -1 || !trailer.test(after) || !after.includes(scriptEnd)) return done(unexpected("COMMIT"));
    this.push(this.#held.subarray(0, place + 1));
    this.push(after);
    done();
  }

  #dropBegin(): boolean {
    const place = this.#held.subarray(0, atEitherEnd).indexOf(begin);
    if (place === -1) return false;
    this.#begun = true;
    this.#held = Buffer.concat([this.#held.subarray(0, place + 1), this.#held.subarray(place + begin.length)]);
    return true;
  }
}

function unexpected(what: string): Damage {
  return new Damage(`pg_restore wrote a script without its outer ${what}: it ended early`);
}

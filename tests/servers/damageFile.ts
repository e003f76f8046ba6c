/** Damages a stored object as a broken disk would: whoever does it has to be its owner, for objects are read-only. */
import { chmodSync, closeSync, openSync, readSync, statSync, writeFileSync, writeSync } from "node:fs";

/** Lets `damage` change a read-only file. */
export function whileWritable(path: string, damage: (path: string) => void): void {
  chmodSync(path, 0o600);
  damage(path);
}

/** Puts other content in the place of a read-only file's. */
export function overwrite(path: string, content: string | Buffer): void {
  whileWritable(path, (file) => writeFileSync(file, content));
}

/** Flips one bit in the middle of the file. */
export function damageFile(path: string): void {
  whileWritable(path, (file) => {
    const handle = openSync(file, "r+");
    const place = Math.floor(statSync(file).size / 2);
    const byte = Buffer.alloc(1);
    readSync(handle, byte, 0, 1, place);
    byte[0]! ^= 0x10;
    writeSync(handle, byte, 0, 1, place);
    closeSync(handle);
  });
}

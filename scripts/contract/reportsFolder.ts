/** Where files for people go: the folder `reports` of the working directory, or `DBPROTECT_REPORTS`. */
import { resolve } from "node:path";

export function reportFile(name: string): string {
  return resolve(process.env["DBPROTECT_REPORTS"] || "reports", name);
}

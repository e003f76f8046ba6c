/** Writes the report of a release to a file, for the command that asks for it and for the verification that ends a release. */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { UsageError, messageOf } from "../contract/failure";
import { redact } from "../contract/redaction";
import { reportFile } from "../contract/reportsFolder";
import { checkList, readReleaseFacts } from "../release/checklist";
import { checklistNames } from "../release/checklists";
import type { ReportDocument } from "../report/html/document";
import { renderReport } from "../report/html/renderReport";
import { releaseReport } from "../report/releaseReport";
import type { Store } from "../store/store";

/**
 * @throws UsageError when the store holds no receipt, or not that one, or the file cannot be written.
 */
export async function writeReleaseReport(
  store: Store,
  options: { readonly receipt?: string | undefined; readonly html?: string | undefined },
): Promise<{ readonly file: string; readonly document: ReportDocument }> {
  const facts = await readReleaseFacts(store, "post", options.receipt);
  if (facts === undefined) throw new UsageError(`${store.url} holds no receipt: there is no release to report on`);
  const lists = await Promise.all(checklistNames.map((name) => checkList(store, name, facts)));
  const document = releaseReport({ facts, lists, store: { url: store.url, pageOf: (key) => store.pageOf(key) } });
  const file = options.html ?? reportFile(`release-${facts.receipt.runId}.html`);
  try {
    if (options.html === undefined) await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    // Whoever opens it meanwhile sees the former one, whole.
    await writeFile(`${file}.new`, redact(renderReport(document)), { mode: 0o600 });
    await rename(`${file}.new`, file);
  } catch (error) {
    const key = options.html === undefined ? "DBPROTECT_REPORTS" : "--html";
    throw new UsageError(`${key}: found ${file}: it cannot be written: ${messageOf(error)}`);
  }
  return { file, document };
}

/** Writes the report of a release to a file, for the command that asks for it and for the verification that ends a release. */
import { writeOutputFile } from "../contract/outputFile";
import { reportFile } from "../contract/reportsFolder";
import { checkList, readFactsOfRelease } from "../release/checklist";
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
  const facts = await readFactsOfRelease(store, options.receipt);
  const lists = await Promise.all(checklistNames.map((name) => checkList(store, name, facts)));
  const document = releaseReport({ facts, lists, store: { url: store.url, pageOf: (key) => store.pageOf(key) } });
  const content = renderReport(document);
  if (options.html !== undefined) {
    await writeOutputFile({ file: options.html, key: "--html" }, content);
    return { file: options.html, document };
  }
  const file = reportFile(`release-${facts.receipt.runId}.html`);
  await writeOutputFile({ file, key: "DBPROTECT_REPORTS", makeFolder: true }, content);
  return { file, document };
}

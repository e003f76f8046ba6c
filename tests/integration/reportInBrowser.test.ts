/**
 * The reports in a real browser, on a phone and a desktop, light and dark: nothing breaks the rules of WCAG 2 A and AA that
 * axe-core knows (contrast, headings, tables, names), and nothing is wider than the screen.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { checkList } from "../../scripts/release/checklist";
import { checklistNames } from "../../scripts/release/checklists";
import { renderReport } from "../../scripts/report/html/renderReport";
import { releaseReport } from "../../scripts/report/releaseReport";
import { FileStore } from "../../scripts/store/fileStore";
import { skip } from "../skip";
import { damagedRelease } from "../servers/releaseFacts";
import { temporaryFolder } from "../servers/stores";

const browser = ["chromium", "chromium-browser", "google-chrome"].find(
  (name) => spawnSync(name, ["--version"]).error === undefined,
);

/** Only here: the report itself forbids scripts. */
const measuring = `
<script>${readFileSync(require.resolve("axe-core/axe.min.js"), "utf8")}</script>
<script>
  document.querySelectorAll("details").forEach((each) => (each.open = true));
  axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "best-practice"] }).then(({ violations }) => {
    const found = violations.map(({ id, nodes }) => id + ": " + nodes.map(({ target }) => target).join(", "));
    const width = document.documentElement.scrollWidth;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const result = JSON.stringify({ found, dark, tooWide: width > innerWidth ? width + " of " + innerWidth : null });
    parent.document.body.append("RESULT" + btoa(unescape(encodeURIComponent(result))) + "END");
  });
</script>`;

describe("a report in a browser", function () {
  this.timeout(120_000);
  let folder: string;
  let measured: string;

  before(async function () {
    if (browser === undefined) return skip(this, "no Chromium on PATH");
    folder = temporaryFolder();
    const store = new FileStore(folder);
    const lists = await Promise.all(checklistNames.map((name) => checkList(store, name, damagedRelease)));
    const html = renderReport(releaseReport({ facts: damagedRelease, lists, store }));
    const open = html.replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, "");
    measured = open.replace("</body>", () => `${measuring}</body>`);
  });

  /** In a frame, for the browser makes no window as narrow as a phone. */
  function framed(width: number): string {
    const page = join(folder, `report-${width}.html`);
    const source = measured.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
    writeFileSync(page, `<!doctype html><iframe style="width:${width}px;height:900px" srcdoc="${source}"></iframe>`);
    return pathToFileURL(page).href;
  }

  for (const [screen, width] of [
    ["phone", 360],
    ["desktop", 1300],
  ] as const) {
    for (const dark of [false, true]) {
      it(`is accessible and fits: ${screen}, ${dark ? "dark" : "light"}`, () => {
        const words = [
          ...["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1400,1000"],
          ...["--virtual-time-budget=60000", `--blink-settings=preferredColorScheme=${dark ? 0 : 1}`],
          ...["--dump-dom", framed(width)],
        ];
        const shown = spawnSync(browser!, words, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
        const coded = /RESULT([A-Za-z0-9+/=]+)END/.exec(shown.stdout)?.[1];
        assert.ok(coded !== undefined, shown.stderr.slice(-500));
        const result: unknown = JSON.parse(Buffer.from(coded, "base64").toString("utf8"));
        assert.deepEqual(result, { found: [], dark, tooWide: null });
      });
    }
  }
});

/**
 * `npm run docs:screenshots -- <report.html>`: a report as a phone and a desktop show it, light and dark, into docs/images/. Needs
 * Chromium.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { projectFolder } from "./pages";

/** CSS pixels. */
const screens = { phone: [390, 780], desktop: [1200, 780] } as const;

/** What Chromium's setting `preferredColorScheme` calls them. */
const schemes = { dark: 0, light: 1 } as const;

function takeAll(report: string): void {
  const folder = join(projectFolder, "docs", "images");
  mkdirSync(folder, { recursive: true });
  for (const [screen, [width, height]] of Object.entries(screens)) {
    for (const [scheme, value] of Object.entries(schemes)) {
      const { status, error, stderr } = spawnSync(
        "chromium",
        [
          ...[
            "--headless=old",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            `--window-size=${width},${height}`,
          ],
          `--blink-settings=preferredColorScheme=${value}`,
          `--screenshot=${join(folder, `report-${screen}-${scheme}.png`)}`,
          pathToFileURL(resolve(report)).href,
        ],
        { encoding: "utf8" },
      );
      if (status !== 0) throw new Error(`chromium: ${error?.message ?? stderr.slice(-500)}`);
    }
  }
}

const [report] = process.argv.slice(2);
if (report === undefined) {
  process.stderr.write("docs:screenshots: expected the file of a report\n");
  process.exitCode = 2;
} else takeAll(report);

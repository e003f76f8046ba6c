/** A checklist of the strategy as a person reads it: every item with its evidence, then where else to look. */
import { backupCommands, contacts, dashboards } from "../contract/links";
import type { CheckedItem, CheckedList } from "../release/checklist";

const marks: Readonly<Record<CheckedItem["state"], string>> = {
  ...{ proven: "[x]", ticked: "[x]", open: "[ ]", failed: "[!]" },
};

export function renderChecklist({ heading, release, items, obstacles, verdict }: CheckedList): string {
  const open = items.filter(({ state }) => state === "open" || state === "failed");
  return [
    heading,
    release === null ? "no release is being prepared" : `release ${release.releaseVersion || release.runId}`,
    "",
    ...items.map(({ state, words, detail }) => `${marks[state]} ${words}: ${detail}`),
    ...(obstacles.length === 0 ? [] : ["", ...obstacles]),
    "",
    ...renderLinks(),
    "",
    verdict === "complete" ? "COMPLETE" : `OPEN: ${open.length} of ${items.length} items${obstacleCount(obstacles)}`,
  ].join("\n");
}

function obstacleCount(obstacles: readonly string[]): string {
  return obstacles.length === 0 ? "" : `, ${obstacles.length} obstacle${obstacles.length === 1 ? "" : "s"}`;
}

/** The strategy's quick reference, one line each. */
function renderLinks(): string[] {
  return [
    ...contacts.map(({ problem, look }) => `${problem}: ${look.map(({ name, url }) => `${name} ${url}`).join(", ")}`),
    `Dashboards: ${Object.values(dashboards)
      .map(({ url }) => url)
      .join(", ")}`,
    `Backups: ${backupCommands.map(({ command }) => command).join(", ")}`,
  ];
}

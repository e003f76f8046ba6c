/** A watch for people: each health path beside how it answered before, each platform's deployment, and the verdict. */
import type { WatchReport } from "../release/watch";
import { renderTable } from "./table";

export function renderWatch({ endpoints, deployments, findings, seconds }: WatchReport): string {
  return [
    ...(endpoints.length === 0
      ? ["health: not configured (APP_URL, FRONTEND_URL)"]
      : [
          renderTable(endpoints, [
            { title: "PATH", value: ({ url }) => url },
            { title: "REQUESTS", value: ({ requests }) => requests },
            { title: "FAILED", value: ({ failures }) => failures },
            {
              title: "BEFORE",
              value: ({ baseline }) => (baseline === null ? "?" : `${baseline.failures} of ${baseline.requests}`),
            },
            { title: "MEDIAN MS", value: ({ medianMilliseconds }) => medianMilliseconds ?? "-" },
            { title: "BEFORE", value: ({ baseline }) => baseline?.medianMilliseconds ?? "?" },
            { title: "95 % MS", value: ({ p95Milliseconds }) => p95Milliseconds ?? "-" },
            { title: "BEFORE", value: ({ baseline }) => baseline?.p95Milliseconds ?? "?" },
          ]),
        ]),
    ...deployments.map(({ platform, id, status, logLines, errorLines, unseen }) =>
      unseen === null
        ? `${platform}: deployment ${id ?? "none"} is ${status ?? "not there"}; ${logLines} lines of its log, ${errorLines} of them errors`
        : `${platform}: not known: ${unseen}`,
    ),
    findings.length === 0 ? `PASS: nothing spiked within ${seconds} s` : "FAIL:",
    ...findings.map((finding) => `  ${finding}`),
  ].join("\n");
}

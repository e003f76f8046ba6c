/** The judge's findings for machines: SARIF 2.1.0 (OASIS), and annotations of GitHub Actions. */
import type { Log } from "sarif";
import type { Finding } from "../migrations/judge";
import { ruleCatalog } from "../migrations/ruleCatalog";

/** One run; columns count characters, as the findings do. Its type is made from the published schema. */
export function sarifOf(findings: readonly Finding[]): Log {
  const ids = [...new Set(findings.map(({ rule }) => rule))].sort();
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        columnKind: "unicodeCodePoints",
        tool: {
          driver: {
            name: "dbprotect",
            rules: ids.map((id) => ({
              id,
              shortDescription: { text: `${id} (${ruleCatalog[id].family})` },
              help: { text: ruleCatalog[id].saferWay },
            })),
          },
        },
        results: findings.map((finding) => ({
          ruleId: finding.rule,
          ruleIndex: ids.indexOf(finding.rule),
          level: finding.severity === "refuse" ? "error" : "note",
          message: { text: `${finding.reason}. ${finding.saferWay}` },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: finding.file.split(/[/\\]/).map(encodeURIComponent).join("/") },
                region: { startLine: finding.line, startColumn: finding.column },
              },
            },
          ],
        })),
      },
    ],
  };
}

/** A workflow command a finding (GitHub docs, "Workflow commands for GitHub Actions"). */
export function githubAnnotation({ severity, file, line, column, rule, reason, saferWay }: Finding): string {
  const kind = severity === "refuse" ? "error" : "notice";
  const properties = { file, line, col: column, title: rule };
  const written = Object.entries(properties).map(([name, value]) => `${name}=${escapeProperty(String(value))}`);
  return `::${kind} ${written.join(",")}::${escapeData(`${reason}\n${saferWay}`)}`;
}

function escapeData(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}

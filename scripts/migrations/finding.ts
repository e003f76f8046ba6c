/** What the judge found: one statement, one rule, one place. Receipts, reports and overrides carry these. */
import { z } from "zod";
import { type RuleId, families, ruleCatalog, severities } from "./ruleCatalog";

export const findingSchema = z.strictObject({
  /** File name without its folder. */
  file: z.string(),
  rule: z.enum(Object.keys(ruleCatalog) as [RuleId, ...RuleId[]]),
  family: z.enum(families),
  severity: z.enum(severities),
  /** 1-based. */
  line: z.int().positive(),
  /** 1-based, in characters. */
  column: z.int().positive(),
  /** The line and, below it, a caret. */
  excerpt: z.string(),
  /** What the statement does, naming the object. */
  reason: z.string(),
  saferWay: z.string(),
});

export type Finding = z.infer<typeof findingSchema>;

export const judgementSchema = z.strictObject({
  /** `refused` as soon as one finding refuses; what overrides change is the gate's. */
  verdict: z.enum(["pass", "refused"]),
  /** In the order of files, lines and columns. */
  findings: z.array(findingSchema),
});

export type Judgement = z.infer<typeof judgementSchema>;

/** What an override names, after `migrations:`: `<file>:<rule>`. One override covers all places of a rule in a file. */
export function findingId(finding: Pick<Finding, "file" | "rule">): string {
  return `${finding.file}:${finding.rule}`;
}

/** One line for logs and errors: `20260103_purge.sql:4:1 delete: deletes rows of public.clients`. */
export function summarizeFinding(finding: Finding): string {
  return `${finding.file}:${finding.line}:${finding.column} ${finding.rule}: ${finding.reason}`;
}

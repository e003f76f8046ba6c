/** The strategy's checklists as data: its words, item by item, and what can prove each. How is `checklistEvidence.ts`. */

/** What the records of a release can prove. */
export type ProofName =
  | "backup"
  | "integrity"
  | "environment"
  | "dataChecks"
  | "dataState"
  | "rollbackPlan"
  | "deploymentLogs"
  | "connectivity"
  | "endpoints"
  | "intact"
  | "workflows"
  | "watched"
  | "watchedHealth"
  | "watchedLogs"
  | "pruned"
  | "teamTold"
  | "backupVerified";

export interface ChecklistItem {
  /** Unique within its list. */
  readonly id: string;
  /** As the strategy writes it. */
  readonly words: string;
  /** Null: no record can prove it, so a person is asked. */
  readonly proof: ProofName | null;
}

export interface Checklist {
  /** The strategy's heading. */
  readonly heading: string;
  readonly items: readonly ChecklistItem[];
}

export const checklistNames = ["quick", "pre", "during", "post", "success"] as const;
export type ChecklistName = (typeof checklistNames)[number];

export const checklists: Readonly<Record<ChecklistName, Checklist>> = {
  quick: {
    heading: "Quick Safety Checklist: Before Every Deployment",
    items: [
      { id: "backup", words: "Create full database backup", proof: "backup" },
      { id: "integrity", words: "Verify backup integrity", proof: "integrity" },
      { id: "environment", words: "Test environment variables", proof: "environment" },
      { id: "validation", words: "Run data validation scripts", proof: "dataChecks" },
      { id: "state", words: "Document current data state", proof: "dataState" },
      { id: "rollback-plan", words: "Prepare rollback plan", proof: "rollbackPlan" },
    ],
  },
  pre: {
    heading: "Pre-Deployment (Required)",
    items: [
      { id: "backup", words: "Create database backup", proof: "backup" },
      { id: "integrity", words: "Verify backup integrity", proof: "integrity" },
      { id: "environment", words: "Test environment variables", proof: "environment" },
      { id: "validation", words: "Run data validation scripts", proof: "dataChecks" },
      { id: "rollback-plan", words: "Prepare rollback plan", proof: "rollbackPlan" },
      { id: "team", words: "Notify team of deployment", proof: "teamTold" },
    ],
  },
  during: {
    heading: "During Deployment (Required)",
    items: [
      { id: "logs", words: "Monitor deployment logs", proof: "deploymentLogs" },
      { id: "errors", words: "Watch for errors", proof: "watched" },
      { id: "connectivity", words: "Verify database connectivity", proof: "connectivity" },
      { id: "endpoints", words: "Test critical endpoints", proof: "endpoints" },
      { id: "health", words: "Monitor application health", proof: "watchedHealth" },
    ],
  },
  post: {
    heading: "Post-Deployment (Required)",
    items: [
      { id: "intact", words: "Verify all data is intact", proof: "intact" },
      { id: "workflows", words: "Test user workflows", proof: "workflows" },
      { id: "error-rates", words: "Monitor error rates", proof: "watchedHealth" },
      { id: "documentation", words: "Update documentation", proof: null },
      { id: "old-backups", words: "Clean up old backups", proof: "pruned" },
      { id: "issues", words: "Document any issues", proof: null },
    ],
  },
  success: {
    heading: "Deployment is successful when:",
    items: [
      { id: "data", words: "All data is preserved (record counts match)", proof: "intact" },
      { id: "accessible", words: "Application is accessible", proof: "endpoints" },
      { id: "connections", words: "Database connections work", proof: "connectivity" },
      { id: "functionality", words: "Critical functionality tested", proof: "workflows" },
      { id: "error-spikes", words: "No error spikes in logs", proof: "watchedLogs" },
      { id: "backup", words: "Backup created and verified", proof: "backupVerified" },
    ],
  },
};

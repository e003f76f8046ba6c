/** What is asked of the platform's own protection, how much at each Level, and what an answer to it is. */
import { type Demand, type PlatformRequirement, type PlatformSettings, platformRequirements } from "../settings";

/** What was found of one requirement. */
export interface Finding {
  readonly requirement: PlatformRequirement;
  /** `unknown`: it could not be read, which proves nothing. */
  readonly outcome: "met" | "unmet" | "unknown";
  /** One line: what was found and, unless it is met, what is expected. */
  readonly found: string;
}

/**
 * At Level 1 the platform's backups are all there is, so they are required. At Level 2 the gate proves backups of its
 * own before every release; those of the platform are a second net, and a free plan, which has none, must be able to
 * release. Level 3 promises more than one place and a window to go back to, so it demands them.
 */
const byLevel: Readonly<Record<PlatformRequirement, readonly [Demand, Demand, Demand]>> = {
  backup: ["require", "warn", "require"],
  pitr: ["ignore", "ignore", "require"],
  schedule: ["warn", "warn", "warn"],
  retention: ["require", "warn", "require"],
  region: ["warn", "warn", "require"],
  replicas: ["ignore", "ignore", "warn"],
  services: ["require", "require", "require"],
  disk: ["warn", "warn", "require"],
  security: ["warn", "warn", "require"],
  performance: ["ignore", "ignore", "warn"],
};

/** What is demanded of each: as configured, else as the Level has it. */
export function demandsOf(settings: PlatformSettings): Readonly<Record<PlatformRequirement, Demand>> {
  return Object.fromEntries(
    platformRequirements.map((requirement) => [
      requirement,
      settings.requirements[requirement] ?? byLevel[requirement][settings.level - 1],
    ]),
  ) as Record<PlatformRequirement, Demand>;
}

/** `26 h`, `3.5 days`. */
export function describeAge(seconds: number): string {
  const hours = Math.max(0, seconds) / 3600;
  return hours < 48 ? `${hours.toFixed(1)} h` : `${(hours / 24).toFixed(1)} days`;
}

/** Break-glass: which findings an override of the stack's config lets pass, and which overrides are themselves a mistake. */
import type { Override } from "../settings";
import type { GateFinding } from "./context";

/** An override names a whole step (`environment`) or one of its findings (`environment:SUPABASE_URL`). */
export function overrideFor(step: string, finding: GateFinding, overrides: readonly Override[]): Override | undefined {
  return overrides.find(({ what }) => what === step || what === `${step}:${finding.id}`);
}

export function expiredOverrides(overrides: readonly Override[], now: Date): Override[] {
  return overrides.filter(({ expires }) => new Date(expires).getTime() <= now.getTime());
}

/** Variable names, or `*`, whose findings these overrides of the step `environment` let pass. */
export function overriddenVariables(overrides: readonly Override[]): string[] {
  return overrides.flatMap(({ what }) => {
    const [step, ...name] = what.split(":");
    if (step !== "environment") return [];
    return [name.length === 0 ? "*" : name.join(":")];
  });
}

/** An override that nothing needed would silently wait for the day that something does. */
export function unusedOverrides(overrides: readonly Override[], used: readonly Override[]): Override[] {
  return overrides.filter((override) => !used.includes(override));
}

/** Findings of the trial are known only once the backup is restored. */
export function isOfTrial({ what }: Override): boolean {
  return what === "trial" || what.startsWith("trial:");
}

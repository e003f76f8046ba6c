/** Break-glass: which findings an override of the stack's config lets pass, and which overrides are themselves a mistake. */
import { severityOf } from "../migrations/ruleCatalog";
import type { Receipt } from "../record/receipt";
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

/**
 * The override of a statement that covers what the trial found it to do: one that the judge told of, naming the very
 * table. What it reached beyond that, by cascade or trigger, nobody has agreed to.
 *
 * @param id of the trial's finding: `schema.table`, or with a column behind it.
 */
export function coveringOverride(
  id: string,
  judged: Receipt["migrations"],
  overrides: readonly Override[],
): Override | undefined {
  const [schema = "", table = ""] = id.includes(":") ? [] : id.split(".");
  const statements = judged.flatMap(({ file, findings }) => findings.map((finding) => ({ file, ...finding })));
  const told = statements.filter(({ reason }) => namesTable(reason, schema, table));
  for (const { file, rule } of told) {
    const override = overrideFor("migrations", { id: `${file}:${rule}`, message: "" }, overrides);
    if (override !== undefined) return override;
  }
  return undefined;
}

function namesTable(reason: string, schema: string, table: string): boolean {
  if (table === "") return false;
  const words = reason.split(/[\s,:]+/);
  return words.some((word) =>
    [table, `${schema}.${table}`].some((name) => word === name || word.startsWith(`${name}.`)),
  );
}

/** Overrides of what the judge only told: needed when the trial finds it to change rows. */
export function namesInformation({ what }: Override, judged: Receipt["migrations"]): boolean {
  return judged.some(({ file, findings }) =>
    findings.some(({ rule }) => what === `migrations:${file}:${rule}` && severityOf(rule) === "inform"),
  );
}

/** Findings of the trial are known only once the backup is restored. */
export function isOfTrial({ what }: Override): boolean {
  return what === "trial" || what.startsWith("trial:");
}

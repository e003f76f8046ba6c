/**
 * What a release took from the definitions: row security, triggers, constraints, unique indexes, enum labels, rights.
 * Such a loss halts, unless the gate judged a migration that says so: it was allowed there, or a person overrode it.
 * Everything else that changed is told and halts nothing.
 */
import type { CatalogChange } from "../fingerprint/compare";
import type { WriteGrant } from "../database/writeGrants";
import type { RuleId } from "../migrations/ruleCatalog";

/** What the judge said of a migration that the gate let pass. */
export interface JudgedStatement {
  readonly file: string;
  readonly rule: string;
  /** What the statement does, naming the object. */
  readonly reason: string;
}

export interface CatalogLosses {
  /** Losses that nothing explains: each fails the comparison. */
  readonly failures: readonly string[];
  /** Losses that a judged migration explains, with its file and rule. */
  readonly explained: readonly string[];
}

interface LossClass {
  readonly of: (change: CatalogChange) => string | undefined;
  /** Rules whose findings explain it when they name the object. */
  readonly named: readonly RuleId[];
  /** Rules whose findings explain it when they name its table. */
  readonly ofTable?: readonly RuleId[];
  /** Rules whose findings name something else: what it went with, or nothing at all. */
  readonly unnamed: readonly RuleId[];
}

const cascades = ["drop-cascade", "drop-type-cascade", "drop-owned", "drop-schema"] as const;

const removed = (kind: string, loss: (name: string) => string): LossClass["of"] => {
  return (change) => (change.kind === kind && change.change === "removed" ? loss(change.name) : undefined);
};

const kindsWithRights = ["schema", "public-schema", "relation", "column", "routine"];
const triggerKinds = ["trigger", "event-trigger"];

const classes: readonly LossClass[] = [
  {
    of: removed("policy", (name) => `row security policy ${name} is gone`),
    named: ["drop-policy", "rename-part"],
    unnamed: cascades,
  },
  {
    of: removed("row-security", (name) => `row security of ${name} is switched off`),
    named: ["disable-row-security"],
    unnamed: [],
  },
  {
    of: ({ kind, change, name, lost }) => {
      if (!triggerKinds.includes(kind)) return undefined;
      const words = kind.replace("-", " ");
      if (change === "removed") return `${words} ${name} is gone`;
      return lost.length === 0 ? undefined : `${words} ${name} is no longer ${lost.join(", ")}`;
    },
    named: ["drop-trigger", "rename-part"],
    ofTable: ["disable-trigger"],
    unnamed: cascades,
  },
  {
    of: removed("constraint", (name) => `constraint ${name} is gone`),
    named: ["drop-constraint", "rename"],
    ofTable: ["drop-column"],
    unnamed: ["drop-table", ...cascades],
  },
  {
    of: ({ kind, change, name, lost }) => {
      if (kind !== "index" || !lost.includes("unique")) return undefined;
      return change === "removed" ? `unique index ${name} is gone` : `index ${name} is no longer unique`;
    },
    named: ["drop-index", "drop-constraint", "rename-part"],
    unnamed: ["drop-column", ...cascades],
  },
  {
    of: ({ kind, change, name, lost }) => {
      if (kind !== "enum") return undefined;
      if (change === "removed") return `enum ${name} is gone`;
      return lost.length === 0 ? undefined : `enum ${name} lost the label(s) ${lost.join(", ")}`;
    },
    named: ["alter-enum-value", "drop-type", "rename", "set-schema"],
    unnamed: cascades,
  },
  {
    of: ({ kind, change, name, lost }) =>
      kindsWithRights.includes(kind) && change === "changed" && lost.length > 0
        ? `right(s) to ${kind.replace("public-", "")} ${name} are gone: ${lost.join(", ")}`
        : undefined,
    named: ["change-owner"],
    unnamed: ["revoke-right", "reassign-owned", "drop-owned", "drop-role"],
  },
];

/**
 * The changes without the rights that a write fence withholds: they are on record and come back with it. A column whose
 * last right is withheld has no access control list left, and so does not name its owner either.
 */
export function withoutWithheld(
  changes: readonly CatalogChange[],
  withheld: readonly WriteGrant[],
): readonly CatalogChange[] {
  const rights = new Map<string, Set<string>>();
  for (const { schema, name, column, grantee, privilege, grantable, owner } of withheld) {
    const id = column === null ? `relation ${schema}.${name}` : `column ${schema}.${name}.${column}`;
    const known = rights.get(id) ?? new Set(column === null ? [] : [`OWNER ${owner}`]);
    rights.set(id, known.add(`${grantee ?? "PUBLIC"} ${privilege}${grantable ? " WITH GRANT OPTION" : ""}`));
  }
  return changes.map((change) => {
    const known = change.change === "changed" ? rights.get(`${change.kind} ${change.name}`) : undefined;
    return known === undefined ? change : { ...change, lost: change.lost.filter((right) => !known.has(right)) };
  });
}

/** @param judged what the judge said of the migrations that the gate let pass; empty: nothing explains a loss. */
export function findCatalogLosses(
  changes: readonly CatalogChange[],
  judged: readonly JudgedStatement[] = [],
): CatalogLosses {
  const failures: string[] = [];
  const explained: string[] = [];
  for (const change of changes.filter((candidate) => !goesWithAnother(candidate, changes))) {
    for (const lossClass of classes) {
      const loss = lossClass.of(change);
      if (loss === undefined) continue;
      const statement = judged.find((candidate) => explains(candidate, lossClass, change));
      if (statement === undefined) failures.push(loss);
      else explained.push(`${loss}: ${statement.file} (${statement.rule})`);
    }
  }
  return { failures, explained };
}

function explains(
  { rule, reason }: JudgedStatement,
  { named, ofTable = [], unnamed }: LossClass,
  { name }: CatalogChange,
): boolean {
  if (unnamed.some((id) => id === rule)) return true;
  const [table = "", object = ""] = bareName(name).split(".").slice(-2);
  const says = (rules: readonly RuleId[], what: string): boolean =>
    rules.some((id) => id === rule) && reason.includes(what);
  return says(named, object === "" ? table : object) || says(ofTable, table);
}

/** Without what stands in brackets: a routine's arguments, `(forced)`. */
function bareName(name: string): string {
  return name.replace(/ ?\(.*\)$/, "");
}

/** What belonged to a table that is gone is that table's failure; the index of a constraint is the constraint's. */
function goesWithAnother({ kind, name, change }: CatalogChange, changes: readonly CatalogChange[]): boolean {
  if (change !== "removed") return false;
  return changes.some((other) => {
    if (other.change !== "removed") return false;
    if (other.kind === "relation") return bareName(name) === other.name || name.startsWith(`${other.name}.`);
    const [schema, ...index] = name.split(".");
    const isIts = other.name.startsWith(`${schema}.`) && other.name.endsWith(`.${index.join(".")}`);
    return kind === "index" && other.kind === "constraint" && isIts;
  });
}

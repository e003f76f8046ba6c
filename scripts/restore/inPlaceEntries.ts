/** Which entries of an archive are restored in place of what is there, and which are tried on their own. Pure. */
import type { CatalogItem, Fingerprint } from "../fingerprint/fingerprint";
import { type TocEntry, ownerOf } from "./tableOfContents";

/** What is left of the database once everything of the role's own was dropped. */
export interface Left {
  readonly schemas: ReadonlySet<string>;
  readonly extensions: ReadonlySet<string>;
  /** Tables of these extensions whose rows are in archives, as the table of contents has them: `cron job`. */
  readonly extensionTables: ReadonlySet<string>;
  readonly catalog: readonly CatalogItem[];
}

export interface EntryRules {
  readonly left: Left;
  /** Every role that may stand as an owner in the archive. */
  readonly knownRoles: readonly string[];
  /** Those whose objects the session can make. */
  readonly ownRoles: readonly string[];
}

/**
 * All that the role can make and that is not there: what it owns, and all rows. Schemas and extensions that are there
 * stay, because the platform's settings depend on them.
 */
export function isRestoredInPlace(entry: TocEntry, rules: EntryRules): boolean {
  const { left, knownRoles, ownRoles } = rules;
  const owner = ownerOf(entry, knownRoles);
  // A cast has none, nor has an extension.
  const isOwn = owner === undefined || ownRoles.includes(owner);
  // The extension stayed with its rows: jobs that are there would be there twice, or run again.
  if (entry.kind === "TABLE DATA") return !left.extensionTables.has(nameOf(entry, owner));
  if (entry.kind === "EXTENSION") return !left.extensions.has(nameOf(entry, owner));
  if (entry.kind === "SCHEMA") return isOwn && !left.schemas.has(nameOf(entry, owner));
  if (entry.kind === "COMMENT") {
    const [, kind, name = ""] = /^(EXTENSION|SCHEMA) (.*)$/.exec(nameOf(entry, owner)) ?? [];
    if (kind === "EXTENSION") return !left.extensions.has(unquoted(name));
  }
  if (owner === undefined && isThere(entry, left)) return false;
  return isOwn;
}

/** Kinds of objects without an owner: those that a superuser made stay where the role is none. */
const unowned: Readonly<Record<string, { kind: string; tag: (name: string) => string }>> = {
  "ACCESS METHOD": { kind: "access-method", tag: (name) => `- ${name}` },
  CAST: { kind: "cast", tag: (name) => `- CAST (${name})` },
  TRANSFORM: { kind: "transform", tag: (name) => `- TRANSFORM FOR ${name.replace(/ (\S+)$/, " LANGUAGE $1")}` },
  "TEXT SEARCH PARSER": { kind: "text-search-parser", tag: spaced },
  "TEXT SEARCH TEMPLATE": { kind: "text-search-template", tag: spaced },
};

function isThere(entry: TocEntry, left: Left): boolean {
  const known = unowned[entry.kind];
  if (known === undefined) return false;
  return left.catalog.some(({ kind, name }) => kind === known.kind && entry.rest.trimEnd() === known.tag(name));
}

/** Of an entry outside schemas. */
function nameOf({ rest }: TocEntry, owner: string | undefined): string {
  const name = rest.replace(/^- /, "");
  return owner === undefined ? name.trimEnd() : name.slice(0, -(owner.length + 1));
}

function unquoted(name: string): string {
  return /^".*"$/.test(name) ? name.slice(1, -1).replaceAll('""', '"') : name;
}

/** Definitions that people add to what the platform owns: kinds of the archive, and of the catalog. */
const addedByPeople: Readonly<Record<string, string>> = {
  TRIGGER: "trigger",
  POLICY: "policy",
  RULE: "rule",
  "EVENT TRIGGER": "event-trigger",
};

/**
 * The item of the backup's catalog that the entry makes, if it is such a definition and the database has it not: it was
 * lost before, or went with something that was dropped. The role may or may not be allowed to make it again.
 */
export function missingItem(entry: TocEntry, fingerprint: Fingerprint, left: Left): CatalogItem | undefined {
  const kind = addedByPeople[entry.kind];
  if (kind === undefined) return undefined;
  const there = new Set(left.catalog.flatMap((item) => (item.kind === kind ? [item.name] : [])));
  const text = spaced(entry.rest.replace(/^- /, ""));
  return fingerprint.catalog.find(
    (item) => item.kind === kind && !there.has(item.name) && text.startsWith(`${spaced(item.name)} `),
  );
}

/** The catalog puts dots between schema, table and name, the table of contents spaces. */
function spaced(name: string): string {
  return name.replaceAll(".", " ");
}

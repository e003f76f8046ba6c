/** An archive's table of contents as `pg_restore --list` prints it, so that entries can be chosen by what they are. */

export interface TocEntry {
  /** As it goes back to `pg_restore --use-list`. */
  readonly line: string;
  /** What it is, in pg_dump's words: `TABLE`, `TABLE DATA`, `DEFAULT ACL`. */
  readonly kind: string;
  /** Schema (`-`: none), name and owner, with spaces between them. pg_dump quotes none of them. */
  readonly rest: string;
}

/** Kinds of more than one word, and those that another begins with: longest first. (pg_dump.c, `.description`.) */
const longKinds = [
  "BLOB COMMENTS",
  "BLOB METADATA",
  "CHECK CONSTRAINT",
  "DATABASE PROPERTIES",
  "DEFAULT ACL",
  "EVENT TRIGGER",
  "FK CONSTRAINT",
  "FOREIGN DATA WRAPPER",
  "FOREIGN SERVER",
  "FOREIGN TABLE",
  "INDEX ATTACH",
  "LARGE OBJECT",
  "MATERIALIZED VIEW DATA",
  "MATERIALIZED VIEW",
  "OPERATOR CLASS",
  "OPERATOR FAMILY",
  "ACCESS METHOD",
  "PROCEDURAL LANGUAGE",
  "PUBLICATION TABLES IN SCHEMA",
  "PUBLICATION TABLE",
  "ROW SECURITY",
  "SECURITY LABEL",
  "SEQUENCE OWNED BY",
  "SEQUENCE SET",
  "SHELL TYPE",
  "STATISTICS DATA",
  "SUBSCRIPTION TABLE",
  "TABLE ATTACH",
  "TABLE DATA",
  "TEXT SEARCH CONFIGURATION",
  "TEXT SEARCH DICTIONARY",
  "TEXT SEARCH PARSER",
  "TEXT SEARCH TEMPLATE",
  "USER MAPPING",
] as const;

/** `215; 1259 16385 TABLE public clients postgres` */
const entryLine = /^\d+; \d+ \d+ (.*)$/;

export function parseContents(list: string): TocEntry[] {
  return list.split("\n").flatMap((line): TocEntry[] => {
    const [, text] = entryLine.exec(line) ?? [];
    if (text === undefined) return [];
    const kind = longKinds.find((candidate) => text.startsWith(`${candidate} `)) ?? text.slice(0, text.indexOf(" "));
    return [{ line, kind, rest: text.slice(kind.length + 1) }];
  });
}

/** The role at the end of the entry: of several that fit, the longest name. Undefined: none of them, or none at all. */
export function ownerOf(entry: TocEntry, roles: readonly string[]): string | undefined {
  return roles.filter((role) => entry.rest.endsWith(` ${role}`)).sort((a, b) => b.length - a.length)[0];
}

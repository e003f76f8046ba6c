/** What is measured against what: each a shell command that a user would write, with both ends on disk when it ends. */
import { join, resolve } from "node:path";
import { bin } from "./program";

export interface Place {
  /** Where files go; a folder of its own for each run. */
  readonly folder: string;
  /** `s3://bucket/prefix`. */
  readonly bucket: string;
  /** The PostgreSQL programs. */
  readonly binDir: string;
}

export interface Contender {
  readonly name: string;
  /** Whether it is this project's. */
  readonly ours: boolean;
  readonly command: string;
  /** What has to be there first, and what is cleared away behind it: not measured. */
  readonly prepare?: string;
  readonly after?: string;
  /** Whose time its own is held against. Default: none's. */
  readonly against?: string;
  /** What it leaves, for its size: a path, or an `s3://` prefix. Absent: nothing to keep. */
  readonly leaves?: string;
  /** Program that it needs beyond PostgreSQL's; without it the line is left out, and says so. */
  readonly needs?: string;
}

const esbuild = resolve(__dirname, "../node_modules/.bin/esbuild");

/** The largest table and the middle of its pages: what two clients read in parallel. */
const largest = "events";

const pgDumpName = "pg_dump -Fc to a file";

export function backupContenders({ folder, bucket, binDir }: Place): Contender[] {
  const tool = (name: string): string => join(binDir, name);
  const file = (name: string): string => join(folder, name);
  const dump = `${tool("pg_dump")} "$DATABASE_URL"`;
  const roles = `${tool("pg_dumpall")} --roles-only --no-role-passwords -d "$DATABASE_URL"`;
  const upload = (name: string): string =>
    `aws --endpoint-url "$AWS_ENDPOINT_URL_S3" s3 cp --only-show-errors - ${bucket}/${name}`;
  // What `supabase db dump` runs three times in its container (supabase/cli, dump scripts): roles, schema, data.
  const supabase = (name: string, form: string): string =>
    [
      `${roles} > ${file(`${name}-roles.sql`)}`,
      `${dump} --schema-only --quote-all-identifiers > ${file(`${name}-schema.sql`)}`,
      `${dump} --data-only --quote-all-identifiers ${form} > ${file(`${name}-data.sql`)}`,
      `sync ${file(name)}-*.sql`,
    ].join("\n");
  const copyOf = (table: string, where: string): string =>
    `${tool("psql")} "$DATABASE_URL" -Xqc "COPY (SELECT * FROM ${table} ${where}) TO STDOUT" > /dev/null`;
  return [
    {
      name: "dbprotect db:backup, to a folder",
      ours: true,
      against: pgDumpName,
      command: `BACKUP_STORE=file://${file("store")} ${bin} db:backup --depth 1`,
      leaves: file("store"),
    },
    {
      name: "dbprotect db:backup, to S3",
      ours: true,
      against: pgDumpName,
      command: `BACKUP_STORE=${bucket}/store ${bin} db:backup --depth 1`,
      leaves: `${bucket}/store`,
    },
    {
      name: "dbprotect db:backup, verified (restored and compared)",
      ours: true,
      against: pgDumpName,
      command: `BACKUP_STORE=file://${file("verified")} ${bin} db:backup --depth 4`,
      leaves: file("verified"),
    },
    {
      name: "the dump phase of db:backup alone",
      ours: true,
      against: pgDumpName,
      // One file, as the command itself is.
      prepare: `${esbuild} ${join(__dirname, "dumpPhase.ts")} --bundle --platform=node --external:pg-native --outfile=${file("dumpPhase.js")}`,
      command: `node --max-semi-space-size=2 ${file("dumpPhase.js")} file://${file("phase")}`,
      leaves: file("phase"),
    },
    {
      name: pgDumpName,
      ours: false,
      command: `${dump} -Fc -f ${file("custom.dump")} && sync ${file("custom.dump")}`,
      leaves: file("custom.dump"),
    },
    {
      name: "pg_dump -Fc, upload",
      ours: false,
      against: pgDumpName,
      command: `${dump} -Fc | ${upload("custom.dump")}`,
      leaves: `${bucket}/custom.dump`,
      needs: "aws",
    },
    {
      name: "pg_dump, gzip, upload",
      ours: false,
      against: pgDumpName,
      command: `${dump} | gzip | ${upload("plain.sql.gz")}`,
      leaves: `${bucket}/plain.sql.gz`,
      needs: "aws",
    },
    {
      name: "pg_dump -Fd -j2",
      ours: false,
      against: pgDumpName,
      command: `${dump} -Fd -j2 -f ${file("directory")} && sync ${file("directory")}/*`,
      leaves: file("directory"),
    },
    {
      name: "supabase db dump (INSERT)",
      ours: false,
      against: pgDumpName,
      command: supabase("insert", "--inserts --rows-per-insert 100000"),
      leaves: file("insert-data.sql"),
    },
    {
      name: "supabase db dump --use-copy",
      ours: false,
      against: pgDumpName,
      command: supabase("copy", ""),
      leaves: file("copy-data.sql"),
    },
    {
      name: "the limit: COPY TO STDOUT by two clients",
      ours: false,
      command: [
        `pages=$(${tool("psql")} "$DATABASE_URL" -XAtc "SELECT pg_relation_size('${largest}') / 8192")`,
        `(${copyOf(largest, "WHERE ctid < '($((pages / 2)),0)'")} && ${copyOf("orders", "")}) & first=$!`,
        `${copyOf(largest, "WHERE ctid >= '($((pages / 2)),0)'")} && ${copyOf("customers", "")}`,
        "wait $first",
      ].join("\n"),
    },
  ];
}

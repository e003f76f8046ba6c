/** A schema that a seed determines, with rows: kinds of tables, types and values that are hard to bring back, combined at random. */
import { quoteIdentifier } from "../../scripts/database/sqlText";
import { randomNumbers } from "./campaign";

/** A type and values of it, as SQL. */
interface ValueType {
  readonly type: string;
  readonly values: readonly string[];
  /** Has a default operator class: may be a key or a partition key. */
  readonly ordered?: true;
  /** A domain over an array: PostgreSQL takes an ARRAY[…] of it for one of more dimensions. */
  readonly isArray?: true;
}

const builtinTypes: readonly ValueType[] = [
  { type: "integer", values: ["0", "'-2147483648'", "2147483647"], ordered: true },
  { type: "bigint", values: ["9223372036854775807", "'-9223372036854775808'"], ordered: true },
  { type: "numeric", values: ["'NaN'", "'Infinity'", "'-Infinity'", "1e-300", "123456789012345678901234567890.5"] },
  { type: "numeric(12,4)", values: ["'NaN'", "0.0001", "'-99999999.9999'"] },
  { type: "double precision", values: ["'NaN'", "'-Infinity'", "'-0'", "5e-324", "0.1::float8 + 0.2::float8"] },
  { type: "real", values: ["'Infinity'", "1.1754944e-38", "3.4028235e38"] },
  {
    type: "text",
    values: [String.raw`E'\\.\n\\N\t''"'`, "''", "'żółć 🦔 ﷽'", String.raw`E'\x01\x7f'`, "' '"],
    ordered: true,
  },
  { type: "char(5)", values: ["'a'", "'  a'"] },
  { type: "bytea", values: [String.raw`'\x00ff5c0a'`, "''"] },
  { type: "boolean", values: ["true", "false"] },
  { type: "date", values: ["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'"], ordered: true },
  {
    type: "timestamptz",
    values: ["'infinity'", "'294276-12-31 23:59:59.999999+00'", "'2026-03-29 02:30 Europe/Berlin'"],
  },
  { type: "interval", values: ["'1 mon -1 days +00:00:00.000001'", "'-178000000 years'"] },
  { type: "jsonb", values: [String.raw`'{"a": [1e400, null, "\u00e9"]}'`, "'null'"] },
  { type: "json", values: [`'{"b": 1, "a":  2, "b": 3}'`] },
  { type: "uuid", values: ["'00000000-0000-0000-0000-000000000000'"], ordered: true },
  { type: "int4multirange", values: ["'{[1,3),[5,)}'", "'{}'"] },
  { type: "tstzrange", values: ["'(-infinity,infinity)'", "'empty'", "'[2026-01-01,)'"] },
  { type: "inet", values: ["'::ffff:1.2.3.4/128'", "'10.0.0.0/8'"] },
  { type: "bit varying", values: ["B'0101'", "B''"] },
  { type: "tsvector", values: ["'a:1A fat''s:2'"] },
  { type: "xml", values: ["'<a>&amp;</a>'"] },
  { type: "point", values: ["'(NaN,-Infinity)'"] },
];

/** Words that have to be quoted, and one that looks like a command of COPY. */
const words = [
  "order",
  "Große Tabelle",
  'quo"te',
  "semi;colon",
  "данные",
  "🦔",
  "dollar$1",
  "\\.",
  "a".repeat(55),
  "tab\tbed",
];

export interface RandomSchema {
  readonly statements: readonly string[];
  /** Tables with rows of their own, quoted. */
  readonly tables: readonly string[];
}

/** @param rows of each table. */
export function randomSchema(seed: number, rows = 30): RandomSchema {
  const random = randomNumbers(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const chance = (probability: number): boolean => random() < probability;
  const statements: string[] = [];
  const tables: string[] = [];
  let names = 0;
  const name = (): string => quoteIdentifier(`${pick(words)} ${(names += 1)}`);
  const schema = name();
  const inSchema = (): string => `${schema}.${name()}`;
  statements.push(`CREATE SCHEMA ${schema}`);
  const types = [...builtinTypes, ...ownTypes(statements, inSchema, pick)];

  for (let count = 3 + Math.floor(random() * 4); count > 0; count -= 1) addTable();
  if (chance(0.7)) addPartitions();
  if (chance(0.7)) addHeirs();
  return { statements, tables };

  function columns(): { name: string; type: ValueType; array: boolean }[] {
    return Array.from({ length: 1 + Math.floor(random() * 6) }, () => {
      const type = pick(types);
      return { name: name(), type, array: type.isArray !== true && chance(0.2) };
    });
  }

  function definition({ name: column, type, array }: ReturnType<typeof columns>[number]): string {
    return `${column} ${type.type}${array ? "[]" : ""}`;
  }

  function valueOf({ type, array }: ReturnType<typeof columns>[number]): string {
    if (chance(0.15)) return "NULL";
    const value = `${pick(type.values)}::${type.type}`;
    return array ? `ARRAY[${value}, NULL, ${pick(type.values)}::${type.type}]` : value;
  }

  /** @param fixed values of further columns, by place of the row. */
  function fill(
    table: string,
    into: ReturnType<typeof columns>,
    fixed: Record<string, (row: number) => string> = {},
  ): void {
    const listed = [...Object.keys(fixed), ...into.map((column) => column.name)].join(", ");
    const values = Array.from(
      { length: rows },
      (_, row) => `(${[...Object.values(fixed).map((of) => of(row)), ...into.map(valueOf)].join(", ")})`,
    );
    statements.push(`INSERT INTO ${table} (${listed}) VALUES ${values.join(", ")}`);
    tables.push(table);
  }

  function addTable(): void {
    const table = inSchema();
    const own = columns();
    const more = [
      ...(chance(0.5)
        ? [`${name()} bigint GENERATED ${chance(0.5) ? "ALWAYS" : "BY DEFAULT"} AS IDENTITY PRIMARY KEY`]
        : []),
      ...(chance(0.3)
        ? [`${name()} text GENERATED ALWAYS AS ('g' || length(${quoteIdentifier("of it")}::text)) STORED`]
        : []),
    ];
    const base = `${quoteIdentifier("of it")} text DEFAULT 'x'`;
    const kind = chance(0.15) ? "UNLOGGED TABLE" : "TABLE";
    statements.push(`CREATE ${kind} ${table} (${[base, ...own.map(definition), ...more].join(", ")})`);
    fill(table, own);
    const index = own.find(({ type, array }) => type.ordered === true && !array);
    if (index !== undefined)
      statements.push(`CREATE INDEX ON ${table} (${index.name}) WHERE ${index.name} IS NOT NULL`);
    // A column in the middle that is gone, and rows that were written before one was there.
    if (chance(0.4)) statements.push(`ALTER TABLE ${table} DROP COLUMN ${quoteIdentifier("of it")} CASCADE`);
    if (chance(0.4)) statements.push(`ALTER TABLE ${table} ADD COLUMN ${name()} numeric DEFAULT 'NaN'`);
  }

  function addPartitions(): void {
    const [table, part, own] = [inSchema(), quoteIdentifier("part of"), columns()];
    const by = pick(["RANGE", "LIST", "HASH"] as const);
    statements.push(
      `CREATE TABLE ${table} (${part} int, ${own.map(definition).join(", ")}) PARTITION BY ${by} (${part})`,
    );
    const bounds = {
      RANGE: ["FROM (MINVALUE) TO (10)", "FROM (10) TO (20)", "FROM (20) TO (MAXVALUE)"],
      LIST: ["IN (0, 1, 2)", "IN (3, NULL)"],
      HASH: ["WITH (MODULUS 2, REMAINDER 0)", "WITH (MODULUS 2, REMAINDER 1)"],
    }[by];
    for (const bound of bounds) statements.push(`CREATE TABLE ${inSchema()} PARTITION OF ${table} FOR VALUES ${bound}`);
    if (by === "LIST") statements.push(`CREATE TABLE ${inSchema()} PARTITION OF ${table} DEFAULT`);
    fill(table, own, { [part]: (row) => String(row) });
  }

  /** A heir with columns of its own, and one that inherits from both: pg_dump writes its columns in another order. */
  function addHeirs(): void {
    const [parent, heir, grandchild, own, more] = [inSchema(), inSchema(), inSchema(), columns(), columns()];
    statements.push(
      `CREATE TABLE ${parent} (${own.map(definition).join(", ")})`,
      `CREATE TABLE ${heir} (${more.map(definition).join(", ")}) INHERITS (${parent})`,
      `CREATE TABLE ${grandchild} () INHERITS (${heir})`,
    );
    const late = { ...columns()[0]!, array: false };
    statements.push(`ALTER TABLE ${parent} ADD COLUMN ${definition(late)}`);
    fill(parent, [...own, late]);
    fill(heir, [...own, ...more, late]);
    fill(grandchild, [...more, late]);
  }
}

/** An enum with labels that were added later, a domain over it, a composite of both and arrays of them. */
function ownTypes(
  statements: string[],
  inSchema: () => string,
  pick: <T>(items: readonly T[]) => T,
): readonly ValueType[] {
  const [kind, positive, pair, some] = [inSchema(), inSchema(), inSchema(), inSchema()];
  const label = pick(["l'é", "two words", ","]).replaceAll("'", "''");
  statements.push(
    `CREATE TYPE ${kind} AS ENUM ('z', '${label}')`,
    `ALTER TYPE ${kind} ADD VALUE 'first' BEFORE 'z'`,
    `CREATE DOMAIN ${positive} AS numeric CHECK (VALUE > 0 OR VALUE = 'NaN') DEFAULT 1`,
    `CREATE TYPE ${pair} AS ("a b" ${kind}, b ${positive}, c text[])`,
    `CREATE DOMAIN ${some} AS int[] CHECK (cardinality(VALUE) < 9)`,
  );
  return [
    { type: kind, values: ["'z'", `'${label}'`], ordered: true },
    { type: positive, values: ["'NaN'", "'Infinity'", "0.1"] },
    { type: pair, values: [`ROW('z', 'NaN', ARRAY['(,"', NULL])`, "ROW(NULL, NULL, NULL)"] },
    { type: some, values: ["'{}'", "'[0:1]={7,NULL}'"], isArray: true },
  ];
}

/** What the static judge must refuse, inform of, and let pass: one row a statement family. */

export interface Case {
  readonly title: string;
  /** One file, or several in the order in which they run (`1.sql`, `2.sql`, …). */
  readonly sql: string | readonly string[];
  /** `rule:line` of every refusal, in order; `rule:line@2.sql` where it is not in the first file. */
  readonly refused: readonly string[];
  /** `rule:line` of every information; left out: not looked at. */
  readonly informed?: readonly string[];
  /** Present types, as the live catalog would tell: `schema.table.column`. */
  readonly columns?: Readonly<Record<string, string>>;
}

const refused = (title: string, sql: string | readonly string[], ...rules: string[]): Case => ({
  title,
  sql,
  refused: rules,
});
const passes = (title: string, sql: string | readonly string[], ...informed: string[]): Case => ({
  title,
  sql,
  refused: [],
  informed,
});
const retype = (from: string | undefined, to: string, ...rules: string[]): Case => ({
  title: `${from ?? "unknown type"} to ${to}`,
  sql: `ALTER TABLE clients ALTER COLUMN c TYPE ${to};`,
  refused: rules,
  columns: from === undefined ? {} : { "public.clients.c": from },
});

/** Functions `f0` to `f<depth - 1>`: each calls the next one twice, one a line; the last one deletes. */
const doubling = (depth: number): string =>
  Array.from({ length: depth }, (_, place) => {
    const body = place === depth - 1 ? "DELETE FROM t" : `SELECT f${place + 1}(); SELECT f${place + 1}()`;
    return `CREATE FUNCTION f${place}() RETURNS void LANGUAGE sql AS '${body}';`;
  }).join("\n");

const chain = (depth: number): string =>
  Array.from({ length: depth }, (_, place) => {
    const body = place === depth - 1 ? "DELETE FROM t" : `SELECT f${place + 1}()`;
    return `CREATE FUNCTION f${place}() RETURNS void LANGUAGE sql AS '${body}';`;
  }).join("\n");

export const destroying: readonly Case[] = [
  refused("DROP TABLE", "DROP TABLE clients;", "drop-table:1"),
  refused(
    "DROP TABLE of several",
    "CREATE TABLE a (i int);\nDROP TABLE IF EXISTS a, public.clients CASCADE;",
    "drop-table:2",
  ),
  refused(
    "DROP COLUMN, third command of one ALTER",
    "ALTER TABLE ONLY public.clients\n  ADD COLUMN a int,\n  ADD COLUMN b numeric(3, 1) DEFAULT 1,\n  DROP COLUMN c;",
    "drop-column:4",
  ),
  refused("DROP COLUMN CASCADE", 'ALTER TABLE "clients" DROP IF EXISTS "name" CASCADE;', "drop-column:1"),
  refused("DROP SCHEMA", "DROP SCHEMA crm CASCADE;", "drop-schema:1"),
  refused("DROP DATABASE", "DROP DATABASE crm;", "drop-database:1"),
  refused("DROP MATERIALIZED VIEW", "DROP MATERIALIZED VIEW totals;", "drop-materialized-view:1"),
  refused(
    "DROP MATERIALIZED VIEW, made again",
    "DROP MATERIALIZED VIEW totals;\nCREATE MATERIALIZED VIEW totals AS SELECT 1 AS one;",
    "drop-materialized-view:1",
  ),
  refused("DROP SEQUENCE", "DROP SEQUENCE ids;", "drop-sequence:1"),
  refused("DROP TYPE CASCADE", "DROP TYPE status CASCADE;", "drop-type-cascade:1"),
  refused("DROP DOMAIN CASCADE", "DROP DOMAIN email CASCADE;", "drop-type-cascade:1"),
  refused("DROP EXTENSION", "DROP EXTENSION pgcrypto;", "drop-extension:1"),
  refused("DROP EXTENSION CASCADE", "DROP EXTENSION IF EXISTS hstore CASCADE;", "drop-extension:1"),
  refused("DROP OWNED", "DROP OWNED BY app;", "drop-owned:1"),
  refused("DROP ATTRIBUTE", "ALTER TYPE address DROP ATTRIBUTE street;", "drop-attribute:1"),
  refused("DROP FUNCTION CASCADE", "DROP FUNCTION f() CASCADE;", "drop-cascade:1"),
  refused("DROP INDEX CASCADE", "DROP INDEX i CASCADE;", "drop-cascade:1"),
  refused("DROP VIEW CASCADE, made again", "DROP VIEW v CASCADE;\nCREATE VIEW v AS SELECT 1 AS one;", "drop-cascade:1"),
  refused("a partition dropped", "DROP TABLE events_2024;", "drop-table:1"),
  refused("a partition detached", "ALTER TABLE events DETACH PARTITION events_2024;", "detach-partition:1"),
  refused(
    "a partition detached concurrently",
    "ALTER TABLE events DETACH PARTITION events_2024 CONCURRENTLY;",
    "detach-partition:1",
  ),
  refused("inheritance ended", "ALTER TABLE child NO INHERIT parent;", "drop-inheritance:1"),
  refused("TRUNCATE", "TRUNCATE clients;", "truncate:1"),
  refused(
    "TRUNCATE CASCADE",
    "CREATE TABLE a (i int);\n\nTRUNCATE TABLE a, tasks RESTART IDENTITY CASCADE;",
    "truncate:3",
  ),
  refused("DELETE", "DELETE FROM clients WHERE id = 1;", "delete:1"),
  refused("DELETE of every row", "DELETE FROM ONLY public.clients AS c;", "delete:1"),
  refused("DELETE USING", "DELETE FROM tasks USING clients WHERE tasks.client_id = clients.id;", "delete:1"),
  refused("UPDATE", "UPDATE clients SET name = lower(name) WHERE name IS NOT NULL;", "update:1"),
  refused("UPDATE of every row", "UPDATE clients SET name = '';", "update:1"),
  refused(
    "upsert that overwrites",
    "INSERT INTO clients (id, name) VALUES (1, 'a')\n  ON CONFLICT (id) DO UPDATE SET name = excluded.name;",
    "upsert-overwrites:2",
  ),
  refused("MERGE that deletes", "MERGE INTO clients c USING s ON c.id = s.id WHEN MATCHED THEN DELETE;", "merge:1"),
  refused(
    "MERGE that updates",
    "MERGE INTO clients c USING s ON c.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name;",
    "merge:1",
  ),
  refused(
    "MERGE by source",
    "MERGE INTO clients c USING s ON c.id = s.id WHEN NOT MATCHED BY SOURCE THEN DELETE;",
    "merge:1",
  ),
  refused(
    "a CTE that deletes, in SELECT",
    "WITH gone AS (\n  DELETE FROM clients RETURNING id\n)\nSELECT count(*) FROM gone;",
    "delete:2",
  ),
  refused(
    "a CTE that updates, in INSERT … SELECT",
    "WITH u AS (UPDATE clients SET a = 1 RETURNING id)\nINSERT INTO log SELECT id FROM u;",
    "update:1",
  ),
  refused(
    "a CTE that deletes, in CREATE TABLE AS",
    "CREATE TABLE archive AS\nWITH d AS (DELETE FROM clients RETURNING *) SELECT * FROM d;",
    "delete:2",
  ),
  refused(
    "a CTE that merges, second of two",
    "WITH a AS (SELECT 1),\n b AS (INSERT INTO t VALUES (1) ON CONFLICT (i) DO UPDATE SET i = 2 RETURNING i)\nSELECT * FROM b;",
    "upsert-overwrites:2",
  ),
  refused(
    "a CTE inside a CTE of a DELETE from a new table",
    "CREATE TABLE n (i int);\nWITH d AS (DELETE FROM old RETURNING i) DELETE FROM n USING d;",
    "delete:2",
  ),
  refused("COPY (DELETE)", "COPY (DELETE FROM clients RETURNING *) TO STDOUT;", "delete:1"),
  refused("EXPLAIN ANALYZE runs it", "EXPLAIN (ANALYZE) DELETE FROM clients;", "delete:1"),
  refused("PREPARE", "PREPARE p AS DELETE FROM clients;\nEXECUTE p;", "delete:1"),
  refused("SET UNLOGGED", "ALTER TABLE clients SET UNLOGGED;", "set-unlogged:1"),
  refused("setval", "SELECT setval('clients_id_seq', 1);", "sequence-restart:1"),
  refused(
    "setval, qualified, in an expression",
    "SELECT 1 + pg_catalog.setval('clients_id_seq'::regclass, 1, false);",
    "sequence-restart:1",
  ),
  refused("ALTER SEQUENCE RESTART", "ALTER SEQUENCE clients_id_seq RESTART WITH 1;", "sequence-restart:1"),
  refused("identity RESTART", "ALTER TABLE clients ALTER COLUMN id RESTART WITH 1;", "sequence-restart:1"),
  refused("a rule that deletes", "CREATE RULE r AS ON INSERT TO log DO ALSO DELETE FROM clients;", "delete:1"),
  refused("a rule that discards", "CREATE RULE r AS ON INSERT TO clients DO INSTEAD NOTHING;", "rule-changes-rows:1"),
  refused("COPY FROM PROGRAM", "COPY clients FROM PROGRAM 'curl http://x';", "server-program:1"),
  refused("COPY TO PROGRAM", "COPY clients TO PROGRAM 'cat';", "server-program:1"),
  refused("COPY TO a server's file", "COPY clients TO '/tmp/x';", "server-file:1"),
  refused("large objects", "SELECT lo_unlink(16400);", "drop-large-object:1"),
  refused("a materialized view emptied", "REFRESH MATERIALIZED VIEW totals WITH NO DATA;", "truncate:1"),
  refused("a system catalog", "INSERT INTO pg_catalog.pg_enum VALUES (1);", "catalog-write:1"),
  refused(
    "a cascading foreign key for existing rows",
    "ALTER TABLE tasks ADD CONSTRAINT k FOREIGN KEY (client_id) REFERENCES clients ON DELETE CASCADE NOT VALID;",
    "cascading-foreign-key:1",
  ),
  refused("DISABLE TRIGGER ALL", "ALTER TABLE tasks DISABLE TRIGGER ALL;", "disable-trigger:1"),
  refused("session_replication_role", "SET session_replication_role = replica;", "session-setting:1"),
  refused(
    "set_config of a protected setting",
    "SELECT set_config('session_replication_role', 'replica', true);",
    "session-setting:1",
  ),
  refused(
    "a generated column's new expression",
    "ALTER TABLE clients ALTER COLUMN total SET EXPRESSION AS (a + b);",
    "alter-generated:1",
  ),
];

export const procedural: readonly Case[] = [
  refused("DELETE in a DO block", "DO $$\nBEGIN\n  DELETE FROM clients;\nEND $$;", "delete:3"),
  refused(
    "DELETE in a branch of a DO block",
    "DO $$ BEGIN\n IF true THEN\n  NULL;\n ELSE\n  DELETE\n   FROM clients;\n END IF;\nEND $$;",
    "delete:5",
  ),
  refused(
    "TRUNCATE in an exception handler",
    "DO $$ BEGIN PERFORM 1;\nEXCEPTION WHEN others THEN\n  TRUNCATE clients;\nEND $$;",
    "truncate:3",
  ),
  refused(
    "UPDATE in a loop",
    "DO $do$ DECLARE r record; BEGIN\nFOR r IN SELECT id FROM clients LOOP\n UPDATE clients SET n = 1 WHERE id = r.id;\nEND LOOP; END $do$;",
    "update:3",
  ),
  refused(
    "a loop over deleted rows",
    "DO $$ DECLARE r record; BEGIN\nFOR r IN DELETE FROM clients RETURNING id LOOP NULL; END LOOP;\nEND $$;",
    "delete:2",
  ),
  refused("a cursor", "DO $$ DECLARE c CURSOR FOR SELECT purge();\nBEGIN NULL; END $$;", "unknown-function:1"),
  refused("a body in plain quotes", "DO 'BEGIN\n  DELETE FROM clients WHERE name = ''x'';\nEND';", "delete:2"),
  refused("dynamic EXECUTE", "DO $$ BEGIN\n EXECUTE format('DROP TABLE %I', 'clients');\nEND $$;", "dynamic-sql:2"),
  refused(
    "dynamic EXECUTE from a variable",
    "DO $$ DECLARE s text := 'x'; BEGIN\n EXECUTE s; END $$;",
    "dynamic-sql:2",
  ),
  refused(
    "dynamic EXECUTE in a loop's head",
    "DO $$ DECLARE r record; s text; BEGIN\n FOR r IN EXECUTE s LOOP NULL; END LOOP; END $$;",
    "dynamic-sql:2",
  ),
  refused("a constant that is executed", "DO $$ BEGIN\n EXECUTE 'DROP TABLE clients'; END $$;", "drop-table:2"),
  refused("COMMIT in a DO block", "DO $$ BEGIN\n COMMIT; END $$;", "transaction-control:2"),
  refused("a DO block that does not parse", "DO $$ BEGIN\n selec 1; END $$;", "unparseable-body:1"),
  refused("a DO block in another language", "DO LANGUAGE plpython3u $$ import os $$;", "unanalysable-function:1"),
  refused(
    "an SQL function that the set calls",
    "CREATE FUNCTION purge() RETURNS void LANGUAGE sql AS\n'DELETE FROM clients';\nSELECT purge();",
    "delete:2",
  ),
  refused(
    "BEGIN ATOMIC",
    "CREATE FUNCTION purge() RETURNS void LANGUAGE sql\nBEGIN ATOMIC\n  DELETE FROM clients;\nEND;\nSELECT purge();",
    "delete:3",
  ),
  refused(
    "called from another file",
    [
      "CREATE FUNCTION app.purge() RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n DELETE FROM clients;\nEND $$;",
      "SELECT app.purge();",
    ],
    "delete:2",
  ),
  refused(
    "two calls deep",
    "CREATE FUNCTION a() RETURNS void LANGUAGE sql AS 'DELETE FROM t';\nCREATE FUNCTION b() RETURNS void LANGUAGE sql AS 'SELECT a()';\nSELECT b();",
    "delete:1",
  ),
  refused(
    "a function that calls itself",
    "CREATE FUNCTION a() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM a();\n DELETE FROM t; END $$;\nSELECT a();",
    "delete:2",
  ),
  refused(
    "a procedure that is called",
    "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN\n DELETE FROM t; END $$;\nCALL p();",
    "delete:2",
  ),
  refused(
    "called in a WHERE clause of an INSERT … SELECT",
    "CREATE FUNCTION f() RETURNS bool LANGUAGE sql AS 'DELETE FROM t; SELECT true';\nINSERT INTO n SELECT 1 WHERE f();",
    "delete:1",
  ),
  refused(
    "called in the default of a column that is added",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'DELETE FROM t RETURNING 1';\nALTER TABLE c ADD COLUMN x int DEFAULT f();",
    "delete:1",
    "rewrites-table:2",
  ),
  refused(
    "a trigger function",
    "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  DELETE FROM clients WHERE id = OLD.id;\n  RETURN NULL;\nEND $$;\nCREATE TRIGGER t AFTER INSERT ON log FOR EACH ROW EXECUTE FUNCTION t();",
    "delete:3",
  ),
  refused(
    "a trigger function that may be attached already",
    "CREATE OR REPLACE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN\n DELETE FROM clients; RETURN NULL; END $$;",
    "delete:2",
  ),
  refused(
    "an attached function replaced later",
    [
      "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';\nCREATE VIEW v AS SELECT f();",
      "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'DELETE FROM t RETURNING 1';",
    ],
    "delete:1@2.sql",
  ),
  refused(
    "a policy's function",
    "CREATE FUNCTION f() RETURNS bool LANGUAGE sql AS 'DELETE FROM t RETURNING true';\nCREATE POLICY p ON c USING (f());",
    "delete:1",
  ),
  refused(
    "an operator's function",
    "CREATE FUNCTION f(int, int) RETURNS bool LANGUAGE sql AS 'DELETE FROM t RETURNING true';\nCREATE OPERATOR === (FUNCTION = f, LEFTARG = int, RIGHTARG = int);",
    "delete:1",
  ),
  refused(
    "RETURN QUERY",
    "CREATE FUNCTION f() RETURNS SETOF int LANGUAGE plpgsql AS $$ BEGIN\n RETURN QUERY DELETE FROM t RETURNING id; END $$;\nSELECT f();",
    "delete:2",
  ),
  refused(
    "an assignment",
    "DO $$ DECLARE n int; BEGIN\n n := 1;\n n := (SELECT purge()); END $$;",
    "unknown-function:3",
  ),
  refused("a function that nobody knows", "SELECT purge_old();", "unknown-function:1"),
  refused("a function of an unknown schema", "INSERT INTO t (owner) VALUES (auth.uid());", "unknown-function:1"),
  refused(
    "the same name in another schema",
    "CREATE FUNCTION a.f() RETURNS int LANGUAGE sql AS 'SELECT 1';\nSELECT b.f();",
    "unknown-function:2",
  ),
  refused(
    "a function defined only later",
    ["SELECT f();", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';"],
    "unknown-function:1",
  ),
  refused("an unknown procedure", "CALL maintenance.purge();", "unknown-function:1"),
  refused(
    "a function in C",
    "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'lib', 'f';\nSELECT f();",
    "unanalysable-function:1",
  ),
  refused(
    "SQL that a function of PostgreSQL runs",
    "SELECT query_to_xml('DELETE FROM clients', true, true, '');",
    "dynamic-sql:1",
  ),
  refused("dblink", "SELECT dblink_exec('dbname=x', 'DELETE FROM clients');", "dynamic-sql:1"),
  refused("an advisory lock taken back", "SELECT pg_advisory_unlock_all();", "session-lock:1"),
  refused("an operator of one's own", "SELECT 1 OPERATOR(app.===) 2;", "unknown-function:1"),
  refused(
    "an operator that PostgreSQL has not",
    "INSERT INTO log SELECT id FROM t WHERE id === 3;",
    "unknown-function:1",
  ),
  refused("functions that call each other twice, forty deep", `${doubling(40)}\nSELECT f0();`, "delete:40"),
  refused(
    "functions that call each other, a thousand deep",
    `${chain(1000)}\nSELECT f0();`,
    "unanalysable-function:100",
  ),
  refused(
    "a body that looks elsewhere than the set",
    "CREATE TABLE clients (i int);\nCREATE FUNCTION f() RETURNS void LANGUAGE sql SET search_path = app AS 'DELETE FROM clients';\nSELECT f();",
    "delete:2",
  ),
  refused(
    "a body that is run again when its table is another",
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n DELETE FROM clients; END $$;\nCREATE TEMP TABLE clients (i int); SELECT f(); DROP TABLE clients;\nSELECT f();",
    "delete:2",
  ),
  refused(
    "a table that a branch made, gone when the function is called again",
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n DELETE FROM clients; END $$;\nDO $$ BEGIN IF true THEN CREATE TEMP TABLE clients (i int); PERFORM f(); END IF; PERFORM f(); END $$;",
    "delete:2",
  ),
  refused("a prepared statement of somebody else", "EXECUTE p;", "unknown-prepared-statement:1"),
];

export const breaking: readonly Case[] = [
  refused("RENAME TABLE", "ALTER TABLE clients RENAME TO customers;", "rename:1"),
  refused("RENAME COLUMN", "ALTER TABLE clients RENAME COLUMN name TO title;", "rename:1"),
  refused("RENAME SCHEMA", "ALTER SCHEMA crm RENAME TO crm_old;", "rename:1"),
  refused("RENAME VIEW", "ALTER VIEW v RENAME TO w;", "rename:1"),
  refused("RENAME TYPE", "ALTER TYPE status RENAME TO state;", "rename:1"),
  refused("RENAME of an enum's value", "ALTER TYPE status RENAME VALUE 'open' TO 'active';", "alter-enum-value:1"),
  refused("SET SCHEMA", "ALTER TABLE clients SET SCHEMA archive;", "set-schema:1"),
  refused("DROP VIEW", "DROP VIEW v;", "drop-view:1"),
  refused("DROP FUNCTION", "DROP FUNCTION f(int);", "drop-function:1"),
  refused(
    "DROP FUNCTION, another signature made",
    "DROP FUNCTION f(int);\nCREATE FUNCTION f(text) RETURNS int LANGUAGE sql AS 'SELECT 1';",
    "drop-function:1",
  ),
  refused("DROP TRIGGER", "DROP TRIGGER t ON clients;", "drop-trigger:1"),
  refused("DROP TYPE", "DROP TYPE status;", "drop-type:1"),
  refused("DROP DEFAULT", "ALTER TABLE clients ALTER COLUMN created_at DROP DEFAULT;", "drop-default:1"),
  refused("DROP CONSTRAINT", "ALTER TABLE clients DROP CONSTRAINT clients_email_key;", "drop-constraint:1"),
  refused("NOT ENFORCED", "ALTER TABLE clients ALTER CONSTRAINT k NOT ENFORCED;", "drop-constraint:1"),
  refused("DROP IDENTITY", "ALTER TABLE clients ALTER COLUMN id DROP IDENTITY;", "drop-identity:1"),
  refused("SET NOT NULL", "ALTER TABLE clients ALTER COLUMN name SET NOT NULL;", "set-not-null:1"),
  refused("NOT NULL of a domain", "ALTER DOMAIN email SET NOT NULL;", "set-not-null:1"),
  refused("a required column", "ALTER TABLE clients ADD COLUMN code text NOT NULL;", "required-column:1"),
  refused(
    "a key column without values",
    "ALTER TABLE clients ADD COLUMN code int PRIMARY KEY;",
    "required-column:1",
    "constraint-builds-index:1",
  ),
  refused("DROP POLICY", "DROP POLICY p ON clients;", "drop-policy:1"),
  refused("DISABLE ROW LEVEL SECURITY", "ALTER TABLE clients DISABLE ROW LEVEL SECURITY;", "disable-row-security:1"),
  refused("NO FORCE ROW LEVEL SECURITY", "ALTER TABLE clients NO FORCE ROW LEVEL SECURITY;", "disable-row-security:1"),
  refused("DROP ROLE", "DROP ROLE app;", "drop-role:1"),
  refused("ALTER SYSTEM", "ALTER SYSTEM SET fsync = off;", "alter-setting:1"),
  refused("a publication's table", "ALTER PUBLICATION p DROP TABLE clients;", "drop-object:1"),
  refused("REASSIGN OWNED", "REASSIGN OWNED BY a TO b;", "reassign-owned:1"),
  refused("something that nobody listed", "LOAD 'auto_explain';", "unknown-statement:1"),
  refused("an ALTER TABLE that nobody listed", "ALTER FOREIGN TABLE f OPTIONS (SET a 'b');", "unknown-statement:1"),
];

export const opening: readonly Case[] = [
  refused("GRANT to anon", "GRANT SELECT ON clients TO authenticated, anon;", "grant-to-everyone:1"),
  refused("GRANT to PUBLIC", "GRANT ALL ON TABLE clients TO PUBLIC;", "grant-to-everyone:1"),
  refused("GRANT of columns", "GRANT UPDATE (name) ON clients TO anon;", "grant-to-everyone:1"),
  refused("GRANT on all tables", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO anon;", "grant-to-everyone:1"),
  refused("default rights", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO anon;", "grant-to-everyone:1"),
  refused("a role for anon", "GRANT crm_reader TO anon;", "grant-to-everyone:1"),
  refused("a role that reads everything", "GRANT pg_read_all_data TO reporting;", "role-powers:1"),
  refused("BYPASSRLS", "ALTER ROLE app BYPASSRLS;", "role-powers:1"),
  refused("SUPERUSER", "CREATE ROLE app LOGIN SUPERUSER;", "role-powers:1"),
  refused(
    "GRANT in a body that is run",
    "DO $$ BEGIN\n GRANT SELECT ON clients TO anon; END $$;",
    "grant-to-everyone:2",
  ),
  refused(
    "a new table without row level security",
    "CREATE TABLE n (i int);\nGRANT SELECT ON n TO anon;",
    "grant-to-everyone:2",
  ),
  refused("USING (true)", "CREATE POLICY p ON clients FOR SELECT USING (true);", "open-policy:1"),
  refused("WITH CHECK (true)", "CREATE POLICY p ON clients FOR INSERT TO anon WITH CHECK (true);", "open-policy:1"),
  refused("1 = 1", "CREATE POLICY p ON clients TO authenticated USING (1 = 1);", "open-policy:1"),
  refused("OR true", "ALTER POLICY p ON clients USING (owner = auth.uid() OR true);", "open-policy:1"),
  refused("'t'::boolean", "CREATE POLICY p ON clients USING ('t'::boolean);", "open-policy:1"),
  refused(
    "SECURITY DEFINER",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';",
    "definer-search-path:1",
  ),
  refused("SECURITY DEFINER later", "ALTER FUNCTION f(int) SECURITY DEFINER;", "definer-search-path:1"),
  refused("its search path taken", "ALTER FUNCTION f(int) RESET search_path;", "definer-search-path:1"),
  refused("all its settings taken", "ALTER FUNCTION f(int) RESET ALL;", "definer-search-path:1"),
  refused("a view as its owner", "ALTER VIEW v SET (security_invoker = false);", "view-runs-as-owner:1"),
  refused("a view as its owner again", "ALTER VIEW v RESET (security_invoker);", "view-runs-as-owner:1"),
  passes(
    "a new table behind policies",
    "CREATE TABLE n (i int);\nGRANT SELECT ON n TO anon;\nALTER TABLE n ENABLE ROW LEVEL SECURITY;\nCREATE POLICY p ON n FOR SELECT USING (true);",
  ),
  passes("a policy for who passes by policies anyway", "CREATE POLICY p ON clients TO service_role USING (true);"),
  passes("a restrictive policy", "CREATE POLICY p ON clients AS RESTRICTIVE USING (true);"),
  passes(
    "rights to functions, sequences, schemas",
    "GRANT USAGE ON SCHEMA app TO anon; GRANT EXECUTE ON FUNCTION f TO anon;",
  ),
  passes(
    "SECURITY DEFINER with a search path",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT 1';\nCREATE FUNCTION g() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';\nALTER FUNCTION g() SET search_path = pg_catalog;\nCREATE FUNCTION h() RETURNS int LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC SELECT 1; END;",
  ),
  passes(
    "a view as its reader",
    "CREATE VIEW v WITH (security_invoker = on) AS SELECT 1 AS a; ALTER VIEW w SET (security_invoker);",
  ),
];

export const blocking: readonly Case[] = [
  refused("CREATE INDEX", "CREATE INDEX i ON clients (email);", "index-blocks-writers:1"),
  refused("CREATE UNIQUE INDEX", "CREATE UNIQUE INDEX IF NOT EXISTS i ON clients (email);", "index-blocks-writers:1"),
  refused("CREATE INDEX ON ONLY", "CREATE INDEX i ON ONLY clients (email);", "index-blocks-writers:1"),
  refused("DROP INDEX", "DROP INDEX IF EXISTS i;", "drop-index-blocks-writers:1"),
  refused("REINDEX", "REINDEX TABLE clients;", "reindex-blocks-writers:1"),
  refused("REFRESH", "REFRESH MATERIALIZED VIEW totals;", "refresh-blocks-readers:1"),
  refused("VACUUM FULL", "VACUUM (FULL) clients;", "vacuum-full:1"),
  refused("CLUSTER", "CLUSTER clients USING i;", "vacuum-full:1"),
  refused("CHECK", "ALTER TABLE clients ADD CONSTRAINT k CHECK (age > 0);", "constraint-scans-table:1"),
  refused("FOREIGN KEY", "ALTER TABLE c ADD FOREIGN KEY (a) REFERENCES b;", "constraint-scans-table:1"),
  refused("UNIQUE", "ALTER TABLE c ADD UNIQUE (a);", "constraint-builds-index:1"),
  refused("PRIMARY KEY", "ALTER TABLE c ADD PRIMARY KEY (a);", "constraint-builds-index:1"),
  refused("a unique column", "ALTER TABLE c ADD COLUMN a int UNIQUE;", "constraint-builds-index:1"),
  refused("a default for each row", "ALTER TABLE c ADD COLUMN a uuid DEFAULT gen_random_uuid();", "rewrites-table:1"),
  refused(
    "a default of one's own function",
    "ALTER TABLE c ADD COLUMN a int DEFAULT app.one() + 1;",
    "rewrites-table:1",
    "unknown-function:1",
  ),
  refused("numbered rows", "ALTER TABLE c ADD COLUMN a bigserial;", "rewrites-table:1"),
  refused("an identity", "ALTER TABLE c ADD COLUMN a int GENERATED ALWAYS AS IDENTITY;", "rewrites-table:1"),
  refused(
    "a stored expression",
    "ALTER TABLE c ADD COLUMN a int GENERATED ALWAYS AS (b * 2) STORED;",
    "rewrites-table:1",
  ),
  refused(
    "a reference that every row gets",
    "ALTER TABLE c ADD COLUMN a int DEFAULT 1 REFERENCES b;",
    "constraint-scans-table:1",
  ),
  refused(
    "a partition of an old table",
    "CREATE TABLE p PARTITION OF events FOR VALUES IN (1); CREATE INDEX ON events (a);",
    "index-blocks-writers:1",
  ),
  passes("LOCK TABLE", "LOCK TABLE clients IN SHARE MODE; LOCK TABLE clients IN ROW SHARE MODE;", "long-lock:1"),
  passes(
    "no way without the lock",
    "ALTER TABLE c SET LOGGED;\nALTER TABLE c ADD EXCLUDE USING gist (a WITH &&);\nALTER TABLE c ADD COLUMN a int CHECK (a > 0);",
    "long-lock:1",
    "long-lock:2",
    "long-lock:3",
  ),
  passes("REINDEX and REFRESH CONCURRENTLY", [
    "REINDEX INDEX CONCURRENTLY i;",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY m;",
  ]),
];

export const transactions: readonly Case[] = [
  refused("COMMIT in the middle", "CREATE TABLE a (i int);\nCOMMIT;\nCREATE TABLE b (i int);", "transaction-control:2"),
  refused(
    "ROLLBACK TO hides what was made",
    "SAVEPOINT s;\nCREATE TEMP TABLE clients (i int);\nROLLBACK TO s;\nDROP TABLE clients;",
    "transaction-control:1",
    "transaction-control:3",
  ),
  refused(
    "BEGIN with an isolation level",
    "BEGIN ISOLATION LEVEL SERIALIZABLE;\nCREATE TABLE a (i int);\nCOMMIT;",
    "transaction-control:1",
    "transaction-control:3",
  ),
  refused(
    "CONCURRENTLY among others",
    "CREATE TABLE a (i int);\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i ON clients (a);",
    "mixed-transaction:2",
  ),
  refused(
    "two CONCURRENTLY",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON c (a);\nCREATE INDEX CONCURRENTLY IF NOT EXISTS j ON c (b);",
    "mixed-transaction:1",
    "mixed-transaction:2",
  ),
  refused("CONCURRENTLY in BEGIN and COMMIT", "BEGIN;\nREINDEX INDEX CONCURRENTLY i;\nCOMMIT;", "mixed-transaction:2"),
  refused("VACUUM among others", "VACUUM clients;\nCREATE TABLE a (i int);", "mixed-transaction:1"),
  refused("COPY FROM STDIN", "COPY clients FROM STDIN;", "copy-from-client:1"),
  passes("BEGIN and COMMIT around the file", "BEGIN;\nCREATE TABLE a (i int);\nCOMMIT;"),
  passes(
    "CONCURRENTLY alone, with its settings",
    "SET statement_timeout = 0;\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i ON clients (a);",
  ),
  passes("CONCURRENTLY that cannot be repeated", "CREATE INDEX CONCURRENTLY i ON clients (a);", "repeatable-index:1"),
  passes("VACUUM alone", "VACUUM (ANALYZE) clients;"),
];

export const additive: readonly Case[] = [
  passes("nothing", ""),
  passes("comments only", "-- DROP TABLE clients;\n/* DELETE FROM clients; */"),
  passes(
    "CREATE TABLE",
    "CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, client_id int REFERENCES clients ON DELETE CASCADE, body text NOT NULL, at timestamptz DEFAULT app.now());",
  ),
  passes("CREATE TABLE IF NOT EXISTS", "CREATE TABLE IF NOT EXISTS notes (id int);"),
  passes("a partition", "CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM (1) TO (2);"),
  passes("CREATE TABLE AS", "CREATE TABLE copy AS SELECT id, lower(name) AS name FROM clients;"),
  passes("CREATE VIEW", "CREATE OR REPLACE VIEW v AS SELECT *, auth.uid() AS me FROM clients;"),
  passes("CREATE MATERIALIZED VIEW", "CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM clients;"),
  passes(
    "CREATE INDEX CONCURRENTLY",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON clients (lower(name)) WHERE deleted_at IS NULL;",
  ),
  passes(
    "indexes and constraints of a new table",
    "CREATE TABLE n (a int, b int); CREATE UNIQUE INDEX IF NOT EXISTS i ON n (a); CREATE INDEX ON n (b); ALTER TABLE n ADD UNIQUE (b), ADD CHECK (a > 0), ADD FOREIGN KEY (a) REFERENCES clients; REINDEX TABLE n; LOCK TABLE n;",
  ),
  passes(
    "an index of a new materialized view",
    "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; CREATE UNIQUE INDEX ON m (a); REFRESH MATERIALIZED VIEW m;",
  ),
  passes(
    "CREATE TYPE, DOMAIN, SEQUENCE, SCHEMA, EXTENSION, ROLE",
    "CREATE TYPE s AS ENUM ('a'); CREATE DOMAIN d AS text CHECK (VALUE <> ''); CREATE SEQUENCE q; CREATE SCHEMA x; CREATE EXTENSION IF NOT EXISTS pgcrypto; CREATE ROLE r;",
  ),
  passes("a nullable column", "ALTER TABLE clients ADD COLUMN nick text;"),
  passes("a column with a constant default", "ALTER TABLE clients ADD COLUMN active boolean NOT NULL DEFAULT true;"),
  passes(
    "columns whose default is one value for all rows, and one that is computed when read",
    "ALTER TABLE clients ADD COLUMN since timestamptz NOT NULL DEFAULT now(), ADD COLUMN by text DEFAULT lower('X'), ADD COLUMN twice int GENERATED ALWAYS AS (n * 2) VIRTUAL;",
  ),
  passes(
    "a default of the rows to come",
    "ALTER TABLE clients ADD COLUMN token uuid;\nALTER TABLE clients ALTER COLUMN token SET DEFAULT gen_random_uuid();",
  ),
  passes(
    "a function of an extension that the set creates",
    'CREATE EXTENSION IF NOT EXISTS "uuid-ossp";\nINSERT INTO keys VALUES (uuid_generate_v4());',
  ),
  passes(
    "a new column that cascades",
    "ALTER TABLE tasks ADD COLUMN team_id int REFERENCES teams ON DELETE CASCADE;",
    "references-cascade:1",
    "reference-locks-parent:1",
  ),
  passes("enum ADD VALUE", "ALTER TYPE status ADD VALUE IF NOT EXISTS 'archived' AFTER 'open';"),
  passes(
    "enum ADD VALUE, used in the same file",
    "ALTER TYPE status ADD VALUE 'x';\nINSERT INTO t VALUES ('x');",
    "enum-value-used:2",
  ),
  passes(
    "NOT VALID, then VALIDATE",
    "ALTER TABLE c ADD CONSTRAINT k CHECK (a > 0) NOT VALID;\nALTER TABLE c VALIDATE CONSTRAINT k;",
    "validate-in-same-file:2",
  ),
  passes("NOT NULL that a checked constraint says already", [
    "ALTER TABLE c ADD CONSTRAINT k CHECK (a IS NOT NULL) NOT VALID;",
    "ALTER TABLE c VALIDATE CONSTRAINT k;",
    "ALTER TABLE c ALTER COLUMN a SET NOT NULL;\nALTER TABLE c DROP CONSTRAINT k;",
  ]),
  refused(
    "NOT NULL that nobody checked",
    ["ALTER TABLE c ADD CONSTRAINT k CHECK (a IS NOT NULL) NOT VALID;", "ALTER TABLE c ALTER COLUMN a SET NOT NULL;"],
    "set-not-null:1@2.sql",
  ),
  passes(
    "expand and contract through views",
    "ALTER TABLE clients RENAME TO customers;\nCREATE VIEW clients AS SELECT * FROM customers;\nALTER TABLE t SET SCHEMA archive;\nCREATE VIEW t AS SELECT * FROM archive.t;\nALTER VIEW v RENAME TO w;\nCREATE OR REPLACE VIEW v AS SELECT * FROM w;",
    "rename-with-view:1",
    "rename-with-view:3",
    "rename-with-view:5",
  ),
  passes("a foreign key NOT VALID, then VALIDATE", [
    "ALTER TABLE c ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES b NOT VALID;",
    "ALTER TABLE c VALIDATE CONSTRAINT k;",
  ]),
  passes("a constraint from an index", "ALTER TABLE c ADD CONSTRAINT k UNIQUE USING INDEX i;", "rename-part:1"),
  passes("a constraint from an index of its name", "ALTER TABLE c ADD CONSTRAINT i UNIQUE USING INDEX i;"),
  passes("INSERT", "INSERT INTO settings (key, value) VALUES ('a', 'drop table clients; delete from clients');"),
  passes("INSERT … ON CONFLICT DO NOTHING", "INSERT INTO settings (key) VALUES ('a') ON CONFLICT (key) DO NOTHING;"),
  passes("MERGE that only inserts", "MERGE INTO c USING s ON c.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (s.id);"),
  passes(
    "text that looks like SQL",
    "COMMENT ON TABLE clients IS 'never DROP TABLE clients; DELETE FROM clients';\nSELECT $q$ TRUNCATE clients $q$, E'\\n; DROP TABLE x', 'it''s; UPDATE y SET z = 1';",
  ),
  passes("identifiers that look like SQL", 'CREATE TABLE "drop table clients" ("delete" int, "truncate" text);'),
  passes("GRANT", "GRANT SELECT ON clients TO app; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app;"),
  passes(
    "row level security",
    "ALTER TABLE clients ENABLE ROW LEVEL SECURITY;\nCREATE POLICY own ON clients USING (auth.uid() = owner) WITH CHECK (auth.uid() = owner);",
  ),
  passes("SET DEFAULT", "ALTER TABLE clients ALTER COLUMN created_at SET DEFAULT now();"),
  passes("DROP NOT NULL", "ALTER TABLE clients ALTER COLUMN name DROP NOT NULL;", "drop-not-null:1"),
  passes("DROP INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY IF EXISTS i;", "drop-index:1"),
  passes(
    "storage and planner",
    "ALTER TABLE c SET (fillfactor = 70), ALTER COLUMN a SET STATISTICS 500, ALTER COLUMN b SET STORAGE external; ANALYZE c;",
  ),
  passes(
    "a function that nobody calls",
    "CREATE OR REPLACE FUNCTION purge() RETURNS void LANGUAGE sql AS 'DELETE FROM clients';",
  ),
  passes(
    "a trigger that stamps",
    "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$;\nCREATE TRIGGER stamp BEFORE UPDATE ON clients FOR EACH ROW EXECUTE FUNCTION stamp();",
  ),
  passes(
    "a trigger with an older function",
    "CREATE TRIGGER stamp BEFORE UPDATE ON clients FOR EACH ROW EXECUTE FUNCTION stamp();",
    "unseen-function:1",
  ),
  passes(
    "a DO block that creates what is missing",
    "DO $$ BEGIN\n IF NOT EXISTS (SELECT 1 FROM pg_type WHERE typname = 's') THEN CREATE TYPE s AS ENUM ('a'); END IF;\nEXCEPTION WHEN duplicate_object THEN NULL; END $$;",
  ),
  passes(
    "a DO block with variables and INTO",
    "DO $$ DECLARE n int; r record; BEGIN SELECT count(*) INTO n FROM clients; FOR r IN SELECT 1 AS a LOOP RAISE NOTICE '%', r.a; END LOOP; n := n + 1; END $$;",
  ),
  passes("a publication's new table", "ALTER PUBLICATION p ADD TABLE notes;"),
  passes(
    "pg_dump's preamble",
    "SET client_encoding = 'UTF8'; SET standard_conforming_strings TO DEFAULT; SELECT pg_catalog.set_config('search_path', '', false); SET check_function_bodies = false;",
  ),
  passes(
    "a policy, trigger, view, function and constraint replaced",
    "DROP POLICY IF EXISTS p ON c; CREATE POLICY p ON c USING (owner = current_user);\nDROP TRIGGER IF EXISTS t ON c; CREATE TRIGGER t BEFORE INSERT ON c EXECUTE FUNCTION f();\nDROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT 1 AS one;\nDROP FUNCTION IF EXISTS g(int); CREATE FUNCTION g(a int) RETURNS int LANGUAGE sql AS 'SELECT 1';\nALTER TABLE c DROP CONSTRAINT k, ADD CONSTRAINT k CHECK (a > 1) NOT VALID;",
    "replace-object:1",
    "replace-object:2",
    "unseen-function:2",
    "replace-object:3",
    "replace-object:4",
    "replace-object:5",
  ),
];

export const context: readonly Case[] = [
  passes(
    "a table made and dropped",
    "CREATE TABLE scratch (i int); DELETE FROM scratch; UPDATE scratch SET i = 1; TRUNCATE scratch; ALTER TABLE scratch DROP COLUMN i; DROP TABLE scratch;",
  ),
  passes("made in one file, emptied in the next", [
    "CREATE TABLE public.notes (i int);",
    "DELETE FROM notes; DROP TABLE notes;",
  ]),
  passes(
    "a temporary table",
    "CREATE TEMP TABLE t AS SELECT * FROM clients; DELETE FROM t; UPDATE t SET a = 1; DROP TABLE t;",
  ),
  passes(
    "a temporary table in a branch",
    "DO $$ BEGIN IF true THEN CREATE TEMP TABLE t (i int); DELETE FROM t; DROP TABLE t; END IF; END $$;",
  ),
  passes("SELECT INTO", "SELECT * INTO snapshot FROM clients; DROP TABLE snapshot;"),
  passes("an index renamed", "ALTER INDEX clients_email RENAME TO clients_by_email;", "rename-part:1"),
  passes("a policy renamed", "ALTER POLICY own ON clients RENAME TO mine;", "rename-part:1"),
  passes("a trigger renamed", "ALTER TRIGGER audit ON clients RENAME TO history;", "rename-part:1"),
  passes("a table renamed", "CREATE TABLE a (i int); ALTER TABLE a RENAME TO b; DROP TABLE b;"),
  passes(
    "a new column filled",
    "ALTER TABLE clients ADD COLUMN nick text;\nUPDATE clients SET nick = name;",
    "backfill:2",
  ),
  passes(
    "a new column dropped, tightened and retyped",
    "ALTER TABLE c ADD COLUMN a int, ADD COLUMN b int DEFAULT 0; ALTER TABLE c DROP COLUMN a; ALTER TABLE c ALTER COLUMN b SET NOT NULL, ALTER COLUMN b TYPE smallint;",
  ),
  passes(
    "objects made and dropped",
    "CREATE VIEW v AS SELECT 1 AS a; DROP VIEW v; CREATE SEQUENCE s; DROP SEQUENCE s; CREATE TYPE t AS ENUM ('a'); DROP TYPE t; CREATE SCHEMA x; DROP SCHEMA x CASCADE; CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; DROP FUNCTION f(int);",
  ),
  refused(
    "IF NOT EXISTS may have met an old table",
    "CREATE TABLE IF NOT EXISTS clients (i int);\nDROP TABLE clients;",
    "drop-table:2",
  ),
  refused(
    "IF NOT EXISTS may have met an old column",
    "ALTER TABLE c ADD COLUMN IF NOT EXISTS a int;\nUPDATE c SET a = 1;",
    "update:2",
  ),
  refused(
    "the second drop is the real table",
    "CREATE TEMP TABLE clients (i int); DROP TABLE clients;\nDROP TABLE clients;",
    "drop-table:2",
  ),
  refused(
    "a temporary table ends with its file",
    ["CREATE TEMP TABLE clients (i int);", "DELETE FROM clients;"],
    "delete:1@2.sql",
  ),
  refused("the same name in another schema", "CREATE TABLE app.clients (i int);\nDROP TABLE clients;", "drop-table:2"),
  refused(
    "the same name in another search path",
    "SET search_path = app;\nCREATE TABLE clients (i int);\nSET search_path = public;\nDROP TABLE clients;",
    "drop-table:4",
  ),
  refused(
    "a search path that cannot be told",
    "CREATE TABLE clients (i int);\nSELECT set_config('search_path', 'a' || 'b', false);\nDROP TABLE clients;",
    "drop-table:3",
  ),
  refused(
    "CREATE SCHEMA with elements",
    "CREATE SCHEMA s CREATE TABLE clients (i int);\nDROP TABLE clients;",
    "drop-table:2",
  ),
  refused(
    "a table that a branch may have made",
    "DO $$ BEGIN IF random() > 0.5 THEN CREATE TABLE clients (i int); END IF; END $$;\nDROP TABLE clients;",
    "drop-table:2",
  ),
  refused(
    "a table that a failed block may have made",
    "DO $$ BEGIN CREATE TABLE clients (i int); EXCEPTION WHEN duplicate_table THEN NULL; END $$;\nDROP TABLE clients;",
    "drop-table:2",
  ),
  refused(
    "a drop that a loop repeats",
    "CREATE TEMP TABLE clients (i int);\nDO $$ BEGIN FOR i IN 1..2 LOOP\n DROP TABLE clients; END LOOP; END $$;",
    "drop-table:3",
  ),
  refused(
    "an existing partition attached to a new table",
    "CREATE TABLE n (i int) PARTITION BY LIST (i);\nALTER TABLE n ATTACH PARTITION clients FOR VALUES IN (1);\nDROP TABLE n;",
    "drop-table:3",
  ),
  refused(
    "a partition of an existing table",
    "CREATE TABLE p PARTITION OF events FOR VALUES IN (1);\nDELETE FROM p;",
    "delete:2",
  ),
  refused(
    "an existing child of a new table",
    "CREATE TABLE n (i int);\nALTER TABLE clients INHERIT n;\nDELETE FROM n;",
    "delete:3",
  ),
  refused(
    "existing rows that reference a new table",
    "CREATE TABLE n (i int PRIMARY KEY);\nALTER TABLE clients ADD CONSTRAINT k FOREIGN KEY (n) REFERENCES n NOT VALID;\nTRUNCATE n CASCADE;",
    "truncate:3",
  ),
  refused("a new view over old rows", "CREATE VIEW v AS SELECT * FROM clients;\nDELETE FROM v;", "delete:2"),
  refused("one old column among new ones", "ALTER TABLE c ADD COLUMN a int;\nUPDATE c SET a = 1, b = 2;", "update:2"),
  refused(
    "a search path that puts temporary tables last",
    "SET search_path = public, pg_temp;\nCREATE TEMP TABLE clients (i int);\nDELETE FROM clients;",
    "delete:3",
  ),
  refused(
    "temporary tables by search path end with their file",
    ["SET search_path = pg_temp;\nCREATE TABLE clients (i int);", "DROP TABLE clients;"],
    "drop-table:1@2.sql",
  ),
  passes(
    "temporary tables by schema",
    "CREATE TABLE pg_temp.clients (i int); DELETE FROM clients; DROP TABLE pg_temp.clients;",
  ),
  refused(
    "a search path that a body may set",
    "CREATE TABLE clients (i int);\nDO $$ BEGIN IF true THEN SET search_path = app; END IF; END $$;\nDROP TABLE clients;",
    "drop-table:3",
  ),
  passes(
    "a path set by set_config",
    "SELECT set_config('search_path', '', false);\nCREATE TEMP TABLE t (i int); DROP TABLE t; CREATE TABLE app.u (i int); DROP TABLE app.u;",
  ),
  refused(
    "a comment silences nothing",
    "-- squawk-ignore ban-drop-table\n-- noqa: disable=all\nDROP TABLE clients; -- safe",
    "drop-table:3",
  ),
];

export const types: readonly Case[] = [
  retype("character varying(50)", "text"),
  retype("character varying", "text"),
  retype("character varying(50)", "varchar(100)"),
  retype("character varying(50)", "varchar"),
  retype("text", "varchar"),
  retype("smallint", "integer", "rewrites-table:1"),
  retype("integer", "bigint", "rewrites-table:1"),
  retype("integer", "numeric", "rewrites-table:1"),
  retype("integer", "numeric(10)", "rewrites-table:1"),
  retype("real", "double precision", "rewrites-table:1"),
  retype("numeric(10,2)", "numeric(12,2)"),
  retype("numeric(10,2)", "numeric"),
  retype("numeric(10,2)", "numeric(14,4)", "rewrites-table:1"),
  retype("cidr", "inet"),
  retype("timestamp(3) without time zone", "timestamp(6)"),
  retype("integer", "integer"),
  retype(undefined, "text"),
  retype("character varying(50)", "varchar(49)", "narrow-type:1"),
  retype("text", "varchar(50)", "narrow-type:1"),
  retype("bigint", "integer", "narrow-type:1"),
  retype("integer", "numeric(9)", "narrow-type:1"),
  retype("bigint", "double precision", "narrow-type:1"),
  retype("integer", "real", "narrow-type:1"),
  retype("double precision", "numeric", "narrow-type:1"),
  retype("numeric(10,2)", "numeric(12,1)", "narrow-type:1"),
  retype("numeric(10,2)", "numeric(10,3)", "narrow-type:1"),
  retype("numeric", "numeric(30,10)", "narrow-type:1"),
  retype("timestamp(6) without time zone", "timestamp(0)", "narrow-type:1"),
  retype("timestamp without time zone", "timestamptz", "narrow-type:1"),
  retype("timestamp with time zone", "date", "narrow-type:1"),
  retype("json", "jsonb", "narrow-type:1"),
  retype("text[]", "text", "narrow-type:1"),
  retype("integer", "text", "narrow-type:1"),
  retype(undefined, "bigint", "narrow-type:1"),
  retype(undefined, "varchar(20)", "narrow-type:1"),
  retype("character varying(9)", "text USING 'x'", "narrow-type:1"),
  retype("character varying(9)", "text USING left(c, 3)", "narrow-type:1"),
  retype("character varying(9)", "text USING c::varchar(3)", "narrow-type:1"),
  retype("character varying(9)", "text USING c::text"),
  {
    title: "narrowed after it was widened",
    sql: "ALTER TABLE clients ALTER COLUMN c TYPE text;\nALTER TABLE clients ALTER COLUMN c TYPE varchar(50);",
    refused: ["narrow-type:2"],
    columns: { "public.clients.c": "character varying(50)" },
  },
];

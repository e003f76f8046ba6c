/**
 * Statements that take definitions of every kind from a database made by objectKinds.sql, by what is lost; and what the
 * comparison of catalogs must name then: all of it, and nothing else.
 */

export interface LostDefinition {
  readonly sql: string;
  /** `removed`, `changed` or `added`, kind and name of each item. */
  readonly names: readonly string[];
}

const lost = (sql: string, ...names: string[]): LostDefinition => ({ sql, names });

export const lostDefinitions: Readonly<Record<string, LostDefinition>> = {
  "an access method": lost(
    "DROP ACCESS METHOD heap_again CASCADE",
    "removed access-method heap_again",
    "removed relation shop.other_storage",
    "removed column shop.other_storage.id",
    "removed storage shop.other_storage",
  ),
  "an aggregate's start": lost(
    "CREATE OR REPLACE AGGREGATE shop.sum_positive(numeric) (SFUNC = shop.add_positive, STYPE = numeric, INITCOND = '1')",
    "changed aggregate shop.sum_positive(numeric)",
  ),
  "a window function's body": lost(
    "CREATE OR REPLACE FUNCTION shop.number_of_row() RETURNS bigint LANGUAGE internal WINDOW AS 'window_rank'",
    "changed window-function shop.number_of_row()",
  ),
  "a routine's right": lost("GRANT EXECUTE ON FUNCTION shop.touch() TO kinds_reader", "changed routine shop.touch()"),
  "a routine's dependency": lost(
    "ALTER FUNCTION shop.touch() NO DEPENDS ON EXTENSION citext",
    "removed extension-dependency shop.touch() (function)",
  ),
  "a cast": lost(
    "DROP CAST (shop.address AS text)",
    "removed cast shop.address AS text",
    "removed comment (shop.address AS pg_catalog.text) (cast)",
  ),
  "when a cast applies": lost(
    "UPDATE pg_cast SET castcontext = 'i' WHERE castsource = 'shop.address'::regtype",
    "changed cast shop.address AS text",
  ),
  "an operator's commutator": lost(
    "UPDATE pg_operator SET oprcom = 0 WHERE oprname = '|+|'",
    "changed operator shop.|+| (numeric, numeric)",
  ),
  "an operator class": lost(
    "DROP OPERATOR CLASS shop.ops USING btree",
    "removed operator-class shop.ops btree",
    "changed operator-family shop.family btree",
  ),
  "a collation": lost("ALTER COLLATION shop.bytewise OWNER TO kinds_owner", "changed collation shop.bytewise"),
  "a conversion": lost("DROP CONVERSION shop.from_latin", "removed conversion shop.from_latin"),
  "a text search mapping": lost(
    "ALTER TEXT SEARCH CONFIGURATION shop.german DROP MAPPING FOR asciiword",
    "changed text-search-configuration shop.german",
  ),
  "a dictionary's stop words": lost(
    "ALTER TEXT SEARCH DICTIONARY shop.simple_german (STOPWORDS)",
    "changed text-search-dictionary shop.simple_german",
  ),
  "a text search parser": lost("DROP TEXT SEARCH PARSER shop.words", "removed text-search-parser shop.words"),
  "a text search template": lost("DROP TEXT SEARCH TEMPLATE shop.simply", "removed text-search-template shop.simply"),
  "a language's right": lost("GRANT USAGE ON LANGUAGE plpgsql_again TO PUBLIC", "changed language plpgsql_again"),
  "a transform's way back": lost(
    "CREATE OR REPLACE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal))",
    "changed transform integer sql",
  ),
  "a base type's category": lost(
    "UPDATE pg_type SET typcategory = 'X' WHERE oid = 'shop.whole'::regtype",
    "changed type-details shop.whole",
  ),
  "a type without a body": lost("DROP TYPE shop.without_body", "removed type-details shop.without_body"),
  "a type's owner": lost("ALTER TYPE shop.address OWNER TO kinds_owner", "changed type shop.address"),
  "a type's right": lost("REVOKE USAGE ON TYPE shop.address FROM PUBLIC", "changed type shop.address"),
  "an enum's label": lost("ALTER TYPE shop.mood RENAME VALUE 'between' TO 'other'", "changed enum shop.mood"),
  "a domain's check": lost(
    "ALTER DOMAIN shop.positive DROP CONSTRAINT above_zero",
    "changed domain shop.positive",
    "removed comment above_zero on shop.positive (domain constraint)",
  ),
  "a wrapper's option": lost(
    "ALTER FOREIGN DATA WRAPPER of_nothing OPTIONS (DROP debug)",
    "changed foreign-data-wrapper of_nothing",
  ),
  "a server's right": lost(
    "REVOKE USAGE ON FOREIGN SERVER elsewhere FROM kinds_reader",
    "changed foreign-server elsewhere",
  ),
  "a user mapping": lost(
    "DROP USER MAPPING FOR kinds_owner SERVER elsewhere",
    "removed user-mapping kinds_owner on elsewhere",
  ),
  "a foreign table's option": lost(
    "ALTER FOREIGN TABLE shop.far OPTIONS (DROP table_name)",
    "changed foreign-table shop.far",
  ),
  "a foreign column's option": lost(
    "ALTER FOREIGN TABLE shop.far ALTER name OPTIONS (DROP column_name)",
    "removed column-options shop.far.name",
  ),
  "a column's storage": lost(
    "ALTER TABLE shop.clients ALTER doc SET STORAGE EXTENDED",
    "removed column-options shop.clients.doc",
  ),
  "a column's statistics": lost(
    "ALTER TABLE shop.clients ALTER name SET STATISTICS -1",
    "removed column-options shop.clients.name",
  ),
  "a column's compression": lost(
    "ALTER TABLE shop.clients ALTER raw SET COMPRESSION DEFAULT",
    "removed column-options shop.clients.raw",
  ),
  "a column's estimate": lost(
    "ALTER TABLE shop.clients ALTER number RESET (n_distinct)",
    "removed column-options shop.clients.number",
  ),
  "an indexed expression's statistics": lost(
    "ALTER INDEX shop.on_expression ALTER 1 SET STATISTICS -1",
    "removed column-options shop.on_expression.lower",
  ),
  "a default of a view's column": lost(
    "ALTER VIEW shop.names ALTER id DROP DEFAULT",
    "changed column-options shop.names.id",
  ),
  "a right on a view's column": lost(
    "REVOKE SELECT (id) ON shop.names FROM kinds_reader",
    "changed column-options shop.names.id",
  ),
  "a right on a column": lost(
    "REVOKE SELECT (name) ON shop.clients FROM kinds_reader",
    "changed column shop.clients.name",
  ),
  "what a table is clustered on": lost("ALTER TABLE shop.a SET WITHOUT CLUSTER", "removed storage shop.a"),
  "what a table is of": lost("ALTER TABLE shop.typed NOT OF", "removed storage shop.typed"),
  "a toast table's option": lost(
    "ALTER TABLE shop.clients RESET (toast.autovacuum_enabled)",
    "removed storage shop.clients",
  ),
  "a table's method": lost(
    "ALTER TABLE shop.other_storage SET ACCESS METHOD heap",
    "removed storage shop.other_storage",
  ),
  "a sequence's cache": lost("ALTER SEQUENCE shop.unowned CACHE 1", "removed sequence-options shop.unowned"),
  "an unlogged sequence": lost("ALTER SEQUENCE shop.unlogged SET LOGGED", "removed sequence-options shop.unlogged"),
  "a sequence's step": lost("ALTER SEQUENCE shop.never_used INCREMENT BY 2", "changed sequence shop.never_used"),
  "a sequence's right": lost(
    "GRANT USAGE ON SEQUENCE shop.unowned TO kinds_reader",
    "changed sequence-rights shop.unowned",
  ),
  "a sequence's owner": lost(
    "ALTER SEQUENCE shop.never_used OWNER TO kinds_owner",
    "changed sequence-rights shop.never_used",
  ),
  "what a sequence belongs to": lost(
    "ALTER SEQUENCE shop.never_used OWNED BY shop.a.id",
    "changed sequence-rights shop.never_used",
  ),
  "extended statistics": lost(
    "DROP STATISTICS shop.together",
    "removed statistics shop.together",
    "removed statistics-target shop.together",
  ),
  "a target of extended statistics": lost(
    "ALTER STATISTICS shop.together SET STATISTICS -1",
    "removed statistics-target shop.together",
  ),
  "a schema's right": lost("REVOKE USAGE ON SCHEMA shop FROM kinds_reader", "changed schema shop"),
  "a schema's owner": lost("ALTER SCHEMA shop OWNER TO kinds_reader", "changed schema shop"),
  "the owner of public": lost("ALTER SCHEMA public OWNER TO kinds_owner", "changed public-schema public"),
  "a right on public": lost("GRANT CREATE ON SCHEMA public TO PUBLIC", "changed public-schema public"),
  "a right on what PostgreSQL made": lost(
    "REVOKE EXECUTE ON FUNCTION pg_sleep(double precision) FROM kinds_reader",
    "changed rights pg_catalog.pg_sleep(double precision) (function)",
  ),
  "a right on an extension's member": lost(
    "GRANT EXECUTE ON FUNCTION extensions.hstore(text, text) TO PUBLIC",
    "changed rights extensions.hstore(pg_catalog.text,pg_catalog.text) (function)",
  ),
  "a table's right": lost("GRANT SELECT ON shop.a TO kinds_reader", "changed relation shop.a"),
  "a table's owner": lost("ALTER TABLE shop.b OWNER TO kinds_owner", "changed relation shop.b"),
  "default privileges": lost(
    "ALTER DEFAULT PRIVILEGES FOR ROLE kinds_owner IN SCHEMA shop REVOKE SELECT ON TABLES FROM kinds_reader",
    "removed default-privileges kinds_owner shop r",
  ),
  "a constraint": lost("ALTER TABLE shop.a DROP CONSTRAINT a_b_fkey", "removed constraint shop.a.a_b_fkey"),
  "an index": lost("DROP INDEX shop.covering", "removed index shop.covering", "removed comment shop.covering (index)"),
  "when a trigger fires": lost(
    "ALTER TABLE shop.clients ENABLE TRIGGER touched",
    "changed trigger shop.clients.touched",
  ),
  "when an event trigger fires": lost("ALTER EVENT TRIGGER watching DISABLE", "changed event-trigger watching"),
  "a rule": lost(
    "DROP RULE no_delete ON shop.parent",
    "removed rule shop.parent.no_delete",
    "removed comment no_delete on shop.parent (rule)",
  ),
  "a policy": lost(`DROP POLICY "own rows" ON shop.clients`, "removed policy shop.clients.own rows"),
  "row security": lost(
    "ALTER TABLE shop.clients NO FORCE ROW LEVEL SECURITY",
    "removed row-security shop.clients (forced)",
  ),
  "what a table inherits": lost("ALTER TABLE shop.child NO INHERIT shop.parent", "removed descent shop.child"),
  "a view's barrier": lost("ALTER VIEW shop.names RESET (security_barrier)", "changed options shop.names"),
  "a replica identity": lost(
    "ALTER TABLE shop.events_rest_eu REPLICA IDENTITY DEFAULT",
    "removed options shop.events_rest_eu",
  ),
  "an extension's schema": lost(
    "UPDATE pg_extension SET extnamespace = 'shop'::regnamespace WHERE extname = 'postgres_fdw'",
    "changed extension postgres_fdw",
  ),
  "a publication's table": lost("ALTER PUBLICATION of_some DROP TABLE shop.a", "changed publication of_some"),
  "a publication's columns": lost(
    "ALTER PUBLICATION of_some SET TABLE shop.a, shop.clients",
    "removed publication-part of_some shop.clients",
  ),
  "a publication's rows": lost("ALTER PUBLICATION of_rows SET TABLE shop.b", "removed publication-part of_rows shop.b"),
  "a publication's schema": lost(
    "ALTER PUBLICATION of_schema DROP TABLES IN SCHEMA shop",
    "removed publication-part of_schema schema shop",
  ),
  "a column's comment": lost(
    "COMMENT ON COLUMN shop.clients.name IS 'other'",
    "changed comment shop.clients.name (table column)",
  ),
  "a publication's comment": lost("COMMENT ON PUBLICATION of_some IS NULL", "removed comment of_some (publication)"),
  "that public has no comment": lost(
    "COMMENT ON SCHEMA public IS 'standard public schema'",
    "added comment public (schema)",
  ),
  "a large object's comment": lost("COMMENT ON LARGE OBJECT 70001 IS NULL", "removed large-object-comments all"),
};

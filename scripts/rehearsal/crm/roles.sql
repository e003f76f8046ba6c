-- The roles of a Supabase project that the CRM needs: people behind row-level security (authenticated), jobs that pass
-- it (service_role), and the login of the API, which owns nothing and becomes one of the two for each request.
CREATE ROLE authenticated NOLOGIN;
CREATE ROLE service_role NOLOGIN BYPASSRLS;
CREATE ROLE crm_api LOGIN NOINHERIT;
GRANT authenticated, service_role TO crm_api;

-- The ledger by which the Supabase CLI tells applied migrations from pending ones.
CREATE SCHEMA supabase_migrations;
CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY, statements text[], name text);

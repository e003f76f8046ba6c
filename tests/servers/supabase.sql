-- A cluster dressed up as a Supabase project: who owns what, and what `postgres` may not read, after the platform's
-- own migrations (supabase/postgres: migrations/db). Run as supabase_admin, the superuser, in database postgres.

CREATE ROLE postgres LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS;
CREATE ROLE anon NOLOGIN NOINHERIT;
CREATE ROLE authenticated NOLOGIN NOINHERIT;
CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
CREATE ROLE authenticator NOINHERIT LOGIN;
CREATE ROLE supabase_auth_admin NOINHERIT CREATEROLE LOGIN;
CREATE ROLE supabase_storage_admin NOINHERIT CREATEROLE LOGIN;
CREATE ROLE supabase_realtime_admin NOINHERIT;
CREATE ROLE dashboard_user CREATEDB CREATEROLE REPLICATION;
CREATE ROLE pgbouncer LOGIN;
GRANT anon, authenticated, service_role TO authenticator;
GRANT anon, authenticated, service_role TO postgres WITH ADMIN OPTION;
GRANT SET ON PARAMETER session_replication_role TO postgres;
ALTER DATABASE postgres OWNER TO postgres;
ALTER SCHEMA public OWNER TO pg_database_owner;

CREATE SCHEMA extensions AUTHORIZATION postgres;
CREATE SCHEMA auth AUTHORIZATION supabase_admin;
CREATE SCHEMA storage AUTHORIZATION supabase_admin;
CREATE SCHEMA realtime AUTHORIZATION supabase_admin;
CREATE SCHEMA vault AUTHORIZATION supabase_admin;
CREATE SCHEMA graphql AUTHORIZATION supabase_admin;
CREATE SCHEMA graphql_public AUTHORIZATION supabase_admin;
CREATE SCHEMA pgbouncer AUTHORIZATION pgbouncer;
CREATE EXTENSION pgcrypto SCHEMA extensions;
CREATE EXTENSION pg_stat_statements SCHEMA extensions;
GRANT ALL ON ALL FUNCTIONS IN SCHEMA extensions TO dashboard_user;

ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin IN SCHEMA public GRANT ALL ON TABLES TO postgres, anon, authenticated, service_role;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;

CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
ALTER FUNCTION auth.uid() OWNER TO supabase_auth_admin;
CREATE TABLE auth.users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text UNIQUE, encrypted_password text,
  raw_user_meta_data jsonb, created_at timestamptz DEFAULT now());
CREATE TABLE auth.identities (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid REFERENCES auth.users ON DELETE CASCADE, provider text);
CREATE TABLE auth.refresh_tokens (id bigserial PRIMARY KEY, user_id uuid, token text);
CREATE TABLE auth.schema_migrations (version text PRIMARY KEY);
INSERT INTO auth.schema_migrations VALUES ('20171026211738');
ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;

CREATE TABLE storage.buckets (id text PRIMARY KEY, name text NOT NULL, public bool DEFAULT false);
CREATE TABLE storage.objects (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), bucket_id text REFERENCES storage.buckets,
  name text, owner uuid, metadata jsonb);
CREATE TABLE storage.migrations (id int PRIMARY KEY, name text, hash text);
INSERT INTO storage.migrations VALUES (1, 'initialmigration', 'abc');
ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;

CREATE TABLE realtime.schema_migrations (version bigint PRIMARY KEY);
CREATE TABLE realtime.messages (id bigint, topic text, inserted_at date) PARTITION BY RANGE (inserted_at);
CREATE TABLE realtime.messages_2026 PARTITION OF realtime.messages FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO realtime.messages VALUES (1, 'room', '2026-05-05');
ALTER TABLE realtime.messages ENABLE ROW LEVEL SECURITY;
CREATE TABLE vault.secrets (id uuid PRIMARY KEY, secret text);
INSERT INTO vault.secrets VALUES (gen_random_uuid(), 'encrypted with the root key');
CREATE FUNCTION graphql_public.graphql(query text) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
CREATE FUNCTION pgbouncer.get_auth(name text) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT rolpassword FROM pg_authid WHERE rolname = name';

DO $$
DECLARE moved record;
BEGIN
  FOR moved IN SELECT oid::regclass AS name, relnamespace::regnamespace AS schema FROM pg_class
                WHERE relnamespace::regnamespace::text IN ('auth', 'storage', 'realtime') AND relkind IN ('r', 'p') LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO supabase_%s_admin', moved.name, moved.schema);
  END LOOP;
END $$;
GRANT ALL ON SCHEMA auth TO supabase_auth_admin;
GRANT ALL ON SCHEMA storage TO supabase_storage_admin;
GRANT USAGE ON SCHEMA auth, storage, realtime TO postgres, anon, authenticated, service_role;
GRANT ALL ON ALL TABLES IN SCHEMA auth, storage TO postgres WITH GRANT OPTION;
GRANT ALL ON ALL SEQUENCES IN SCHEMA auth, storage TO postgres;
REVOKE ALL ON auth.schema_migrations, storage.migrations, realtime.schema_migrations FROM postgres;

-- Makes PostgREST read the schema again.
CREATE FUNCTION extensions.pgrst_ddl_watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY pgrst, 'reload schema'; END $$;
CREATE EVENT TRIGGER pgrst_ddl_watch ON ddl_command_end EXECUTE FUNCTION extensions.pgrst_ddl_watch();
CREATE PUBLICATION supabase_realtime WITH (publish = 'insert, update, delete, truncate');
ALTER PUBLICATION supabase_realtime OWNER TO postgres;

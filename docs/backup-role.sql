-- A role that can take and check backups of one database and can write nothing in it.
--
-- Run it as a superuser, connected to the database that is to be protected:
--
--     psql "$ADMIN_DATABASE_URL" -v ON_ERROR_STOP=1 -f docs/backup-role.sql
--
-- Then give the role a password. In psql, \password keeps it out of history and server log:
--
--     \password dbprotect_backup
--
-- It needs PostgreSQL 14 or newer (pg_read_all_data). It may be run again at any time.
--
-- Hosted Supabase: run it as `postgres`, which is no superuser there but may do all of this: it has BYPASSRLS
-- itself (PostgreSQL 16 and newer let a role hand that on; on 15 Supabase's supautils extension allows it) and
-- may grant pg_read_all_data. The attributes that the role does NOT have are left out on purpose: naming them, as
-- in ALTER ROLE … NOSUPERUSER, is refused there, and CREATE ROLE leaves them off anyway.
--
-- What it is good for: db:test-connection, db:count-records, db:validate, db:backup, db:compare-counts,
-- db:verify:post-deploy, the gate, and the release steps `railway` and `vercel`. What it is not good for, on
-- purpose: `release migrations`, which needs the owner of the tables, and db:restore (see the end).

BEGIN;

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'dbprotect_backup') THEN
    -- LOGIN: it connects by itself. Until it has a password, no password lets it in.
    -- BYPASSRLS: a row security policy would hide rows, and a backup without them would look whole. The program
    -- reads with row_security = off, so without BYPASSRLS it refuses instead of reading less.
    CREATE ROLE dbprotect_backup LOGIN BYPASSRLS;
  END IF;

  -- CONNECT: granted to PUBLIC by default; needed where that was revoked.
  EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO dbprotect_backup', pg_catalog.current_database());
END
$$;

-- SELECT on every table, view and sequence and USAGE on every schema, also on those that are created later.
-- It includes LOCK TABLE … IN ACCESS SHARE MODE, which pg_dump takes. It holds no right to write.
GRANT pg_read_all_data TO dbprotect_backup;

-- A second line, not the fence: the role could switch it off, but then still lacks every right to write.
ALTER ROLE dbprotect_backup SET default_transaction_read_only = on;

-- Large objects are not part of pg_read_all_data before PostgreSQL 19. If there are any, pg_dump stops at the first
-- one that it may not read, so run this file again when new ones were created.
DO $$
DECLARE
  large_object oid;
BEGIN
  FOR large_object IN SELECT oid FROM pg_catalog.pg_largeobject_metadata LOOP
    EXECUTE pg_catalog.format('GRANT SELECT ON LARGE OBJECT %s TO dbprotect_backup', large_object);
  END LOOP;
END
$$;

COMMIT;

-- What the role can do beside reading is what PUBLIC can do: temporary tables, functions that anybody may call
-- (a SECURITY DEFINER function among them writes with its owner's rights), and, in databases that were made by
-- PostgreSQL 14 or older, tables of its own in the schema public. Take the last one away from everybody:
--
--     REVOKE CREATE ON SCHEMA public FROM PUBLIC;
--
-- To be free of the role again: DROP OWNED BY dbprotect_backup; DROP ROLE dbprotect_backup;
--
-- db:restore makes a new database on the same server and gives every object back to its owner. It needs, in
-- addition, CREATEDB and to be the owner of everything in the backup or a superuser; CREATEROLE too where a role
-- that owns or may use something no longer exists. Use a role of its own for it, on the day it is needed.

-- The strategy's "Verify critical data exists" for the table that everything else hangs on. A database that
-- has no client yet needs a check of the same name in its own folder.
-- name: clients-exist
-- severity: halt
-- expect: value = true
-- requires: public.clients
SELECT EXISTS (SELECT FROM public.clients);

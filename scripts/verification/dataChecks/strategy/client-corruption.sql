-- The strategy's "Check for data corruption". Only the ids of the first ten are shown: the evidence goes into
-- receipts, an email address does not belong there.
-- name: client-corruption
-- severity: halt
-- expect: no rows
-- requires: public.clients.id, public.clients.email, public.clients.stage
SELECT id
  FROM public.clients
 WHERE email IS NULL OR stage IS NULL
 ORDER BY id;

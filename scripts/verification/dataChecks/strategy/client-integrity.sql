-- The strategy's "Check data integrity": how many clients have an email and a stage. It means that all of
-- them do, so the first column says how many lack one.
-- name: client-integrity
-- severity: halt
-- expect: value = 0
-- requires: public.clients.email, public.clients.stage
-- evidence: rows
SELECT count(*) FILTER (WHERE email IS NULL OR stage IS NULL) AS incomplete_clients,
       count(*) AS total_clients,
       count(CASE WHEN email IS NOT NULL THEN 1 END) AS clients_with_email,
       count(CASE WHEN stage IS NOT NULL THEN 1 END) AS clients_with_stage
  FROM public.clients;

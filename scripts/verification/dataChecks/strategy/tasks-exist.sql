-- The strategy's "Verify critical data exists". A warning: a young project may have no task yet.
-- name: tasks-exist
-- severity: warn
-- expect: value = true
-- requires: public.tasks
SELECT EXISTS (SELECT FROM public.tasks);

-- The strategy's "Count all records": each table can be read whole, and the counts are on record.
-- name: record-counts
-- severity: halt
-- expect: rows = 3
-- requires: public.clients, public.tasks, public.chat_messages
-- evidence: rows
SELECT 'clients' AS table_name, count(*) AS record_count FROM public.clients
UNION ALL
SELECT 'tasks', count(*) FROM public.tasks
UNION ALL
SELECT 'chat_messages', count(*) FROM public.chat_messages;

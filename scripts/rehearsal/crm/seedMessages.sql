-- The CRM's chat messages, which are most of its bytes: written beside the other rows (seed.sql), by a connection of their own.

SET session_replication_role = replica;
SET synchronous_commit = off;

INSERT INTO chat_messages (id, client_id, author_id, body, metadata, sent_at)
SELECT n, 1 + n % 30000, CASE WHEN n % 3 > 0 THEN md5('user' || (1 + n % 400))::uuid END,
       repeat((ARRAY['Thank you for the quick answer, that helps us a lot. ','Could you send the figures for the last quarter again? ',
         'We would like to add three more seats from next month on. ','The export stopped at row 4,000; is that a limit of our plan? ',
         'Perfect, see you on Thursday at ten. '])[1 + n % 5], 1 + n / 5 % 3),
       jsonb_build_object('channel', (ARRAY['web','email','whatsapp'])[1 + n % 3], 'thread', n / 8, 'read', n % 5 > 0),
       timestamptz '2024-02-01 06:00Z' + n * interval '7 minutes'
FROM generate_series(1, 200000) n;

SELECT setval(pg_get_serial_sequence('chat_messages', 'id'), 200000);

RESET session_replication_role;

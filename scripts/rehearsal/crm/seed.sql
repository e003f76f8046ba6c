-- The CRM's rows: 50 organisations, 400 users, 30,000 clients, 90,000 tasks; 200,000 chat messages are in
-- seedMessages.sql. Every value follows from the row's number, so that each rehearsal starts from the same database.

-- References are right by construction; checking 700,000 of them row by row would take longer than the seed itself.
SET session_replication_role = replica;
SET synchronous_commit = off;

INSERT INTO organisations (id, name, settings, created_at)
SELECT n, format('%s %s', (ARRAY['Alder','Birch','Cedar','Elm','Hazel','Juniper','Linden','Maple','Oak','Rowan'])[1 + n % 10],
         (ARRAY['Logistics','Dental','Studios','Foods','Legal'])[1 + n / 10 % 5]),
       jsonb_build_object('plan', (ARRAY['free','team','business'])[1 + n % 3], 'seats', 5 + n % 20),
       timestamptz '2023-01-09 08:00Z' + n * interval '6 days'
FROM generate_series(1, 50) n;

INSERT INTO users (id, organisation_id, email, full_name, created_at)
SELECT md5('user' || n)::uuid, 1 + n % 50, format('user%s@example.com', n),
       format('%s %s', (ARRAY['Ada','Grace','Edsger','Barbara','Donald','Margaret','Tony','Frances'])[1 + n % 8],
         (ARRAY['Novak','Silva','Okafor','Tanaka','Meyer','Haddad','Larsen'])[1 + n % 7]),
       timestamptz '2023-02-01 08:00Z' + n * interval '19 hours'
FROM generate_series(1, 400) n;

-- A client's owner works for the client's organisation: both are the number modulo 50.
INSERT INTO clients (id, organisation_id, owner_id, reference, name, email, phone, stage, notes, attributes, last_contacted_at, created_at, updated_at)
SELECT n, 1 + n % 50, md5('user' || (1 + (n - 1) % 400))::uuid, 'C-' || lpad(n::text, 7, '0'),
       format('%s %s', (ARRAY['Iris','Noor','Mateo','Yuki','Zofia','Omar','Lena','Kofi','Priya','Emil','Sana'])[1 + n % 11],
         (ARRAY['Bauer','Costa','Dubois','Eriksen','Fofana','Garcia','Horvat','Ito','Jansen','Kaya','Lopez','Mori','Nagy'])[1 + n % 13]),
       format('client%s@example.org', n), format('+49 30 %s', 1000000 + n * 37 % 9000000),
       (ARRAY['lead','qualified','proposal','won','lost']::client_stage[])[1 + n * 7 % 5],
       repeat((ARRAY['Prefers a call in the morning. ','Renewal in spring; asked for two offers. ','Met at the trade fair, follow up on the pilot. ',
         'Needs an invoice with a purchase order number. '])[1 + n % 4], 1 + n % 4),
       jsonb_build_object('source', (ARRAY['web','referral','fair','import'])[1 + n % 4], 'score', n * 13 % 100,
         'tags', jsonb_build_array((ARRAY['vip','eu','smb','new'])[1 + n % 4], 'q' || (1 + n % 4))),
       timestamptz '2026-10-30 16:00Z' - (n * 7919 % 900) * interval '1 day',
       timestamptz '2023-06-01 09:00Z' + n * interval '37 minutes', timestamptz '2026-10-30 16:00Z' - (n % 400) * interval '1 day'
FROM generate_series(1, 30000) n;
SELECT setval('client_reference_seq', 30000);

INSERT INTO tasks (id, client_id, assignee_id, title, description, status, due_on, completed_at, created_at)
SELECT n, 1 + n % 30000, md5('user' || (1 + n % 400))::uuid,
       (ARRAY['Send the offer','Call back','Prepare the contract','Check the invoice','Book a demo','Collect feedback'])[1 + n % 6],
       repeat((ARRAY['Agreed in the last call; attach the current price list. ','Ask who signs and by when. ','See the notes of the meeting. '])[1 + n % 3], n % 3),
       (ARRAY['open','in_progress','done','done']::task_status[])[1 + n % 4], date '2026-01-01' + n % 500,
       CASE WHEN n % 4 >= 2 THEN timestamptz '2026-09-01 12:00Z' - (n % 700) * interval '1 hour' END,
       timestamptz '2024-01-08 07:30Z' + n * interval '11 minutes'
FROM generate_series(1, 90000) n;

SELECT setval(pg_get_serial_sequence(t, 'id'), m) FROM (VALUES
  ('organisations', 50), ('clients', 30000), ('tasks', 90000)) AS last_ids (t, m);

RESET session_replication_role;

-- A schema with everything that makes putting rows back hard. Run as the owner of the database, who is no superuser.
CREATE TYPE mood AS ENUM ('glad', 'so so', 'sad');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);

CREATE TABLE organisations (id uuid PRIMARY KEY, name text NOT NULL UNIQUE);

CREATE TABLE people (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organisation uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
  boss int REFERENCES people ON DELETE CASCADE,
  email text, lower_email text GENERATED ALWAYS AS (lower(email)) STORED UNIQUE,
  profile jsonb, plain json, tags text[], matrix int[], photo bytea, weight float8, amount numeric, seen timestamptz,
  day date, mood mood, span int4range UNIQUE, cash money, size positive, kind regtype, took interval);
CREATE UNIQUE INDEX people_nick ON people ((profile ->> 'nick')) WHERE mood <> 'sad';
ALTER TABLE people ENABLE ROW LEVEL SECURITY;
CREATE POLICY nobody ON people USING (false);

CREATE TABLE "No ""tes""" (
  "the ""key""" text, part int, body text, person int REFERENCES people ON DELETE CASCADE, PRIMARY KEY (part, "the ""key"""));

-- A cycle that can neither wait nor do without.
CREATE TABLE teams (id int PRIMARY KEY, lead int NOT NULL);
CREATE TABLE members (
  id int PRIMARY KEY, team int NOT NULL REFERENCES teams ON DELETE CASCADE,
  person int REFERENCES people ON DELETE CASCADE);
ALTER TABLE teams ADD FOREIGN KEY (lead) REFERENCES members ON DELETE CASCADE;

-- One that is checked at the end of the transaction.
CREATE TABLE hens (id int PRIMARY KEY, egg int NOT NULL);
CREATE TABLE eggs (id int PRIMARY KEY, hen int NOT NULL REFERENCES hens ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE hens ADD FOREIGN KEY (egg) REFERENCES eggs ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE events (id bigserial, day date, person int REFERENCES people ON DELETE CASCADE, PRIMARY KEY (id, day))
  PARTITION BY RANGE (day);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
CREATE TABLE event_tags (
  event bigint, day date, tag text, PRIMARY KEY (event, day, tag),
  FOREIGN KEY (event, day) REFERENCES events ON DELETE CASCADE);

CREATE TABLE remarks (remark text, at timestamptz);

-- Keys that are not what they seem: one value with several texts, values outside any order,
-- a key that the database computes, one that holds NULLs.
CREATE EXTENSION citext;
CREATE TABLE readings (
  at float8, worth numeric, who citext, body text, PRIMARY KEY (at, worth, who));
CREATE TABLE computed (number int, twice int GENERATED ALWAYS AS (number * 2) STORED PRIMARY KEY);
CREATE TABLE optional (a int, b int, body text, UNIQUE NULLS NOT DISTINCT (a, b));

-- What a deleted row leaves behind in others; and rows that keep others out.
CREATE TABLE rooms (id int PRIMARY KEY, name text);
CREATE TABLE visits (
  id int PRIMARY KEY, room int REFERENCES rooms ON DELETE SET NULL, other int DEFAULT 1 REFERENCES rooms ON DELETE SET DEFAULT);
CREATE TABLE bookings (id int PRIMARY KEY, during int4range, EXCLUDE USING gist (during WITH &&));

-- What fires when a row is written would be seen here; and it would change the row.
CREATE TABLE audit (number int GENERATED ALWAYS AS IDENTITY, what text);
CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.audit (what) VALUES (TG_TABLE_NAME || ' ' || TG_OP); RETURN NULL; END$$;
CREATE FUNCTION shouted() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN NEW.email := upper(NEW.email); NEW.seen := now(); RETURN NEW; END$$;
CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'must not fire'; END$$;

INSERT INTO organisations SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Örg "' || n || '"'
  FROM generate_series(1, 12) n;
INSERT INTO people (organisation, boss, email, profile, plain, tags, matrix, photo, weight, amount, seen, day, mood, span, cash, size, kind, took)
  SELECT ('00000000-0000-4000-8000-' || lpad((1 + n % 12)::text, 12, '0'))::uuid, CASE WHEN n > 12 THEN n - 12 END,
         CASE WHEN n % 10 > 0 THEN 'P' || n || '@Example.com' END, jsonb_build_object('nick', 'n' || n, 'snow', '❄ \u0041'),
         '{"b": 1,  "a": 2, "a": 3}', ARRAY['a,b', NULL, E'c"\\d\n', ''], ARRAY[[n, NULL], [2, 3]],
         decode(lpad(to_hex(n), 8, '0'), 'hex'),
         (ARRAY['NaN', 'Infinity', '-Infinity', '0.1', '-0', '1e-300'])[1 + n % 6]::float8,
         CASE n % 3 WHEN 0 THEN 'NaN' WHEN 1 THEN n + 0.10 END::numeric,
         (ARRAY['infinity', '-infinity', '2026-03-29 01:30:00.123456+00', '0044-03-15 12:00:00+00 BC'])[1 + n % 4]::timestamptz,
         (ARRAY['infinity', '2026-02-28', '4713-01-01 BC'])[1 + n % 3]::date, (ARRAY['glad', 'so so', 'sad'])[1 + n % 3]::mood,
         int4range(n, n + 5), n::numeric::money, n, 'public.mood'::regtype, make_interval(months => n, secs => n / 7.0)
    FROM generate_series(1, 1500) n;
INSERT INTO "No ""tes""" SELECT E'k\t''"\\' || E'\n\\.\n' || n || ' Ünï ❄', part, repeat('\', n % 3) || E'\\N', n
  FROM generate_series(1, 1500) n, generate_series(1, 2) part;
WITH t AS (INSERT INTO teams SELECT n, n FROM generate_series(1, 30) n)
  INSERT INTO members SELECT n, 1 + (n - 1) % 30, n FROM generate_series(1, 300) n;
BEGIN;
INSERT INTO hens SELECT n, n FROM generate_series(1, 20) n;
INSERT INTO eggs SELECT n, n FROM generate_series(1, 20) n;
COMMIT;
INSERT INTO events SELECT n, date '2025-06-01' + n, n FROM generate_series(1, 400) n;
SELECT setval('events_id_seq', 400);
INSERT INTO event_tags SELECT id, day, 'tag' FROM events;
INSERT INTO remarks SELECT CASE WHEN n % 2 = 0 THEN 'same' END, 'infinity' FROM generate_series(1, 40) n;

INSERT INTO readings
  SELECT at, worth, 'Ada' || n, 'reading'
    FROM unnest('{NaN,-0,0.1,Infinity,-Infinity,1e-300}'::float8[]) at, unnest('{NaN,1.10,Infinity,-Infinity,-0.0}'::numeric[]) worth,
         generate_series(1, 10) n;
INSERT INTO computed SELECT generate_series(1, 50);
INSERT INTO optional VALUES (NULL, NULL, 'neither'), (1, NULL, 'a'), (NULL, 1, 'b'), (1, 1, 'both');
INSERT INTO rooms SELECT n, 'room ' || n FROM generate_series(1, 10) n;
INSERT INTO visits SELECT n, 1 + n % 10, 1 + n % 10 FROM generate_series(1, 100) n;
INSERT INTO bookings SELECT n, int4range(n * 10, n * 10 + 10) FROM generate_series(1, 20) n;

CREATE TRIGGER a_audit AFTER INSERT OR UPDATE OR DELETE ON people FOR EACH ROW EXECUTE FUNCTION audited();
CREATE TRIGGER b_shout BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION shouted();
CREATE TRIGGER "c ""always""" AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION refused();
ALTER TABLE people ENABLE ALWAYS TRIGGER "c ""always""";
CREATE TRIGGER d_off AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION audited();
ALTER TABLE people DISABLE TRIGGER d_off;
CREATE CONSTRAINT TRIGGER e_later AFTER INSERT ON people DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refused();
CREATE TRIGGER on_partitions AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION refused();
CREATE RULE noted AS ON INSERT TO teams DO ALSO INSERT INTO audit (what) VALUES ('a rule');

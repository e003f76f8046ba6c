-- A database of :megabytes MB of heap, half of it in one table, as applications fill them: short columns, JSON, text of
-- common words, some of it unique. A row of events takes about 400 bytes, of the others about 300.
CREATE TABLE customers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  email text NOT NULL,
  address jsonb NOT NULL,
  notes text,
  created_at timestamptz NOT NULL
);
CREATE TABLE orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id bigint NOT NULL,
  state text NOT NULL,
  total numeric(12, 2) NOT NULL,
  lines jsonb NOT NULL,
  placed_at timestamptz NOT NULL
);
CREATE TABLE events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id bigint NOT NULL,
  kind text NOT NULL,
  payload jsonb NOT NULL,
  message text NOT NULL,
  token text NOT NULL,
  happened_at timestamptz NOT NULL
);

-- Text by a row's number, the same at every run: words of a vocabulary of 4,000, the common ones far more often, as in
-- language. pg_dump's gzip makes about a fifth of it, as of the databases this was held against.
CREATE FUNCTION words(seed bigint, count int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT string_agg(substr(translate(md5(word::text), '0123456789', 'ghijklmnop'), 1, 2 + word % 8), ' ')
    FROM (SELECT floor(4000 * power(((seed * 7919 + n * 104729 + n * seed * 31) % 10007) / 10007.0, 3))::int AS word
            FROM generate_series(1, count) n) chosen
$$;

-- Made once and used again after some megabytes, further apart than a compressor of a dump looks back.
CREATE TEMP TABLE texts AS
SELECT n, words(n, 2) AS two, words(n % 1000, 3) AS three, words(n % 40, 8) AS eight, words(n, 12) AS twelve,
       words(n, 15) AS fifteen, words(n, 20) AS twenty
  FROM generate_series(0, 20010) n;
ANALYZE texts;

INSERT INTO customers (name, email, address, notes, created_at)
SELECT 'Customer ' || i, 'customer' || i || '@' || substr(md5(i::text), 1, 8) || '.example',
       jsonb_build_object('street', two, 'number', i % 200, 'city', substr(md5((i % 500)::text), 1, 6)),
       fifteen || md5(i::text || 'note'), timestamptz '2024-01-01' + i * interval '11 seconds'
  FROM generate_series(1, :megabytes::bigint * 700) i JOIN texts ON n = i % 20011;

INSERT INTO orders (customer_id, state, total, lines, placed_at)
SELECT 1 + i % (:megabytes::bigint * 700), (ARRAY['open','paid','sent','returned'])[1 + i % 4], (i * 37 % 100000) / 100.0,
       jsonb_build_array(jsonb_build_object('sku', substr(md5(i::text), 1, 10), 'count', i % 9, 'text', twelve),
                         jsonb_build_object('sku', md5((i + 1)::text), 'count', i % 5)),
       timestamptz '2024-01-01' + i * interval '7 seconds'
  FROM generate_series(1, :megabytes::bigint * 800) i JOIN texts ON n = i % 20011;

INSERT INTO events (customer_id, kind, payload, message, token, happened_at)
SELECT 1 + i % (:megabytes::bigint * 700), (ARRAY['view','click','login','purchase','logout'])[1 + i % 5],
       jsonb_build_object('path', '/' || three, 'duration', i % 3000, 'agent', eight),
       twenty, md5(i::text) || md5(i::text || 'token'), timestamptz '2024-01-01' + i * interval '3 seconds'
  FROM generate_series(1, :megabytes::bigint * 1250) i JOIN texts ON n = i % 20011;

DROP FUNCTION words;
CREATE INDEX ON orders (customer_id);
CREATE INDEX ON events (customer_id, happened_at);
ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers;
VACUUM (ANALYZE);
CHECKPOINT;

/**
 * The checksum of all large objects. They are no table: neither pg_dump's tables nor a count of rows would miss one.
 */
import type { Queryable } from "../database/queryable";
import { rightsOf } from "./catalogTerms";
import type { LargeObjectsFingerprint } from "./fingerprint";

/** Bytes that are read at a time: an object may be larger than the server's memory. */
const chunk = 262_144;

/** `INV_READ` of libpq-fs.h. */
const forReading = 0x40000;

/**
 * Their content is read by `lo_get`, not from `pg_largeobject`, which only a superuser may read and which keeps no
 * page for a hole. Holes, owner and rights count too. Each is closed as soon as its size is known.
 */
const query = `
SELECT count(*)::int AS objects, COALESCE(sum(o.bytes), 0)::text AS bytes, COALESCE(sum(o.hash), 0)::text AS checksum
  FROM (
    SELECT s.bytes,
           hashtextextended(concat_ws('|', m.oid, s.bytes, pg_get_userbyid(m.lomowner), ${rightsOf("m.lomacl", "L", "m.lomowner")}), 0)
           + COALESCE((SELECT sum(hashtextextended(concat_ws('|', m.oid, i, md5(lo_get(m.oid, i * ${chunk}, ${chunk}))), 0))
                         FROM generate_series(0, (s.bytes - 1) / ${chunk}) AS i WHERE s.bytes > 0), 0) AS hash
      FROM pg_largeobject_metadata m
     CROSS JOIN LATERAL (SELECT lo_open(m.oid, ${forReading}) AS handle OFFSET 0) h
     CROSS JOIN LATERAL (SELECT lo_lseek64(h.handle, 0, 2) AS bytes OFFSET 0) s
     CROSS JOIN LATERAL (SELECT lo_close(CASE WHEN s.bytes >= 0 THEN h.handle END) AS closed OFFSET 0) c
     WHERE c.closed = 0
  ) o`;

/** In a transaction: `lo_open` needs one. */
export async function readLargeObjects(client: Queryable): Promise<LargeObjectsFingerprint> {
  const { rows } = await client.query<LargeObjectsFingerprint>(query);
  return rows[0]!;
}

/** What the platform tells of a hosted project: its metrics in Prometheus's format, its Management API; each may be silent. */
import assert from "node:assert/strict";
import { Unavailable, UsageError } from "../../../scripts/contract/failure";
import type { Reading } from "../../../scripts/monitoring/reading";
import { readSupabaseSignals } from "../../../scripts/monitoring/supabaseSignals";
import { parsePrometheusText } from "../../../scripts/platforms/prometheusText";
import { type LoopbackServer, serveLoopback } from "../../../scripts/rehearsal/loopbackServer";
import { type SupabaseFake, startSupabaseFake } from "../../../scripts/rehearsal/platforms/supabaseFake";

const key = "sb_secret_metrics";

/** In the names and labels of github.com/supabase/supabase-grafana, metrics.md. */
const published = `# HELP http_status_codes_total Number of returned HTTP status codes
# TYPE http_status_codes_total counter
http_status_codes_total{service_type="gotrue",code="200",http_route="/health"} 9000
http_status_codes_total{service_type="gotrue",code="200",http_route="/token"} 120
http_status_codes_total{service_type="gotrue",code="400",http_route="/token"} 30
http_status_codes_total{service_type="gotrue",code="503",http_route="/token"} 7 1764000000000
gotrue_compare_hash_and_password_completed_total{service_type="gotrue",alg="bcrypt",match="false"} 25
gotrue_compare_hash_and_password_completed_total{service_type="gotrue",alg="bcrypt",match="true"} 95
pgrst_db_pool_timeouts_total{service_type="postgrest"} 3
node_filesystem_size_bytes{device="/dev/a",fstype="ext4",mountpoint="/"} 1e10
node_filesystem_avail_bytes{device="/dev/a",fstype="ext4",mountpoint="/"} 5e9
node_filesystem_size_bytes{device="/dev/b",fstype="ext4",mountpoint="/data"} 2e+10
node_filesystem_avail_bytes{device="/dev/b",fstype="ext4",mountpoint="/data"} 3e9
go_gc_duration_seconds{quantile="0.5"} NaN
`;

describe("signals of Supabase", () => {
  let api: SupabaseFake;
  let metrics: LoopbackServer;
  let text = published;
  before(async () => {
    api = await startSupabaseFake();
    metrics = await serveLoopback(async ({ url, headers, method }) => {
      const basic = `Basic ${Buffer.from(`service_role:${key}`).toString("base64")}`;
      if (headers.authorization !== basic) return { status: 401, body: { message: "Unauthorized" } };
      if (method !== "GET" || url.pathname !== "/customer/v1/privileged/metrics") return { status: 404, body: {} };
      return { status: 200, headers: { "content-type": "text/plain; version=0.0.4" }, body: text };
    });
  });
  after(() => Promise.all([api.close(), metrics.close()]));
  beforeEach(() => {
    text = published;
  });

  const metricsEnv = (): Record<string, string> => ({
    SUPABASE_PROJECT_REF: api.projectRef,
    SUPABASE_SERVICE_ROLE_KEY: key,
    SUPABASE_METRICS_URL: metrics.url,
  });
  const read = async (env: NodeJS.ProcessEnv): Promise<[Record<string, Reading>, object | null]> => {
    const { readings, counters } = await readSupabaseSignals(env, undefined);
    return [Object.fromEntries(readings.map((reading) => [reading.signal, reading])), counters];
  };

  it("come from the metrics: authentication but not its health checks, pool timeouts, the fullest disk", async () => {
    const [readings, counters] = await read(metricsEnv());
    assert.deepEqual(counters, { authRequests: 157, authErrors: 7, failedLogins: 25, poolTimeouts: 3 });
    assert.deepEqual(readings["disk"], { signal: "disk", value: 85, detail: "by the platform's metrics" });
    const requests = readings["apiRequests"];
    assert.ok(requests !== undefined && "why" in requests && requests.absent && /ACCESS_TOKEN/.test(requests.why));
  });

  it("come from the Management API: requests of 15 minutes, and the disk where no metrics are configured", async () => {
    const [readings, counters] = await read(api.environment);
    assert.equal(counters, null);
    assert.deepEqual(readings["apiRequests"], {
      signal: "apiRequests",
      value: 12,
      detail: "of 15 min: rest 150, auth 15, storage 15, realtime 0",
    });
    assert.deepEqual(readings["disk"], { signal: "disk", value: 25, detail: "2.0 of 8.0 GB" });
    assert.ok(readings["authErrors"] !== undefined && "why" in readings["authErrors"] && readings["authErrors"].absent);
  });

  it("are absent where nothing is configured, and say what is wrong where something is", async () => {
    const [readings] = await read({});
    assert.ok(Object.values(readings).every((reading) => "why" in reading && reading.absent));
    const [refused, counters] = await read({ ...metricsEnv(), SUPABASE_SERVICE_ROLE_KEY: "wrong" });
    assert.equal(counters, null);
    const auth = refused["authRequests"];
    assert.ok(auth !== undefined && "why" in auth && !auth.absent && /SUPABASE_SERVICE_ROLE_KEY/.test(auth.why));
    await assert.rejects(read({ ...metricsEnv(), SUPABASE_PROJECT_REF: "short" }), UsageError);
    await assert.rejects(read({ ...metricsEnv(), SUPABASE_METRICS_URL: "http://elsewhere.example" }), UsageError);
  });

  it("are unread, not few, where the answer is cut short or something else", async () => {
    for (const broken of [published.slice(0, 150), "<html>gateway</html>", 'a{b="c} 1']) {
      text = broken;
      const [readings, counters] = await read(metricsEnv());
      assert.equal(counters, null, broken);
      const auth = readings["authRequests"];
      assert.ok(auth !== undefined && "why" in auth && /text format/.test(auth.why), broken);
    }
  });

  it("are read as the format has them: escapes, spaces, infinities, a time stamp", () => {
    const samples = parsePrometheusText('a{x="1\\"\\\\\\n,}" , y="2",} +Inf 123\n\n# c\nb 1.5e3\r\n', "test");
    assert.deepEqual(samples, [
      { name: "a", labels: { x: '1"\\\n,}', y: "2" }, value: Infinity },
      { name: "b", labels: {}, value: 1500 },
    ]);
    for (const wrong of ["1a 2", "a", "a x", "a{b=1} 2", 'a{b="1" c="2"} 3']) {
      assert.throws(() => parsePrometheusText(wrong, "test"), Unavailable, wrong);
    }
  });
});

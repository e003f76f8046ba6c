/** The server and the database of a benchmark: an embedded PostgreSQL, the data of data.sql, psql. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { type Cluster, startCluster, urlOf } from "../scripts/scratch/cluster";

/** As a server in production: everything synced, room for what a small one has. */
export const productionSettings: Readonly<Record<string, string>> = {
  fsync: "on",
  synchronous_commit: "on",
  full_page_writes: "on",
  shared_buffers: "1GB",
  max_wal_size: "4GB",
};

export class BenchServer {
  private constructor(
    private readonly cluster: Cluster,
    /** Of the database that is measured. */
    readonly url: string,
  ) {}

  /** @param settings of the server; what they leave out is as in the tests, where nothing is synced. */
  static async start(settings: Readonly<Record<string, string>>): Promise<BenchServer> {
    const cluster = await startCluster({
      ...{ listen: "loopback", lifetime: { kind: "parent" }, purpose: "test" },
      settings: { ...settings },
    });
    const server = new BenchServer(cluster, urlOf(cluster.place, "bench"));
    server.createDatabase("bench");
    return server;
  }

  /** The PostgreSQL programs. */
  get binDir(): string {
    return this.cluster.binDir;
  }

  /** @returns its URL. */
  createDatabase(name: string): string {
    this.psql(["-c", `CREATE DATABASE ${name}`], this.cluster.url);
    return urlOf(this.cluster.place, name);
  }

  /** What psql prints, unaligned and without headers. @throws when a statement fails. */
  psql(words: readonly string[], url = this.url): string {
    const program = join(this.binDir, "psql");
    return execFileSync(program, [url, "-XqAt", "-v", "ON_ERROR_STOP=1", ...words], { encoding: "utf8" }).trim();
  }

  /** Fills the database with so many MB of heap. */
  load(megabytes: number): void {
    this.psql(["-v", `megabytes=${megabytes}`, "-f", join(__dirname, "data.sql")]);
  }

  /** MB of the tables without their indexes. */
  heapMegabytes(): number {
    const heap =
      "SELECT sum(pg_table_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    return Number(this.psql(["-c", heap])) / 1e6;
  }

  version(): string {
    return this.psql(["-c", "SHOW server_version"]);
  }

  stop(): Promise<void> {
    return this.cluster.stop();
  }
}

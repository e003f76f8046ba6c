/**
 * Child process of the cluster's tests: starts a cluster, prints its place as one line of JSON, then waits to
 * be killed, or ends at once with `leave`.
 *
 * Usage: clusterStarter.ts <parent | ISO deadline> <stay | leave>
 */
import { startCluster } from "../../../scripts/scratch/cluster";

async function main(lifetime: string, then: string): Promise<void> {
  const cluster = await startCluster({
    listen: "socket",
    lifetime: lifetime === "parent" ? { kind: "parent" } : { kind: "deadline", at: new Date(lifetime) },
  });
  process.stdout.write(`${JSON.stringify(cluster.place)}\n`);
  if (then === "stay") setInterval(() => undefined, 60_000);
}

void main(process.argv[2] ?? "", process.argv[3] ?? "");

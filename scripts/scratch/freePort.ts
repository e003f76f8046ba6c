/** Free TCP ports for servers of our own. */
import { type AddressInfo, createServer } from "node:net";

/**
 * A port of 127.0.0.1 that is free now. Nobody holds it: whoever binds it must be ready to lose the race and
 * ask again.
 */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error("unreachable: one port was asked for");
  return port;
}

/** As many different free ports: all are held until the last is found. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    ports.push((server.address() as AddressInfo).port);
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Free TCP ports for servers of our own. */
import { type AddressInfo, createServer } from "node:net";

/**
 * A port of 127.0.0.1 that is free now. Nobody holds it: whoever binds it must be ready to lose the race and
 * ask again.
 */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

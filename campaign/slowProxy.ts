/** A network on which everything arrives late: forwards every connection, each piece so many milliseconds after it came. */
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { Transform } from "node:stream";

export interface SlowProxy {
  readonly port: number;
  close(): Promise<void>;
}

export async function startSlowProxy(
  to: { readonly host: string; readonly port: number },
  milliseconds: number,
): Promise<SlowProxy> {
  const sockets = new Set<Socket>();
  const late = (): Transform =>
    new Transform({ transform: (piece, _, done) => void setTimeout(() => done(null, piece), milliseconds) });
  const server = createServer((client) => {
    const other = connect(to.port, to.host);
    for (const [one, two] of [
      [client, other],
      [other, client],
    ] as const) {
      sockets.add(one);
      one
        .on("error", () => undefined)
        .on("close", () => {
          sockets.delete(one);
          setTimeout(() => two.destroy(), 10 * milliseconds);
        });
      one.pipe(late()).pipe(two);
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

/** A network to a PostgreSQL server that can be slow, and that is cut and mended: while it is cut nobody gets through. */
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { PassThrough, Transform } from "node:stream";

export interface Network {
  readonly port: number;
  /** Resets every connection, and refuses new ones. */
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

/** @param late milliseconds that every piece needs more than without it. */
export async function startNetwork(
  to: { readonly host: string; readonly port: number },
  { late = 0 }: { readonly late?: number } = {},
): Promise<Network> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const way = (): Transform =>
    late === 0
      ? new PassThrough()
      : new Transform({ transform: (piece, _, done) => void setTimeout(() => done(null, piece), late) });
  const server = createServer((client) => {
    if (isCut) return void client.resetAndDestroy();
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
          // What is under way arrives first.
          setTimeout(() => two.destroy(), 10 * late);
        });
      one.pipe(way()).pipe(two);
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      isCut = true;
      for (const socket of sockets) socket.resetAndDestroy();
    },
    mend: () => {
      isCut = false;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

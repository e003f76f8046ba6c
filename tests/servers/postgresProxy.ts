/**
 * A network between us and PostgreSQL that fails on purpose: forwards every connection, and at a chosen byte of all that
 * the server answers does one thing to the connection that carries it. Plain TCP: the test's URL says `sslmode=disable`.
 */
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";

/**
 * `reset`: both ends see ECONNRESET. `stall`: it stays open, and nothing comes through any more. `terminate`: the
 * server ends the session, as `pg_terminate_backend` does.
 */
export type ProxyFault = "reset" | "stall" | "terminate";

export interface ProxyOptions {
  readonly to: { readonly host: string; readonly port: number };
  readonly fault: ProxyFault;
  /** Bytes from the server, over all connections, before it happens. Infinity: never. */
  readonly afterBytes: number;
  /** Ends the session that the server sees at this local port of ours. */
  readonly terminate: (clientPort: number) => Promise<void>;
}

export interface PostgresProxy {
  readonly port: number;
  /** Bytes that the server has sent so far. */
  bytes(): number;
  /** Whether the fault has happened. */
  struck(): boolean;
  /** Ends every connection. */
  close(): Promise<void>;
}

export async function startPostgresProxy(options: ProxyOptions): Promise<PostgresProxy> {
  const sockets = new Set<Socket>();
  let bytes = 0;
  let struck = false;

  const strike = (client: Socket, server: Socket): void => {
    struck = true;
    if (options.fault === "reset") {
      client.resetAndDestroy();
      server.resetAndDestroy();
    } else if (options.fault === "stall") {
      client.pause();
      server.pause();
    } else {
      void options.terminate(server.localPort ?? 0);
    }
  };

  const forward = (client: Socket): void => {
    const server = connect(options.to.port, options.to.host);
    let stalled = false;
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        // A stalled connection does not even hear that the other end has gone.
        if (!stalled) other.destroy();
      });
    }
    client.on("data", (data) => {
      if (!stalled && !server.write(data)) client.pause();
    });
    server.on("drain", () => void client.resume());
    server.on("data", (data) => {
      if (stalled) return;
      bytes += data.length;
      if (!struck && bytes >= options.afterBytes) {
        strike(client, server);
        stalled = options.fault === "stall";
        if (options.fault !== "terminate") return;
      }
      if (!client.write(data)) server.pause();
    });
    client.on("drain", () => {
      if (!stalled) server.resume();
    });
    client.on("end", () => void (stalled || server.end()));
    server.on("end", () => void (stalled || client.end()));
  };

  const listener: Server = createServer({ allowHalfOpen: true }, forward);
  await new Promise<void>((done) => listener.listen(0, "127.0.0.1", done));
  return {
    port: (listener.address() as AddressInfo).port,
    bytes: () => bytes,
    struck: () => struck,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      if (listener.listening) await new Promise((done) => listener.close(done));
    },
  };
}

/** An HTTP server on a free loopback port that answers each request with one document: the CRM and the fakes are made of it. */
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export interface Call {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is when it is text, as JSON otherwise. */
  readonly body: unknown;
}

export interface LoopbackServer {
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  readonly url: string;
  close(): Promise<void>;
}

/** A handler that throws answers 500 with the error's message: these servers are ours, and so is whoever reads it. */
export async function serveLoopback(handle: (call: Call) => Promise<Answer>): Promise<LoopbackServer> {
  const server = createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url ?? "/", "http://127.0.0.1");
      const call = { method: request.method ?? "GET", url, headers: request.headers, body: await text(request) };
      return handle(call);
    })()
      .catch((error: unknown) => ({ status: 500, headers: {}, body: { message: String(error) } }))
      .then(({ status, headers, body }: Answer) => {
        const plain = typeof body === "string";
        const type = plain ? "text/html; charset=utf-8" : "application/json; charset=utf-8";
        response.writeHead(status, { "content-type": type, ...headers }).end(plain ? body : JSON.stringify(body));
      });
  });
  return listenOnLoopback(server);
}

/** On a free port; closing ends the connections that are still open. */
export async function listenOnLoopback(server: Server): Promise<LoopbackServer> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

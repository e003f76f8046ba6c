/**
 * A faulty network, or a faulty S3 server, between a store and a real one: hands requests on, and does to some of
 * them what the test says.
 */
import { once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { PutObjectCommand, S3Client, UploadPartCommand } from "@aws-sdk/client-s3";

/** What can happen to a request. */
export const faults = [
  /** 500 InternalError; the server never saw it. */
  "500",
  /** 503 SlowDown; the server never saw it. */
  "503",
  /** The connection breaks before the server saw it. */
  "reset before",
  /** It is done, but its answer is lost. */
  "reset after",
  /** It is done, but the answer says 500. */
  "500 after",
  /** Half of the answer arrives. */
  "cut the answer",
  /** The answer is 200 and holds an error, as CompleteMultipartUpload's may, and no other's; the server never saw it. */
  "error in a 200",
  /** Nothing ever arrives, and the connection stays open. */
  "stall",
  /** Half of the answer arrives, and the connection stays open. */
  "stall the answer",
  /** The server gets a few bytes of the body at a time, for ever. */
  "trickle",
  /** The answer says that it is done; the server never saw it. Of what writes only. */
  "keeps nothing",
  /** The answer says that it is done; half of the bytes are kept. Of PutObject and UploadPart only. */
  "keeps half",
  /** The same with as many other bytes. */
  "keeps other bytes",
  /** 400 ExpiredToken; the server never saw it. */
  "expired token",
  /** 400 InvalidArgument, as for a part too many; the server never saw it. */
  "400",
  /** 403 AccessDenied; the server never saw it. */
  "403",
  /** 501 NotImplemented; the server never saw it. */
  "501",
  /** 507 InsufficientStorage; the server never saw it. */
  "507",
] as const;
export type Fault = (typeof faults)[number];

export interface ProxiedRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  /** What it asks for, by S3's name; `Other` for what no test tells apart. */
  readonly operation:
    | "PutObject"
    | "CreateMultipartUpload"
    | "UploadPart"
    | "CompleteMultipartUpload"
    | "AbortMultipartUpload"
    | "ListMultipartUploads"
    | "GetObject"
    | "HeadObject"
    | "Other";
  /** Number of the part; NaN for all else. */
  readonly part: number;
}

export interface S3FaultProxy {
  readonly endpoint: string;
  /** All requests so far. */
  readonly requests: readonly ProxiedRequest[];
  stop(): Promise<void>;
}

/** @param target `http://host:port` of the real server; @param faultOf is asked for every request. */
export function startS3FaultProxy(
  target: string,
  faultOf: (request: ProxiedRequest) => Fault | undefined,
): Promise<S3FaultProxy> {
  const requests: ProxiedRequest[] = [];
  return serve((req, res) => {
    const described = describeRequest(req);
    requests.push(described);
    const fault = faultOf(described);
    const possible = fault !== "error in a 200" || described.operation === "CompleteMultipartUpload";
    misbehave(target, possible ? fault : undefined, req, res);
  }, requests);
}

/** A server of the test's own, which is no S3 server at all. */
export async function serve(
  handler: (req: IncomingMessage, res: ServerResponse) => void,
  requests: readonly ProxiedRequest[] = [],
): Promise<S3FaultProxy> {
  const server = createServer(handler);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    stop: async () => {
      server.closeAllConnections();
      if (server.listening) await new Promise((done) => server.close(done));
    },
  };
}

function describeRequest({ method = "", url = "", headers }: IncomingMessage): ProxiedRequest {
  const query = new URL(url, "http://proxy").searchParams;
  return {
    method,
    url,
    headers,
    operation: operationOf(method, query),
    part: Number(query.get("partNumber") ?? Number.NaN),
  };
}

function operationOf(method: string, query: URLSearchParams): ProxiedRequest["operation"] {
  const upload = query.has("uploadId");
  if (method === "POST")
    return upload ? "CompleteMultipartUpload" : query.has("uploads") ? "CreateMultipartUpload" : "Other";
  if (method === "PUT") return upload ? "UploadPart" : query.get("x-id") === "PutObject" ? "PutObject" : "Other";
  if (method === "GET" && query.get("x-id") === "GetObject") return "GetObject";
  if (method === "GET" && query.has("uploads")) return "ListMultipartUploads";
  if (method === "DELETE" && upload) return "AbortMultipartUpload";
  return method === "HEAD" ? "HeadObject" : "Other";
}

function misbehave(target: string, fault: Fault | undefined, req: IncomingMessage, res: ServerResponse): void {
  const refuse = (status: number, code: string): void => {
    // Only once all has arrived: an answer in the middle of an upload breaks the connection for many clients.
    req.resume().on("end", () => res.writeHead(status, { "content-type": "application/xml" }).end(errorDocument(code)));
  };
  switch (fault) {
    case "500":
      return refuse(500, "InternalError");
    case "503":
      return refuse(503, "SlowDown");
    case "400":
      return refuse(400, "InvalidArgument");
    case "403":
      return refuse(403, "AccessDenied");
    case "501":
      return refuse(501, "NotImplemented");
    case "507":
      return refuse(507, "InsufficientStorage");
    case "expired token":
      return refuse(400, "ExpiredToken");
    case "error in a 200":
      return refuse(200, "InternalError");
    case "reset before":
      return void req.socket.destroy();
    case "stall":
      return void req.resume();
    case "keeps nothing":
      return void req.resume().on("end", () => res.writeHead(200, { etag: '"00"' }).end(completed));
    case "keeps half":
    case "keeps other bytes":
      return void lie(target, fault, req, res);
    case "trickle":
      return trickle(target, req);
    default:
      return handOn(target, fault, req, res);
  }
}

function handOn(target: string, fault: Fault | undefined, req: IncomingMessage, res: ServerResponse): void {
  const onward = request(target + (req.url ?? ""), { method: req.method, headers: req.headers }, (answer) => {
    if (fault === "reset after") {
      answer.resume().on("end", () => req.socket.destroy());
      return;
    }
    if (fault === "500 after") {
      answer.resume().on("end", () => res.writeHead(500).end(errorDocument("InternalError")));
      return;
    }
    res.writeHead(answer.statusCode ?? 500, answer.headers);
    if (fault !== "cut the answer" && fault !== "stall the answer") {
      answer.pipe(res);
      return;
    }
    let cut = false;
    const onCut = (): void => void (fault === "cut the answer" ? req.socket.destroy() : undefined);
    answer.on("data", (chunk: Buffer) => {
      if (cut) return;
      cut = true;
      res.write(chunk.subarray(0, chunk.length / 2), onCut);
    });
    // An answer without a body has no half.
    answer.on("end", () => (cut ? undefined : req.socket.destroy()));
  });
  onward.on("error", () => req.socket.destroy());
  req.pipe(onward);
}

const completed = "<CompleteMultipartUploadResult><ETag>00</ETag></CompleteMultipartUploadResult>";

/** Writes something else under the same name, with the credentials of this process: the request's own signature forbids it. */
async function lie(target: string, how: Fault, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = new URL(req.url ?? "", target);
  const [, bucket = "", ...key] = decodeURIComponent(url.pathname).split("/");
  const body = await buffer(req);
  const kept = how === "keeps half" ? body.subarray(0, body.length / 2) : Buffer.from(body.map((byte) => byte ^ 1));
  const place = { Bucket: bucket, Key: key.join("/"), Body: kept };
  const client = new S3Client({ endpoint: target, forcePathStyle: true });
  const upload = url.searchParams.get("uploadId");
  const part = Number(url.searchParams.get("partNumber"));
  const { ETag, ChecksumCRC32 = "" } =
    upload === null
      ? await client.send(
          new PutObjectCommand({ ...place, Metadata: { writer: String(req.headers["x-amz-meta-writer"]) } }),
        )
      : await client.send(
          new UploadPartCommand({ ...place, UploadId: upload, PartNumber: part, ChecksumAlgorithm: "CRC32" }),
        );
  client.destroy();
  res.writeHead(200, { etag: ETag, "x-amz-checksum-crc32": ChecksumCRC32 }).end();
}

/** Sixteen bytes ten times a second. */
function trickle(target: string, req: IncomingMessage): void {
  const onward = request(target + (req.url ?? ""), { method: req.method, headers: req.headers });
  onward.on("error", () => req.socket.destroy());
  const timer = setInterval(() => {
    const chunk = req.read(16) as Buffer | null;
    if (chunk !== null) onward.write(chunk);
  }, 100);
  req.socket.once("close", () => {
    clearInterval(timer);
    onward.destroy();
  });
}

function errorDocument(code: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>from the test</Message></Error>`;
}

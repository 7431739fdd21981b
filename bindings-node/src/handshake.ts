/** What is known of a client from the request that opened its connection. */

import { type IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Socket as NetSocket } from "node:net";
import { type ParsedUrlQuery, parse } from "node:querystring";

/** The head of a request, as the core sends it. */
export interface RequestHead {
  method: string;
  url: string;
  /** Names and values in turn. */
  headers: string[];
  address?: string;
  port?: number;
  secure: boolean;
}

/** A handshake, as the core sends it. */
export interface HandshakeRecord extends RequestHead {
  /** The connection's id. */
  engine: string;
  /** The number that the request had on its way in, or 0. */
  tag: number;
  protocol: number;
  transport: string;
  /** Milliseconds since the epoch. */
  issued: number;
}

/** What applications get to know of a client's first request. */
export interface Handshake {
  /** The headers of the request. */
  headers: IncomingHttpHeaders;
  /** The date of its arrival, as text. */
  time: string;
  /** The client's address. */
  address: string;
  /** Whether it came from another origin. */
  xdomain: boolean;
  /** Whether the connection is encrypted. */
  secure: boolean;
  /** Milliseconds since the epoch. */
  issued: number;
  /** The request's target. */
  url: string;
  /** The target's query, decoded; an object without a prototype. */
  query: ParsedUrlQuery;
  /** What the client sent when it connected to the namespace. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever the client sent.
  auth: { [key: string]: any };
}

/** A request as the engine sees it. */
export type EngineRequest = IncomingMessage & {
  /** The target's query, decoded. */
  _query: ParsedUrlQuery;
};

/** Makes the handshake of one socket. An application may have deleted the request. */
export function makeHandshake(
  record: HandshakeRecord,
  request: EngineRequest | undefined,
  auth: Handshake["auth"],
): Handshake {
  return {
    headers: request?.headers ?? {},
    time: `${new Date(record.issued)}`,
    address: record.address as string,
    xdomain: request?.headers.origin !== undefined,
    secure: request === undefined || record.secure,
    issued: record.issued,
    url: record.url,
    query: request?._query ?? {},
    auth,
  };
}

/** The query of a request's target. */
export function queryOf(url: string): ParsedUrlQuery {
  const start = url.indexOf("?");
  return parse(start === -1 ? "" : url.slice(start + 1));
}

/** A request object for a request that Node's own HTTP server has not seen, or whose object was not kept. */
export function makeRequest(head: RequestHead): EngineRequest {
  const request = new IncomingMessage(new NetSocket()) as EngineRequest;
  request.method = head.method;
  request.url = head.url;
  request.httpVersion = "1.1";
  request.httpVersionMajor = 1;
  request.httpVersionMinor = 1;
  request.rawHeaders = head.headers;
  request.headers = joinHeaders(head.headers);
  request._query = queryOf(head.url);
  const connection = { remoteAddress: head.address, remotePort: head.port, encrypted: head.secure };
  for (const [key, value] of Object.entries(connection)) {
    Object.defineProperty(request.socket, key, { value, configurable: true });
  }
  return request;
}

/** Joins repeated headers as Node does. */
function joinHeaders(raw: string[]): IncomingHttpHeaders {
  const headers: IncomingHttpHeaders = {};
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] as string).toLowerCase();
    const value = raw[i + 1] as string;
    const before = headers[name];
    if (name === "set-cookie") headers[name] = [...(headers[name] ?? []), value];
    else if (before === undefined) headers[name] = value;
    else if (!KEEP_FIRST.has(name)) headers[name] = `${before}${name === "cookie" ? "; " : ", "}${value}`;
  }
  return headers;
}

/** Headers of which only the first counts. */
const KEEP_FIRST = new Set([
  "authorization",
  "content-length",
  "content-type",
  "from",
  "host",
  "if-modified-since",
  "if-unmodified-since",
  "location",
  "max-forwards",
  "proxy-authorization",
  "referer",
  "retry-after",
  "user-agent",
]);

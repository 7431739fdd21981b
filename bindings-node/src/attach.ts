/**
 * The entry point through an HTTP server of the application: which requests are for Socket.IO, and how the core gets
 * them.
 */

import type { Server as HttpServer, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { ServerResponse as Response, validateHeaderName, validateHeaderValue } from "node:http";
import { Socket as NetSocket } from "node:net";
import type { Duplex } from "node:stream";
import type { Bridge } from "./bridge";
import type { Engine } from "./engine";
import { type EngineRequest, queryOf } from "./handshake";
import type { HttpHandler } from "./http-records";
import { decideOrigin } from "./options";
import { clientFile, serveClientFile } from "./serve-client";
import type { Server } from "./server";
import { warn } from "./warning";

/** How long an ended stream may take to flush. */
const STREAM_END_MS = 2000;

/** Hands requests and upgrades of HTTP servers to the core, and the core's answers back. */
export class HttpEntryPoint implements HttpHandler {
  readonly #server: Server;
  readonly #engine: Engine;
  readonly #bridge: () => Bridge | undefined;
  readonly #requests = new Map<number, { request: EngineRequest; response: ServerResponse }>();
  readonly #streams = new Map<number, { bridge: Bridge; socket: Duplex }>();

  constructor(server: Server, engine: Engine, bridge: () => Bridge | undefined) {
    this.#server = server;
    this.#engine = engine;
    this.#bridge = bridge;
  }

  /** Attaches to an HTTP server. Its other listeners get the requests that are not for Socket.IO. */
  open(http: HttpServer): void {
    const base = this.#server.path();
    const { addTrailingSlash, transports, destroyUpgrade } = this.#server.opts;
    const path = addTrailingSlash === false ? base : `${base}/`;
    const others = http.listeners("request").slice() as ((...args: unknown[]) => void)[];
    http.removeAllListeners("request");
    http.on("request", (request, response) => {
      const url = request.url as string;
      const file = this.#server.serveClient() ? clientFile(base, url) : undefined;
      if (file !== undefined) this.#serveFile(file, request, response);
      else if (url.startsWith(path)) this.#onRequest(request as EngineRequest, response);
      else for (const listener of others) listener.call(http, request, response);
    });
    if (transports !== undefined && !transports.includes("websocket")) return;
    http.on("upgrade", (request, socket, head) => {
      if ((request.url as string).startsWith(path)) this.#onUpgrade(request as EngineRequest, socket, head);
      else if (destroyUpgrade !== false) this.#destroyLater(socket);
    });
  }

  #serveFile(name: string, request: IncomingMessage, response: ServerResponse): void {
    const { cors } = this.#server.opts;
    if (cors === undefined) {
      serveClientFile(name, request, response);
      return;
    }
    decideOrigin(cors, request.headers, (decision) => {
      const origin = decision === "own" ? request.headers.origin : decision.replace(/^=/, "");
      if (origin) response.setHeader("Access-Control-Allow-Origin", origin);
      if (origin && origin !== "*") response.setHeader("Vary", "Origin");
      if (cors.credentials) response.setHeader("Access-Control-Allow-Credentials", "true");
      serveClientFile(name, request, response);
    });
  }

  /** Closes an upgrade that nobody answers, which would stay open for ever. */
  #destroyLater(socket: Duplex): void {
    const end = () => {
      if (!socket.writable || (socket as NetSocket).bytesWritten > 0) return;
      socket.on("error", () => {});
      socket.end();
    };
    setTimeout(end, this.#server.opts.destroyUpgradeTimeout || 1000);
  }

  // ---- Requests

  #onRequest(request: EngineRequest, response: ServerResponse): void {
    if (!this.#engine._isWatched) {
      this.#proxy(request, response);
      return;
    }
    request._query = queryOf(request.url as string);
    (request as EngineRequest & { res: ServerResponse }).res = response;
    this.#engine._run(request, response, (error) => {
      if (error) refuse(response);
      else this.#proxy(request, response);
    });
  }

  #proxy(request: EngineRequest, response: ServerResponse): void {
    const bridge = this.#bridge();
    if (bridge === undefined) {
      refuse(response);
      return;
    }
    if (response.destroyed) return;
    const tag = this.#engine._tag();
    const kept = this.#engine._keep(tag, request);
    this.#requests.set(tag, { request, response });
    const hasBody = request.method !== "GET" && request.method !== "OPTIONS";
    try {
      if (bridge.flushed.request(headOf(request), tag, kept, hasBody)) bridge.wakeLater();
    } catch {
      // Node accepts some request heads that the core refuses.
      this.#requests.delete(tag);
      refuse(response);
      return;
    }
    if (hasBody) this.#pumpBody(bridge, tag, request);
    const abort = () => {
      if (this.#requests.delete(tag)) bridge.native.requestAbort(tag);
    };
    response.on("close", abort);
    // A pipelined response that is still queued gets no `close`; its request does.
    request.on("close", () => {
      if (request.readableAborted) abort();
    });
  }

  #pumpBody(bridge: Bridge, tag: number, request: EngineRequest): void {
    request.on("data", (chunk: Buffer) => {
      if (bridge.native.requestBody(tag, chunk)) request.pause();
    });
    request.on("end", () => {
      if (bridge.flushed.requestEnd(tag)) bridge.wakeLater();
    });
  }

  /** The core has room for more of a body or stream. */
  onResumeBody(tag: number): void {
    this.#requests.get(tag)?.request.resume();
    this.#streams.get(tag)?.socket.resume();
  }

  /** The core has answered a request. */
  onResponse(tag: number, status: number, headers: string[], body: string | Buffer): void {
    const proxied = this.#requests.get(tag);
    if (proxied === undefined) return;
    this.#requests.delete(tag);
    const { request, response } = proxied;
    try {
      if (this.#engine._isWatched) this.#tellHeaders(headers, request);
    } finally {
      // The unread rest of a body must not block the connection.
      if (!request.readableEnded) request.resume();
      // HTTP/2 does not take headers as a list.
      const fields = request.httpVersionMajor === 1 ? headers : fieldsOf(headers);
      response.writeHead(status, fields as OutgoingHttpHeaders).end(body);
    }
  }

  /** The core does not need a request any more. */
  onForgetRequest(tag: number): void {
    this.#engine._forget(tag);
  }

  /** Lets the engine's listeners change the headers of an answer. */
  #tellHeaders(headers: string[], request: EngineRequest): void {
    const isHandshake = request._query?.sid === undefined;
    const fields = fieldsOf(headers);
    if (isHandshake) this.#engine.emit("initial_headers", fields, request);
    this.#engine.emit("headers", fields, request);
    headers.length = 0;
    for (const [name, value] of Object.entries(fields)) {
      for (const one of [value].flat()) if (canWrite(name, one)) headers.push(name, one);
    }
  }

  // ---- Upgrades

  #onUpgrade(request: EngineRequest, socket: Duplex, head: Buffer): void {
    request._query = queryOf(request.url as string);
    socket.on("error", () => {});
    if (!this.#engine._keepsRequests) {
      this.#handOver(request, socket, head);
      return;
    }
    // Nothing is read while middleware runs.
    socket.pause();
    const response = new Response(request);
    response.assignSocket(socket as NetSocket);
    response.on("finish", () => socket.end());
    this.#engine._run(request, response, (error) => {
      if (error) refuse(response);
      else if (!socket.destroyed) {
        response.detachSocket(socket as NetSocket);
        this.#handOver(request, socket, head);
      }
    });
  }

  /** Hands the descriptor of the connection to the core or, where there is none, passes its bytes on. */
  #handOver(request: EngineRequest, socket: Duplex, head: Buffer): void {
    const bridge = this.#bridge();
    if (bridge === undefined || socket.destroyed) {
      socket.destroy();
      return;
    }
    const tag = this.#engine._tag();
    const kept = this.#engine._keep(tag, request);
    const handle = plainHandle(socket);
    if (handle === undefined) {
      try {
        bridge.flushed.stream(headOf(request), tag, kept, head);
      } catch {
        // The core cannot read the head, and there is no response to refuse it with.
        socket.destroy();
        return;
      }
      this.#streams.set(tag, { bridge, socket });
      this.#pumpStream(bridge, tag, socket);
      return;
    }
    handle.readStop();
    const buffered: Buffer | null = socket.read();
    const readAlready = buffered === null ? head : Buffer.concat([head, buffered]);
    try {
      bridge.flushed.adopt(headOf(request), kept, handle.fd, readAlready);
    } catch {
      // The connection is already lost, or the core cannot read the head.
    } finally {
      // The core has duplicated the descriptor, so the connection stays open.
      socket.destroy();
    }
  }

  #pumpStream(bridge: Bridge, tag: number, socket: Duplex): void {
    socket.on("data", (chunk: Buffer) => {
      if (bridge.native.streamData(tag, chunk)) socket.pause();
    });
    socket.on("drain", () => bridge.native.streamDrained(tag));
    const end = () => {
      if (this.#streams.delete(tag)) bridge.native.streamEnd(tag);
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.resume();
  }

  /** How many requests and streams are under way. */
  get _open(): number {
    return this.#requests.size + this.#streams.size;
  }

  /** The core has bytes for a stream. */
  onStreamData(tag: number, chunk: Buffer): void {
    const stream = this.#streams.get(tag);
    if (stream?.socket.write(chunk)) stream.bridge.native.streamDrained(tag);
  }

  /** The core has nothing more for a stream. */
  onStreamEnd(tag: number): void {
    const stream = this.#streams.get(tag);
    this.#streams.delete(tag);
    if (stream === undefined) return;
    const { socket } = stream;
    // A client that does not read would keep the stream open for ever.
    const deadline = setTimeout(() => socket.destroy(), STREAM_END_MS);
    socket.on("close", () => clearTimeout(deadline));
    socket.end(() => socket.destroy());
  }
}

interface Handle {
  fd: number;
  readStop(): void;
}

/** The descriptor of a plain connection. There is none under TLS, in HTTP/2 streams and on Windows. */
function plainHandle(socket: Duplex): Handle | undefined {
  if (!(socket instanceof NetSocket) || (socket as { encrypted?: boolean }).encrypted) return undefined;
  const handle = (socket as NetSocket & { _handle?: Handle })._handle;
  return handle !== undefined && handle.fd >= 0 ? handle : undefined;
}

/** The head of a request as lines: header values have no line feeds. */
function headOf(request: IncomingMessage): string {
  const { remoteAddress = "", remotePort = 0 } = request.socket;
  const isSecure = (request.socket as { encrypted?: boolean }).encrypted ? "s" : "";
  const lines = [request.method, request.url, remoteAddress, remotePort, isSecure, ...request.rawHeaders];
  return lines.join("\n");
}

function fieldsOf(raw: string[]): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {};
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name, value] = [raw[i] as string, raw[i + 1] as string];
    const before = fields[name];
    fields[name] = before === undefined ? value : [before, value].flat();
  }
  return fields;
}

/** A header that cannot be written must not cost the client its answer. */
function canWrite(name: string, value: string): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch (error) {
    warn(`header left out: ${(error as Error).message}`);
    return false;
  }
}

/** What engine.io answers when a middleware has failed. */
function refuse(response: ServerResponse): void {
  const body = JSON.stringify({ code: 3, message: "Bad request" });
  response.writeHead(400, { "Content-Type": "application/json" }).end(body);
}

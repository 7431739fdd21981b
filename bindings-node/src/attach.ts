/**
 * The entry point through an HTTP server of the application: which requests are for Socket.IO, and how the core gets
 * them.
 */

import type {
  Server as HttpServer,
  IncomingMessage,
  OutgoingHttpHeader,
  OutgoingHttpHeaders,
  ServerResponse,
} from "node:http";
import { ServerResponse as Response, validateHeaderName, validateHeaderValue } from "node:http";
import { Socket as NetSocket } from "node:net";
import { stringify } from "node:querystring";
import type { Duplex } from "node:stream";
import type { Bridge } from "./bridge";
import { corsMiddleware } from "./cors-by-request";
import { debug } from "./debug";
import type { AttachOptions, EngineOptions } from "./engine-options";
import type { EngineServer } from "./engine-server";
import { type EngineRequest, queryOf } from "./handshake";
import type { HttpHandler } from "./http-records";
import { type CorsOptions, decideOrigin, type ServerOptions } from "./options";
import { serveClientFile } from "./serve-client";
import { warn } from "./warning";

/** How long an ended stream may take to flush. */
const STREAM_END_MS = 2000;

/** What an HTTP server is opened for. */
export interface EntryOptions extends Partial<AttachOptions> {
  /** Without the slash at its end. */
  path: string;
  transports?: EngineOptions["transports"];
  cors?: ServerOptions["cors"] | false;
  /** The file of the browser's client that a target asks for. */
  clientFile?(url: string): string | undefined;
}

/** Hands requests and upgrades of HTTP servers to the core, and the core's answers back. */
export class HttpEntryPoint implements HttpHandler {
  readonly #engine: EngineServer;
  readonly #bridge: () => Bridge | undefined;
  readonly #requests = new Map<number, { request: EngineRequest; response: ServerResponse }>();
  readonly #streams = new Map<number, { bridge: Bridge; socket: Duplex }>();

  constructor(engine: EngineServer, bridge: () => Bridge | undefined) {
    this.#engine = engine;
    this.#bridge = bridge;
  }

  /** Attaches to an HTTP server. Its other listeners get the requests that are not for Socket.IO. */
  open(http: HttpServer, options: EntryOptions): void {
    const { transports, destroyUpgrade, destroyUpgradeTimeout } = options;
    const path = options.addTrailingSlash === false ? options.path : `${options.path}/`;
    const others = http.listeners("request").slice() as ((...args: unknown[]) => void)[];
    http.removeAllListeners("request");
    debug.engine("requests of an HTTP server under %s go to the core", path);
    http.on("request", (request, response) => {
      const url = request.url as string;
      const file = options.clientFile?.(url);
      if (file !== undefined) this.#serveFile(file, options.cors, request, response);
      else if (url.startsWith(path)) {
        debug.engine('intercepting request for path "%s"', path);
        this.handleRequest(request as EngineRequest, response);
      } else for (const listener of others) listener.call(http, request, response);
    });
    http.on("close", () => {
      this.#engine._refusesWebSockets = false;
    });
    if (transports !== undefined && !transports.includes("websocket")) return;
    http.on("upgrade", (request, socket, head) => {
      if ((request.url as string).startsWith(path))
        this.handleUpgrade(request as EngineRequest, socket, head);
      else if (destroyUpgrade !== false) this.#destroyLater(socket, destroyUpgradeTimeout);
    });
  }

  #serveFile(
    name: string,
    cors: ServerOptions["cors"] | false | undefined,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    if (!cors) {
      serveClientFile(name, request, response);
      return;
    }
    const middleware = corsMiddleware(cors);
    if (middleware !== undefined) {
      middleware(request, response, () => serveClientFile(name, request, response));
      return;
    }
    decideOrigin(cors as CorsOptions, request.headers, (decision) => {
      const origin = decision === "own" ? request.headers.origin : decision.replace(/^=/, "");
      if (origin) response.setHeader("Access-Control-Allow-Origin", origin);
      if (origin && origin !== "*") response.setHeader("Vary", "Origin");
      if ((cors as CorsOptions).credentials) response.setHeader("Access-Control-Allow-Credentials", "true");
      serveClientFile(name, request, response);
    });
  }

  /** Closes an upgrade that nobody answers, which would stay open for ever. */
  #destroyLater(socket: Duplex, milliseconds: number | undefined): void {
    const end = () => {
      if (!socket.writable || (socket as NetSocket).bytesWritten > 0) return;
      socket.on("error", () => {});
      socket.end();
    };
    setTimeout(end, milliseconds || 1000);
  }

  // ---- Requests

  /** Serves a request. */
  handleRequest(request: EngineRequest, response: ServerResponse): void {
    debug.engine('handling "%s" http request "%s"', request.method, request.url);
    if (!this.#engine._keepsRequests) {
      this.#proxy(request, response);
      return;
    }
    prepare(request);
    (request as EngineRequest & { res: ServerResponse }).res = response;
    if (!this.#engine._hasMiddlewares) {
      this.#proxy(request, response);
      return;
    }
    this.#engine._run(request, response, (error) => {
      if (error) this.#fail(request, response);
      else this.#proxy(request, response);
    });
  }

  /** A function of `use` has failed. */
  #fail(request: EngineRequest, response: ServerResponse): void {
    try {
      this.#engine._tellRefusal(request, BAD_REQUEST, { name: "MIDDLEWARE_FAILURE" });
    } finally {
      refuse(response);
    }
  }

  #proxy(request: EngineRequest, response: ServerResponse): void {
    const bridge = this.#bridge();
    if (bridge === undefined) {
      refuse(response);
      return;
    }
    if (response.destroyed) return;
    const tag = this.#engine._tag();
    const kept = this.#engine._keep(tag, request, false);
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
      if (!this.#requests.delete(tag)) return;
      bridge.native.requestAbort(tag);
      this.#engine._onNoAnswer(tag);
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
  onResponse(tag: number, status: number, headers: string[], body: string | Buffer, opened?: string): void {
    const proxied = this.#requests.get(tag);
    if (proxied === undefined) return;
    this.#requests.delete(tag);
    const { request, response } = proxied;
    let fields: OutgoingHttpHeaders | string[] = headers;
    let whenSent = () => {};
    try {
      // What a listener throws must not cost the client its answer.
      whenSent = this.#tellAnswer(tag, request, opened);
      if (status === 200 && this.#engine._tellsHeaders) fields = this.#tellHeaders(headers, request, body);
    } finally {
      // The unread rest of a body must not block the connection.
      if (!request.readableEnded) request.resume();
      // HTTP/2 does not take headers as a list.
      const isList = Array.isArray(fields) && request.httpVersionMajor !== 1;
      const written = isList ? namesAndValues(headers) : fields;
      response.writeHead(status, written as OutgoingHttpHeaders).end(body);
      whenSent();
    }
  }

  /** Returns what is to be called when the answer is on its way. */
  #tellAnswer(tag: number, request: EngineRequest, opened: string | undefined): () => void {
    if (opened !== undefined) return this.#engine._onOpeningAnswer(tag, opened);
    return this.#engine._onAnswer(request._query?.sid);
  }

  /** Whether the core works on this request. */
  isUnanswered(tag: number): boolean {
    return this.#requests.has(tag);
  }

  /** The core does not need a request any more. */
  onForgetRequest(tag: number): void {
    this.#engine._forget(tag);
  }

  /** Lets the engine's listeners change the headers of an answer. */
  #tellHeaders(headers: string[], request: EngineRequest, body: string | Buffer): OutgoingHttpHeaders {
    const fields = namesAndValues(headers);
    const length = Buffer.byteLength(body);
    // As in engine.io, to the letter.
    fields["Content-Length"] = request.method === "POST" ? String(length) : length;
    try {
      this.#engine._tellHeaders(fields, request, !request._query?.sid);
    } finally {
      for (const [name, value] of Object.entries(fields)) {
        if (!canWrite(name, value)) delete fields[name];
      }
    }
    return fields;
  }

  // ---- Upgrades

  /** Serves a request for a WebSocket. */
  handleUpgrade(request: EngineRequest, socket: Duplex, head: Buffer): void {
    prepare(request);
    socket.on("error", () => {});
    if (this.#engine._refusesWebSockets) {
      socket.once("finish", () => socket.destroy());
      socket.end(CLOSED);
      return;
    }
    if (!this.#engine._hasMiddlewares) {
      this.#handOver(request, socket, head);
      return;
    }
    // Nothing is read while middleware runs.
    socket.pause();
    const response = new Response(request);
    response.assignSocket(socket as NetSocket);
    response.on("finish", () => socket.end());
    this.#engine._run(request, response, (error) => {
      if (error) this.#failUpgrade(request, response);
      else if (!socket.destroyed) {
        response.detachSocket(socket as NetSocket);
        // Some functions wait for this moment to set theirs. Nothing is written.
        response.writeHead(101);
        this.#engine._keepHeaders(request, { ...response.getHeaders() });
        this.#handOver(request, socket, head);
      }
    });
  }

  #failUpgrade(request: EngineRequest, response: ServerResponse): void {
    try {
      this.#engine._tellRefusal(request, BAD_REQUEST, { name: "MIDDLEWARE_FAILURE" });
    } finally {
      response.writeHead(400, { "Content-Type": "text/html", Connection: "close" }).end("Bad request");
    }
  }

  /** Hands the descriptor of the connection to the core or, where there is none, passes its bytes on. */
  #handOver(request: EngineRequest, socket: Duplex, head: Buffer): void {
    const bridge = this.#bridge();
    if (bridge === undefined || socket.destroyed) {
      socket.destroy();
      return;
    }
    const tag = this.#engine._tag();
    const kept = this.#engine._keep(tag, request, true);
    const handle = plainHandle(socket);
    if (handle === undefined) {
      debug.engine('upgrade "%s": passed through, Node carries the bytes', request.url);
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
    debug.engine('upgrade "%s": taken over, the core has the connection', request.url);
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
    socket.on("end", () => {
      end();
      // Node's HTTP server lets connections stay half open.
      endSoon(socket);
    });
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
    if (stream !== undefined) endSoon(stream.socket);
  }
}

/** Answers a request for a WebSocket after `close()` of the engine. */
const CLOSED =
  "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 19\r\n\r\n" +
  "Service Unavailable";

/** Ends a stream when everything is written. A client that does not read cannot keep it open. */
function endSoon(socket: Duplex): void {
  const deadline = setTimeout(() => socket.destroy(), STREAM_END_MS);
  socket.on("close", () => clearTimeout(deadline));
  socket.end(() => socket.destroy());
}

interface Handle {
  fd: number;
  readStop(): void;
}

/** The descriptor of a plain connection. There is none under TLS, in HTTP/2 streams, on Windows and in Bun. */
function plainHandle(socket: Duplex): Handle | undefined {
  if (!(socket instanceof NetSocket) || (socket as { encrypted?: boolean }).encrypted) return undefined;
  const handle = (socket as NetSocket & { _handle?: Handle | null })._handle;
  return handle && handle.fd >= 0 ? handle : undefined;
}

/** The head of a request as lines: header values have no line feeds. */
function headOf(request: EngineRequest): string {
  const { remoteAddress = "", remotePort = 0 } = request.socket;
  const isSecure = (request.socket as { encrypted?: boolean }).encrypted ? "s" : "";
  const lines = [
    request.method,
    targetOf(request),
    remoteAddress,
    remotePort,
    isSecure,
    ...request.rawHeaders,
  ];
  return lines.join("\n");
}

/** Requests whose query somebody has set before. */
const QUERIES_GIVEN = new WeakSet<EngineRequest>();

/** Reads a request's query, unless somebody has done that. */
function prepare(request: EngineRequest): void {
  if (request._query === undefined) request._query = queryOf(request.url as string);
  else QUERIES_GIVEN.add(request);
}

/** The target, with the query that counts. */
function targetOf(request: EngineRequest): string {
  if (!QUERIES_GIVEN.has(request)) return request.url as string;
  const [path] = (request.url as string).split("?", 1);
  return `${path}?${stringify(request._query)}`;
}

/** How engine.io writes the names of headers that it sets. */
const SPELLING: Record<string, string> = {
  "content-type": "Content-Type",
  "content-encoding": "Content-Encoding",
  "set-cookie": "Set-Cookie",
  "x-xss-protection": "X-XSS-Protection",
};

function namesAndValues(raw: string[]): OutgoingHttpHeaders {
  const fields: OutgoingHttpHeaders = {};
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name, value] = [raw[i] as string, raw[i + 1] as string];
    const spelled = SPELLING[name] ?? name;
    const before = fields[spelled] as string | string[] | undefined;
    const isFirst = before === undefined && spelled !== "Set-Cookie";
    fields[spelled] = isFirst ? value : [before ?? [], value].flat();
  }
  return fields;
}

/** A header that cannot be written must not cost the client its answer. */
function canWrite(name: string, value: OutgoingHttpHeader | undefined): boolean {
  try {
    validateHeaderName(name);
    for (const one of [value].flat()) validateHeaderValue(name, one as string);
    return true;
  } catch (error) {
    warn(`header left out: ${(error as Error).message}`);
    return false;
  }
}

const BAD_REQUEST = 3;

/** What engine.io answers when a middleware has failed. */
function refuse(response: ServerResponse): void {
  const body = JSON.stringify({ code: 3, message: "Bad request" });
  response.writeHead(400, { "Content-Type": "application/json" }).end(body);
}

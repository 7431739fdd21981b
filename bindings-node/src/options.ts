/** The options of a server, in socket.io's names and in milliseconds, and their way to the core. */

import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { types } from "node:util";
import type { AdapterConstructor } from "./adapter";
import type { CorsOptionsDelegate } from "./cors-by-request";
import { native } from "./native";
import { corsRules, inTableForms } from "./option-forms";
import type { Parser } from "./parser";
import { isWellFormed } from "./value";

/** Answers whether a request may open a connection; the message is what a refused client gets. */
export type AllowRequest = (
  request: IncomingMessage,
  answer: (message: string | null | undefined, isAllowed: boolean) => void,
) => void;

/** An origin, a list or pattern of origins, or whether all are allowed. */
export type StaticOrigin = boolean | string | RegExp | (boolean | string | RegExp)[];

/** Answers which origin may read the answer to a request. */
export type OriginFunction = (
  origin: string | undefined,
  answer: (error: Error | null, origin?: StaticOrigin) => void,
) => void;

/** Cross-origin rules, as npm's package `cors` takes them. */
export interface CorsOptions {
  /**
   * Whose pages may read answers: an origin, a pattern, a list of them, `*` or `true` for all, `false` for
   * none, or a function that decides. Default `*`.
   */
  origin?: StaticOrigin | OriginFunction;
  /** The methods that a page may use. Default `GET,HEAD,PUT,PATCH,POST,DELETE`. */
  methods?: string | string[];
  /** The request headers that a page may set. Default: those that it asks for. */
  allowedHeaders?: string | string[];
  /** The response headers that a page may read. Default: none. */
  exposedHeaders?: string | string[];
  /** Whether a page may send cookies. Default `false`. */
  credentials?: boolean;
  /** For how many seconds a browser may keep the answer to a preflight. Default: not said. */
  maxAge?: number;
  /** Whether a preflight is handled like any other request. Default `false`. */
  preflightContinue?: boolean;
  /** The status that answers a preflight. Some old browsers want 200. Default 204. */
  optionsSuccessStatus?: number;
}

/** The cookie that a handshake sets, with the attributes of npm's package `cookie`. */
export interface CookieOptions {
  /** The cookie's name. Default `io`. */
  name?: string;
  /** Its path. Default `/`. */
  path?: string;
  /** Whether scripts of a page cannot read it. Default `true`. */
  httpOnly?: boolean;
  /** Whether requests from other sites carry it. Default `lax`. */
  sameSite?: boolean | "lax" | "strict" | "none";
  /** Whether it is sent over TLS only. Default `false`. */
  secure?: boolean;
  /** Its domain. Default: the server's own. */
  domain?: string;
  /** How many seconds a browser keeps it. Default: the browser's session. */
  maxAge?: number;
  /** Until when a browser keeps it. Default: the browser's session. */
  expires?: Date;
  /** Whether a page in a frame has one of its own for each site around it. Default `false`. */
  partitioned?: boolean;
  /** How early a browser that has too many drops it. Default: the browser's own. */
  priority?: "low" | "medium" | "high";
}

/** Bounds on what one client, or all of them together, may ask for. */
export interface Limits {
  /** Binary values in one packet. From 0 to 1 000. Default 10. */
  maxAttachments?: number;
  /** Nesting of lists and objects in a packet. From 1 to 100 000. Default 512. */
  maxDepth?: number;
  /**
   * How long the binary values of one packet may take to arrive. In milliseconds, from 1 to 86 400 000.
   * Default 30 000.
   */
  attachmentsTimeout?: number;
  /** Namespaces one connection may be in. At least 1. Default 100. */
  maxNamespacesPerConnection?: number;
  /** Fragments of one WebSocket message. At least 1. Default 1 024. */
  maxFragments?: number;
  /** Length of a request's head on the server's own port. In bytes, from 8 KiB to 1 MiB. Default 16 KiB. */
  maxHeaderBytes?: number;
  /**
   * How long a request's head, or a TLS handshake, may take on the server's own port. In milliseconds, from 1
   * to 86 400 000. Default 10 000.
   */
  headerTimeout?: number;
  /** Connections of the server. A handshake beyond is answered with 503. At least 1. Default 1 000 000. */
  maxConnections?: number;
  /**
   * Events that wait for the application. Beyond it messages wait with their clients, which take turns, and
   * handshakes wait; nothing is dropped. From 16 to 1 073 741 824. Default 16 384.
   */
  hostQueue?: number;
  /**
   * Length of the events that wait for the application, with the same effect. In bytes, at least 1. Default
   * 64 MiB.
   */
  hostQueueBytes?: number;
  /**
   * Events of one client that wait for the application or that it is at work on. Beyond it no more are taken
   * from this client. A long one counts as several: one for each 4 KiB by default. While the client is asked
   * for an answer, half of the whole queue may be under way. From 1 to 1 073 741 824. Default 256.
   */
  hostQueueShare?: number;
  /**
   * Handshakes, and requests whose origin the application is asked about, that wait for the application.
   * Those beyond are answered with 503. At least 1. Default 1 024.
   */
  maxWaitingRequests?: number;
  /**
   * Length of the answers that one emit to many clients gathers. Beyond it, it fails with those it has. In
   * bytes, at least 1. Default 16 MiB.
   */
  maxAckBytes?: number;
  /** The same of all such emits together. In bytes, at least 1. Default 64 MiB. */
  maxTotalAckBytes?: number;
  /**
   * Packets in one answer to a poll. python-socketio's client takes no more than 16. At least 1. Default 16.
   */
  maxPacketsPerPoll?: number;
}

/** What happens to a client that does not read what it is sent. */
export interface OutboxLimits {
  /** How much may wait for one client. In bytes, at least 1 KiB. Default 16 MiB. */
  maxBytes?: number;
  /**
   * What happens beyond: the client is disconnected, or its oldest or newest events are dropped. Default
   * `disconnect`.
   */
  policy?: "disconnect" | "drop-oldest" | "drop-newest";
}

/** What of polling bodies is compressed. */
export interface CompressionOptions {
  /** From which length on. In bytes. Default 1 KiB. */
  threshold?: number;
}

/** How zlib compresses. */
export interface ZlibDeflateOptions {
  /**
   * How much work is put into compression: from 0, none, to 9; -1 for zlib's default, which is 6. Default: that of
   * zlib.
   */
  level?: number;
  /** Others are without effect. */
  [other: string]: unknown;
}

/** What of WebSocket messages is compressed, and how. */
export interface MessageCompressionOptions {
  /** From which length on messages to clients are compressed. In bytes. Default 1 KiB. */
  threshold?: number;
  /**
   * Whether the server compresses each message by itself, without looking back at earlier ones. If false, a client
   * that asks for it gets no compression. Default: as the client asks.
   */
  serverNoContextTakeover?: boolean;
  /**
   * Whether clients have to compress each message by itself. The server then keeps nothing of their messages. Default
   * `false`.
   */
  clientNoContextTakeover?: boolean;
  /**
   * How far the server looks back: over 2 to the power of so many bytes. A client that wants it to look back less
   * gets no compression; if false, neither does any that has a wish. Default: as the client asks.
   */
  serverMaxWindowBits?: number | boolean;
  /**
   * How far clients may look back, likewise. One that cannot be told so gets no compression. Default: as the client
   * asks.
   */
  clientMaxWindowBits?: number | boolean;
  /**
   * How much is kept of earlier messages of all clients together. Each new client has all that it may need reserved,
   * 32 KiB unless its window is smaller. Beyond, messages are compressed each by itself. In bytes. Default 256 MiB.
   */
  maxMemory?: number;
  /**
   * Options of zlib for messages to clients. All but `level` are without effect: a thread has one compressor for all
   * its connections.
   */
  zlibDeflateOptions?: ZlibDeflateOptions;
  /** Options of zlib for messages from clients. Taken for compatibility, without effect. Default: none. */
  zlibInflateOptions?: object;
  /**
   * Taken for compatibility, without effect: the I/O threads compress, as many as there are. Default: none.
   */
  concurrencyLimit?: number;
  /** Others are without effect. */
  [other: string]: unknown;
}

/** For how long, and for how many, a client that lost its connection may continue where it was. */
export interface RecoveryOptions {
  /**
   * How long a session and the events it misses are kept. In milliseconds, from 1 to 86 400 000. Default 120
   * 000.
   */
  maxDisconnectionDuration?: number;
  /** Whether a recovered client passes no middleware. Default `true`. */
  skipMiddlewares?: boolean;
  /** How many events a namespace keeps for replay. At least 1. Default 10 000. */
  maxPackets?: number;
  /** How much of events a namespace keeps for replay. In bytes, at least 1. Default 64 MiB. */
  maxBytes?: number;
  /** How many sessions a namespace keeps. At least 1. Default 100 000. */
  maxSessions?: number;
}

/** The options of a `Server`. */
export interface ServerOptions {
  /** The path under which the server answers. Default `/socket.io`. */
  path: string;
  /**
   * The transports that clients may use. `webtransport` may be in the list, but is not offered. Default:
   * both.
   */
  transports: ("polling" | "websocket" | "webtransport")[];
  /** Whether a client may move from long-polling to WebSocket. Default `true`. */
  allowUpgrades: boolean;
  /**
   * Time between two pings. A shorter one finds dead clients sooner and costs traffic. In milliseconds, from
   * 1 to 86 400 000. Default 25 000.
   */
  pingInterval: number;
  /** How long a client may take to answer a ping. In milliseconds, from 1 to 86 400 000. Default 20 000. */
  pingTimeout: number;
  /** How long an upgrade may take. In milliseconds, from 1 to 86 400 000. Default 10 000. */
  upgradeTimeout: number;
  /**
   * How long a client may stay without joining a namespace. In milliseconds, from 1 to 86 400 000. Default 45
   * 000.
   */
  connectTimeout: number;
  /**
   * How long nothing follows a CONNECT packet on a WebSocket, for simple clients that only then listen for
   * the next. It delays the first events of every client. In milliseconds, from 0 to 1 000. Default 0.
   */
  connectPause: number;
  /**
   * The largest incoming message and polling body. A longer body is answered with 413, a longer WebSocket
   * message closes the connection. So does a text that is longer than a string of JavaScript can be (512
   * MiB). In bytes, from 1 to 1 GiB. Default 1 000 000.
   */
  maxHttpBufferSize: number;
  /** Whether clients of Socket.IO 2 are served. Default `false`. */
  allowEIO3: boolean;
  /**
   * The form of packets, as the package that writes it: an object with `Encoder` and `Decoder`. The core itself
   * reads and writes those of `socket.io-parser` and `socket.io-msgpack-parser`, which is faster; with another
   * one there is `connectionStateRecovery` by an `adapter` only. Default `socket.io-parser`.
   */
  parser: unknown;
  /**
   * What makes the namespaces' adapters, by which servers of a cluster know of each other: a class or a function,
   * as the packages that adapt to Redis, PostgreSQL and others export it. Default: the server is alone.
   */
  adapter: AdapterConstructor;
  /** Cross-origin rules, as npm's package `cors` takes them. */
  cors: CorsOptions | CorsOptionsDelegate;
  /**
   * The cookie with the session's id that a handshake sets, with the attributes of npm's package `cookie`;
   * `true` for their defaults. Default `false`.
   */
  cookie: CookieOptions | boolean;
  /**
   * Whether polling bodies are compressed when the client accepts it. Default: with the following threshold.
   */
  httpCompression: boolean | CompressionOptions;
  /**
   * Compression of WebSocket messages (RFC 7692), for clients that offer it. It costs processor time, and memory for
   * each client: what is kept of its earlier messages, up to 32 KiB of those from it and 8 KiB of those to it.
   * Default: off.
   */
  perMessageDeflate: boolean | MessageCompressionOptions;
  /** Decides whether a request may open a connection. Default: every request may. */
  allowRequest: AllowRequest;
  /** Whether a dynamic namespace goes away with its last socket. Default `false`. */
  cleanupEmptyChildNamespaces: boolean;
  /**
   * Connection state recovery: a client that comes back in time keeps its id, rooms, data and missed events.
   * Default: off.
   */
  connectionStateRecovery: RecoveryOptions;
  /** Bounds on what one client, or all of them together, may ask for. */
  limits: Limits;
  /** What happens to a client that does not read what it is sent. */
  outbox: OutboxLimits;
  /**
   * Whether `new Server(port)` may listen with the core's own HTTP server, which is much faster for
   * long-polling and new connections. It does so while nothing needs Node's: listeners of `httpServer`,
   * `allowRequest`, functions of `engine.use()`, origins by pattern or function. Default `true`.
   */
  ownPort: boolean;
  /** Whether the files of the browser's client are served. Default `true`. */
  serveClient: boolean;
  /** Whether the path ends with a slash. Default `true`. */
  addTrailingSlash: boolean;
  /** Whether upgrade requests that nobody answers are ended. Default `true`. */
  destroyUpgrade: boolean;
  /** Milliseconds before they are. Default 1 000. */
  destroyUpgradeTimeout: number;
  /** Taken for compatibility, with a warning: the core has its own WebSockets. Default: the core's. */
  wsEngine: unknown;
}

/** The options that the core reads; of those in groups, the groups. */
const CORE_OPTIONS = native.NativeServer.optionTable()
  .filter(({ name, isRead }) => isRead && !name.includes("."))
  .map(({ name }) => name as keyof ServerOptions);

/**
 * The options as JSON text, as the core takes them. Its table of options says what each may be; what is a function
 * stays here and is asked for.
 */
export function optionsForCore(
  options: Partial<Omit<ServerOptions, "cors"> & { cors: ServerOptions["cors"] | false }>,
): string {
  const { parser, cookie } = options;
  const forms = inTableForms(options);
  const given = Object.fromEntries(CORE_OPTIONS.map((name) => [name, forms[name]]));
  given.parser = parserName(parser);
  // JSON has another form of dates than cookies.
  if (cookie && cookie !== true) given.cookie = { ...cookie, expires: cookie.expires?.toUTCString() };
  return JSON.stringify(given, writable);
}

/** What JSON cannot say comes to the core as an object with one key, by which it is known there. */
function writable(_name: string, value: unknown): unknown {
  if (typeof value === "function" || types.isRegExp(value)) return { $: "function" };
  if (typeof value === "string") return isWellFormed(value) ? value : { $: "text that is not well-formed" };
  if (typeof value === "number") return Number.isFinite(value) ? value : { $: String(value) };
  if (typeof value === "bigint") return { $: `${value}n` };
  return typeof value === "symbol" ? { $: String(value) } : value;
}

/** Whether only JavaScript can tell which origins are allowed. */
export function asksForOrigins(cors: ServerOptions["cors"] | false | undefined): boolean {
  if (typeof cors === "function") return true;
  const { origin } = (corsRules(cors) || {}) as CorsOptions;
  if (Array.isArray(origin)) return origin.some((one) => typeof one !== "string");
  return typeof origin === "function" || types.isRegExp(origin);
}

/** Decides about an origin by the rules that only JavaScript can follow. The result goes to the core as JSON text. */
export function decideOrigin(
  cors: CorsOptions,
  headers: IncomingHttpHeaders,
  answer: (decision: string) => void,
) {
  const own = headers.origin;
  const { origin: rule } = corsRules(cors) as CorsOptions;
  const decide = (origin: StaticOrigin | undefined): string => {
    if (origin === undefined || origin === "*") return "*";
    if (typeof origin === "string") return `=${origin}`;
    return matches(own, origin) ? "own" : "";
  };
  // A function is asked by a middleware: see `cors-by-request.ts`.
  answer(typeof rule === "function" ? "" : decide(rule));
}

function matches(own: string | undefined, origin: StaticOrigin): boolean {
  if (Array.isArray(origin)) return origin.some((one) => matches(own, one));
  if (typeof origin === "string") return own === origin;
  if (types.isRegExp(origin)) return own !== undefined && origin.test(own);
  return origin;
}

/** Which of the parsers that the core knows it is, or that it is one of the application's own. */
function parserName(parser: unknown): ParserName | undefined {
  if (parser === undefined || parser === null) return undefined;
  const { Encoder, Decoder, protocol } = parser as Parser & { protocol?: unknown };
  if (typeof Encoder !== "function" || typeof Decoder !== "function") {
    throw new TypeError("option `parser` must be an object with `Encoder` and `Decoder`");
  }
  // What is derived from a known one may do other things in the same words.
  const isDerived = isInherited(Encoder, "encode") || isInherited(Decoder, "add");
  if (protocol !== 5 || isDerived) return "application";
  const encoded = new Encoder().encode({ type: 0, nsp: "/" });
  const [message] = Array.isArray(encoded) ? encoded : [];
  if (message === "0") return "json";
  const isMap = message instanceof Uint8Array && (message[0] as number) >> 4 === 8;
  return isMap ? "msgpack" : "application";
}

function isInherited({ prototype }: { prototype: object }, method: string): boolean {
  return method in Object.getPrototypeOf(prototype);
}

type ParserName = "json" | "msgpack" | "application";

/** The parser of the application's own, if it has one. */
export function ownParser(parser: unknown): Parser | undefined {
  return parserName(parser) === "application" ? (parser as Parser) : undefined;
}

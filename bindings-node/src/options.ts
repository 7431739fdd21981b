/** The options of a server, in socket.io's names and in milliseconds, and their way to the core. */

import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
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
  /** Default `*`. */
  origin?: StaticOrigin | OriginFunction;
  /** Default `GET,HEAD,PUT,PATCH,POST,DELETE`. */
  methods?: string | string[];
  /** Request headers that a page may set. Default: those it asks for. */
  allowedHeaders?: string | string[];
  /** Response headers that a page may read. Default: none. */
  exposedHeaders?: string | string[];
  /** Whether a page may send cookies. Default `false`. */
  credentials?: boolean;
  /** For how many seconds a browser may keep the answer to a preflight. */
  maxAge?: number;
  /** Whether a preflight is handled like any other request. Default `false`. */
  preflightContinue?: boolean;
  /** The status that answers a preflight. Default 204. */
  optionsSuccessStatus?: number;
}

/** The cookie that a handshake sets, with the attributes of npm's package `cookie`. */
export interface CookieOptions {
  /** Default `io`. */
  name?: string;
  /** Default `/`. */
  path?: string;
  /** Default `true`. */
  httpOnly?: boolean;
  /** Default `lax`. */
  sameSite?: boolean | "lax" | "strict" | "none";
  secure?: boolean;
  domain?: string;
  /** Seconds. */
  maxAge?: number;
  expires?: Date;
}

/** Bounds on what one client, or all of them together, may ask for. */
export interface Limits {
  /** Attachments in one packet. Default 10. */
  maxAttachments?: number;
  /** Nesting of arrays and objects in a packet. Default 512. */
  maxDepth?: number;
  /** Milliseconds that the attachments of one packet may take to arrive. Default 30 000. */
  attachmentsTimeout?: number;
  /** Namespaces one connection may be in. Default 100. */
  maxNamespacesPerConnection?: number;
  /** Fragments of one WebSocket message. Default 1 024. */
  maxFragments?: number;
  /** Bytes of a request's head on the server's own port. Default 16 384. */
  maxHeaderBytes?: number;
  /** Milliseconds that a request's head may take on the server's own port. Default 10 000. */
  headerTimeout?: number;
  /** Connections of the server. Default 1 000 000. */
  maxConnections?: number;
  /**
   * Events that wait for the application. Beyond it messages wait with their clients, which take turns, and
   * handshakes wait. Default 16 384, from 16 to 2³⁰.
   */
  hostQueue?: number;
  /** Bytes of such events, with the same effect. Default 64 MiB. */
  hostQueueBytes?: number;
  /**
   * Events of one client that wait for the application; beyond, no more are taken from this client. A long one
   * counts as several: one for each 4 KiB by default. Default 256, from 1 to 2³⁰.
   */
  hostQueueShare?: number;
  /**
   * Handshakes, and requests whose origin the application is asked about, that wait for the application. Those beyond
   * are answered with 503. Default 1 024.
   */
  maxWaitingRequests?: number;
  /** Bytes of answers that one emit to many gathers; beyond, it fails with those it has. Default 16 MiB. */
  maxAckBytes?: number;
  /** The same of all such emits together. Default 64 MiB. */
  maxTotalAckBytes?: number;
  /** Packets in one answer to a poll. Default 16. */
  maxPacketsPerPoll?: number;
}

/** What happens to a client that does not read what it is sent. */
export interface OutboxLimits {
  /** Bytes that may wait for one client. Default 16 MiB. */
  maxBytes?: number;
  /** What happens beyond. Default `disconnect`. */
  policy?: "disconnect" | "drop-oldest" | "drop-newest";
}

/** The options of a `Server`. */
export interface ServerOptions {
  /** The path under which the server answers. Default `/socket.io`. */
  path: string;
  /** Default: `polling` and `websocket`. */
  transports: ("polling" | "websocket" | "webtransport")[];
  /** Whether a polling client may move to WebSocket. Default `true`. */
  allowUpgrades: boolean;
  /** Milliseconds between two pings. Default 25 000. */
  pingInterval: number;
  /** Milliseconds that a client may take to answer a ping. Default 20 000. */
  pingTimeout: number;
  /** Milliseconds that an upgrade may take. Default 10 000. */
  upgradeTimeout: number;
  /** Milliseconds that a client may stay without joining a namespace. Default 45 000. */
  connectTimeout: number;
  /**
   * Bytes of the largest incoming message. Default 1 000 000, at most 2³⁰. A text that is longer than a string of
   * JavaScript can be (512 MiB) ends its client's connection with an `error`.
   */
  maxHttpBufferSize: number;
  /** Whether clients of Socket.IO 2 are served. Default `false`. */
  allowEIO3: boolean;
  /** `socket.io-msgpack-parser`, or the default. */
  parser: unknown;
  /** Cross-origin rules. Default: none. */
  cors: CorsOptions;
  /** The cookie that a handshake sets. Default: none. */
  cookie: CookieOptions | boolean;
  /** Whether, or from how many bytes on, answers to polls are compressed. Default: from 1 024 bytes. */
  httpCompression: boolean | { threshold?: number };
  /** Taken for compatibility: the server does not offer this extension. */
  perMessageDeflate: boolean | object;
  /** Decides whether a request may open a connection. */
  allowRequest: AllowRequest;
  /** Whether a dynamic namespace goes away with its last socket. Default `false`. */
  cleanupEmptyChildNamespaces: boolean;
  /** Whether, and for how long, a client that lost its connection may continue where it was. Default: not. */
  connectionStateRecovery: {
    /** Milliseconds. Default 120 000. */
    maxDisconnectionDuration?: number;
    /** Whether a recovered client passes no middleware. Default `true`. */
    skipMiddlewares?: boolean;
    /** Events that a namespace keeps. Default 10 000. */
    maxPackets?: number;
    /** Bytes of events that a namespace keeps. Default 64 MiB. */
    maxBytes?: number;
    /** Sessions that a namespace keeps. Default 100 000. */
    maxSessions?: number;
  };
  limits: Limits;
  outbox: OutboxLimits;
  /**
   * Whether `new Server(port)` may listen with the core's own HTTP server, which is much faster for long-polling and
   * new connections. It does so while nothing needs Node's: listeners of `httpServer`, `allowRequest`, functions of
   * `engine.use()`, origins by pattern or function. Default `true`.
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
}

/** The options as JSON text, as the core takes them; what is a function stays here and is asked for. */
export function optionsForCore(options: Partial<ServerOptions>): string {
  const { parser, cors, cookie, httpCompression, allowRequest, connectionStateRecovery, ...rest } = options;
  const { maxDisconnectionDuration, maxPackets, maxBytes, maxSessions } = connectionStateRecovery ?? {};
  const { path, transports, limits, outbox } = rest;
  refuseIllFormed(JSON.stringify({ path, transports, cors, cookie, limits, outbox }));
  return JSON.stringify({
    path: rest.path,
    transports: rest.transports?.filter((name) => name !== "webtransport"),
    allowUpgrades: rest.allowUpgrades,
    pingInterval: rest.pingInterval,
    pingTimeout: rest.pingTimeout,
    upgradeTimeout: rest.upgradeTimeout,
    connectTimeout: rest.connectTimeout,
    maxHttpBufferSize: rest.maxHttpBufferSize,
    allowEIO3: rest.allowEIO3,
    parser: parserName(parser),
    cors: cors && corsForCore(cors),
    cookie: cookie ? cookieForCore(cookie === true ? {} : cookie) : undefined,
    httpCompression: compressionThreshold(httpCompression),
    askAllowRequest: allowRequest !== undefined,
    cleanupEmptyChildNamespaces: rest.cleanupEmptyChildNamespaces,
    connectionStateRecovery: connectionStateRecovery && {
      maxDisconnectionDuration,
      maxPackets,
      maxBytes,
      maxSessions,
    },
    limits: rest.limits,
    outbox: rest.outbox,
  });
}

/** The core's texts are well-formed. JSON text tells what is not by an escape, which has another look nowhere. */
function refuseIllFormed(options: string): void {
  if (!options.includes("\\ud")) return;
  const look = (value: unknown, name: string): void => {
    if (typeof value === "string" && !isWellFormed(value)) {
      throw new TypeError(`option \`${name}\` must be well-formed text`);
    }
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      look(inner, Array.isArray(value) || name === "" ? name || key : `${name}.${key}`);
    }
  };
  look(JSON.parse(options), "");
}

/** Whether only JavaScript can tell which origins are allowed. */
export function asksForOrigins(cors: CorsOptions | undefined): boolean {
  return cors !== undefined && originForCore(cors.origin).rule === "host";
}

/** Decides about an origin by the rules that only JavaScript can follow. The result goes to the core as JSON text. */
export function decideOrigin(
  cors: CorsOptions,
  headers: IncomingHttpHeaders,
  answer: (decision: string) => void,
) {
  const own = headers.origin;
  const decide = (origin: StaticOrigin | undefined): string => {
    if (origin === undefined || origin === "*") return "*";
    if (typeof origin === "string") return `=${origin}`;
    return matches(own, origin) ? "own" : "";
  };
  if (typeof cors.origin !== "function") {
    answer(decide(cors.origin));
    return;
  }
  cors.origin(own, (error, origin) => answer(error || !origin ? "" : decide(origin)));
}

function matches(own: string | undefined, origin: StaticOrigin): boolean {
  if (Array.isArray(origin)) return origin.some((one) => matches(own, one));
  if (typeof origin === "string") return own === origin;
  if (origin instanceof RegExp) return own !== undefined && origin.test(own);
  return origin;
}

/** Only the two known formats can be spoken: which one is it? */
function parserName(parser: unknown): "json" | "msgpack" | undefined {
  if (parser === undefined) return undefined;
  const { Encoder } = parser as { Encoder: new () => { encode(packet: object): unknown[] } };
  const [encoded] = new Encoder().encode({ type: 0, nsp: "/" });
  if (encoded === "0") return "json";
  if (encoded instanceof Uint8Array && (encoded[0] as number) >> 4 === 8) return "msgpack";
  throw new TypeError("option `parser` must be socket.io-parser or socket.io-msgpack-parser");
}

function corsForCore(cors: CorsOptions): object {
  const list = (value: string | string[] | undefined) =>
    typeof value === "string" ? value.split(",").map((name) => name.trim()) : value;
  return {
    ...originForCore(cors.origin),
    methods: Array.isArray(cors.methods) ? cors.methods.join(",") : cors.methods,
    allowedHeaders: list(cors.allowedHeaders),
    exposedHeaders: list(cors.exposedHeaders),
    credentials: cors.credentials,
    maxAge: cors.maxAge,
    preflightContinue: cors.preflightContinue,
    optionsSuccessStatus: cors.optionsSuccessStatus,
  };
}

function originForCore(origin: CorsOptions["origin"]): { rule: string; origin?: string | string[] } {
  if (origin === undefined || origin === "*") return { rule: "any" };
  if (origin === true) return { rule: "reflect" };
  if (origin === false) return { rule: "none" };
  if (typeof origin === "string") return { rule: "fixed", origin };
  if (Array.isArray(origin) && origin.every((one) => typeof one === "string"))
    return { rule: "list", origin };
  return { rule: "host" };
}

function cookieForCore(cookie: CookieOptions): object {
  const { name = "io", path = "/", httpOnly = true, sameSite = "lax", ...rest } = cookie;
  const attributes: string[] = [];
  if (rest.maxAge !== undefined) attributes.push(`Max-Age=${Math.floor(rest.maxAge)}`);
  if (rest.domain) attributes.push(`Domain=${rest.domain}`);
  if (path) attributes.push(`Path=${path}`);
  if (rest.expires) attributes.push(`Expires=${rest.expires.toUTCString()}`);
  if (path && httpOnly) attributes.push("HttpOnly");
  if (rest.secure) attributes.push("Secure");
  if (sameSite) attributes.push(`SameSite=${SAME_SITE[sameSite === true ? "strict" : sameSite]}`);
  return { name, attributes: attributes.join("; ") };
}

const SAME_SITE = { lax: "Lax", strict: "Strict", none: "None" };

/** `false` switches compression off. */
function compressionThreshold(compression: ServerOptions["httpCompression"] | undefined) {
  if (compression === false || compression === undefined) return compression;
  return compression === true ? undefined : compression.threshold;
}

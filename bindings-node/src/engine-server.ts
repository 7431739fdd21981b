/** The engine: its sessions, and the requests that open and carry them, as applications see them. */

import { randomBytes } from "node:crypto";
import type { Server as HttpServer, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { HttpEntryPoint } from "./attach";
import { type AnsweredHead, Bridge, type RefusedHead, type SessionHandler } from "./bridge";
import { type AttachOptions, type EngineOptions, engineDefaults } from "./engine-options";
import { EngineSocket, type Packet } from "./engine-socket";
import { type EngineRequest, type HandshakeRecord, makeRequest, type RequestHead } from "./handshake";
import { runMiddlewares } from "./middleware";
import { type DisconnectedSocket, native, type SessionSign, Watch } from "./native";
import { asksForOrigins, decideOrigin, optionsForCore } from "./options";
import { runAll, throwLater } from "./run-all";
import { bytesOf, isBinary } from "./value";
import { WatchedEmitter } from "./watched-emitter";

/** A function that sees each HTTP request of the engine. */
export type EngineMiddleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (err?: unknown) => void,
) => void;

/** What `connection_error` tells. */
export interface ConnectionError {
  /** The request. */
  req: EngineRequest;
  /** One of `Server.errors`. */
  code: number;
  /** What that means. */
  message: string;
  /** What is known besides. */
  context: Record<string, unknown>;
}

/** The events of an engine, with their arguments. */
export interface ServerEvents {
  /** A session is open. */
  connection: [socket: EngineSocket];
  /** A request was refused. */
  connection_error: [error: ConnectionError];
  /** The first answer of a session is about to be sent, with these headers. */
  initial_headers: [headers: OutgoingHttpHeaders, request: EngineRequest];
  /** An answer is about to be sent, with these headers. */
  headers: [headers: OutgoingHttpHeaders, request: EngineRequest];
  /** Packets of a session have left. */
  flush: [socket: EngineSocket, packets: Packet[]];
  /** Nothing waits any more for a session. */
  drain: [socket: EngineSocket];
}

/** What stands on the engine. */
export interface EngineHost {
  /** The connection to the core, once it is there. */
  bridge(): Bridge | undefined;
  /** These sockets have left by the end of their session. */
  disconnected(bridge: Bridge, sockets: DisconnectedSocket[]): void;
  /** Node has to handle the requests: something in this process wants to see them. */
  giveToNode(): void;
}

const errors = {
  UNKNOWN_TRANSPORT: 0,
  UNKNOWN_SID: 1,
  BAD_HANDSHAKE_METHOD: 2,
  BAD_REQUEST: 3,
  FORBIDDEN: 4,
  UNSUPPORTED_PROTOCOL_VERSION: 5,
};

const errorMessages: Record<number, string> = {
  0: "Transport unknown",
  1: "Session ID unknown",
  2: "Bad handshake method",
  3: "Bad request",
  4: "Forbidden",
  5: "Unsupported protocol version",
};

/** Events for which sessions have to be told of as they open. */
const OF_SESSIONS = ["connection", "flush", "drain"];
/** Events for which Node has to see the requests. */
const OF_HEADERS = ["headers", "initial_headers"];

/** What a session that opens is watched for until it is known which listeners it has. */
const EVERYTHING =
  Watch.Packet |
  Watch.PacketCreate |
  Watch.Heartbeat |
  Watch.Drain |
  Watch.Upgrading |
  Watch.Upgrade |
  Watch.Message |
  Watch.Close |
  Watch.Told;

/**
 * An Engine.IO server, alone or under a Socket.IO server. Events: `connection`, `connection_error`, `initial_headers`,
 * `headers`, `flush` and `drain`.
 */
export class EngineServer extends WatchedEmitter<ServerEvents> implements SessionHandler {
  /** The codes of refusals. */
  static readonly errors = errors;
  /** What they mean. */
  static readonly errorMessages = errorMessages;

  /** The sessions, by id. */
  readonly clients: Record<string, EngineSocket>;
  /** The HTTP server that `listen` has made. */
  httpServer?: HttpServer;
  readonly #options: Partial<EngineOptions>;
  readonly _host: EngineHost;
  /** Sockets that tell when what was sent has left, and have sent something. */
  readonly _flushing = new Set<EngineSocket>();
  readonly #entryPoint: HttpEntryPoint | undefined;
  readonly #middlewares: EngineMiddleware[] = [];
  readonly #sockets = new Map<string, EngineSocket>();
  /** Sessions that were told before the answer that opens them, by the number of its request. */
  readonly #openings = new Map<number, HandshakeRecord>();
  /** Requests by the number under which they went to the core: as long as it has them. */
  readonly #requests = new Map<number, EngineRequest>();
  /** The headers that functions of `use` have set for WebSockets, by request. */
  readonly #ofMiddlewares = new WeakMap<EngineRequest, OutgoingHttpHeaders>();
  #nextTag = 1;
  #generateId: (request: EngineRequest) => unknown = makeId;

  /** With a host the engine is under a Socket.IO server; otherwise it stands alone. */
  constructor(options: Partial<EngineOptions> = {}, host?: EngineHost) {
    super();
    this.#options = host === undefined ? engineDefaults(options) : options;
    this.clients = this.#showClients();
    if (host !== undefined) {
      this._host = host;
      this.#refresh();
      return;
    }
    native.NativeServer.checkOptions(optionsForCore({ ...this.#options, path: "/engine.io" }), true);
    this.#entryPoint = new HttpEntryPoint(this, () => this.#start());
    this._host = {
      bridge: () => this.#ownBridge,
      disconnected: () => {},
      giveToNode: () => this._giveToNode(),
    };
    this.#refresh();
  }

  // ---- An engine alone

  #ownBridge: Bridge | undefined = undefined;
  _giveToNode: () => void = () => {};

  #start(): Bridge {
    if (this.#ownBridge !== undefined) return this.#ownBridge;
    const path = this._path || "/";
    const options = optionsForCore({ ...this.#options, path });
    this.#ownBridge = new Bridge(options, this, this.#entryPoint as HttpEntryPoint);
    this._begin(this.#ownBridge);
    return this.#ownBridge;
  }

  /** The path of the core's own port. */
  _path = "/engine.io";

  /** Serves the engine's requests of an HTTP server. */
  attach(http: HttpServer, options: Partial<AttachOptions> = {}): void {
    const path = (options.path || "/engine.io").replace(/\/$/, "");
    this._path = path;
    this.#start();
    const { transports } = this.opts;
    this.#entryPoint?.open(http, { ...options, path, transports });
    http.on("close", () => this.close());
  }

  /** Serves one request, whatever its path. */
  handleRequest(request: IncomingMessage, response: ServerResponse): void {
    this._entry().handleRequest(request as EngineRequest, response);
  }

  /** Serves one request for a WebSocket, whatever its path. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this._entry().handleUpgrade(request as EngineRequest, socket, head);
  }

  /** The entry point that a Socket.IO server has for its engine. */
  _hostEntry: HttpEntryPoint | undefined;

  _entry(): HttpEntryPoint {
    return (this.#entryPoint ?? this._hostEntry) as HttpEntryPoint;
  }

  // ---- Under whatever stands on it

  get _bridge(): Bridge | undefined {
    return this._host.bridge();
  }

  /** There is a connection to the core now. */
  _begin(bridge: Bridge): void {
    const { initialPacket } = this.#options;
    if (initialPacket) {
      const isBytes = typeof initialPacket === "object" && isBinary(initialPacket);
      bridge.native.greet(isBytes ? bytesOf(initialPacket) : `${initialPacket}`);
    }
    this.#ask(bridge);
  }

  /** The options, with what is not given. */
  get opts(): EngineOptions {
    return (this.#entryPoint === undefined ? engineDefaults(this.#options) : this.#options) as EngineOptions;
  }

  /** Makes the id of a session from its request, at once or later. It can be replaced. */
  get generateId(): (request: IncomingMessage) => unknown {
    return this.#generateId as (request: IncomingMessage) => unknown;
  }

  set generateId(generateId: (request: IncomingMessage) => unknown) {
    this.#generateId = generateId as (request: EngineRequest) => unknown;
    this.#refresh();
  }

  /** How many sessions there are. */
  get clientsCount(): number {
    return (this._bridge?.native.clientsCount() ?? 0) + this.#closing().length;
  }

  /** The transports to which a session may move. */
  upgrades(transport: string): string[] {
    return this.opts.allowUpgrades && transport === "polling" ? ["websocket"] : [];
  }

  /** Adds a function that sees each HTTP request of the engine before anything else. */
  use(fn: EngineMiddleware): this {
    this.#middlewares.push(fn);
    this._host.giveToNode();
    this.#refresh();
    return this;
  }

  /** Ends all sessions, at once. New ones can be opened. */
  close(): this {
    const bridge = this._bridge;
    if (bridge === undefined) return this;
    const closeOne = (id: string) => {
      const socket = this.#sockets.get(id);
      if (socket !== undefined) socket.close(true);
      else this._host.disconnected(bridge, bridge.flushed.closeSession(id, true).sockets);
    };
    const ids = [...bridge.flushed.sessions(), ...this.#closing().map(({ id }) => id)];
    runAll(ids.map((id) => () => closeOne(id)));
    return this;
  }

  /** Ends one session. What was sent before still leaves. */
  _closeSession(id: string): void {
    const bridge = this._bridge;
    const socket = this.#sockets.get(id);
    if (socket !== undefined) socket.close();
    else if (bridge !== undefined)
      this._host.disconnected(bridge, bridge.flushed.closeSession(id, false).sockets);
  }

  // ---- Sessions

  /** A session's object, made if there is none yet. */
  _socketOf(record: HandshakeRecord, isSureToEnd = false): EngineSocket {
    const known = this.#sockets.get(record.engine);
    if (known !== undefined) return known;
    const socket = new EngineSocket(this, record, this.#requests.get(record.tag) ?? makeRequest(record));
    // There will be no record of the end of one that has already ended.
    if (socket._watch() || isSureToEnd) this.#sockets.set(record.engine, socket);
    return socket;
  }

  #find(id: string): EngineSocket | undefined {
    const known = this.#sockets.get(id);
    if (known !== undefined) return known;
    const record = this._bridge?.native.session(id);
    return record ? this._socketOf(JSON.parse(record)) : undefined;
  }

  _forgetSocket(id: string): void {
    this.#sockets.delete(id);
  }

  /** Those whose clients have not been told of their end. */
  #closing(): EngineSocket[] {
    return [...this.#sockets.values()].filter((socket) => socket.readyState === "closing");
  }

  /** The sessions as an object that looks them up when it is asked. */
  #showClients(): Record<string, EngineSocket> {
    const find = (id: string | symbol) => (typeof id === "string" ? this.#find(id) : undefined);
    const ids = () =>
      new Set([...(this._bridge?.native.sessions() ?? []), ...this.#closing().map(({ id }) => id)]);
    return new Proxy<Record<string, EngineSocket>>(Object.create(null), {
      get: (_target, id) => find(id) as EngineSocket,
      has: (_target, id) => find(id) !== undefined,
      ownKeys: () => [...ids()],
      getOwnPropertyDescriptor: (_target, id) => {
        const value = find(id);
        return value && { value, enumerable: true, configurable: true };
      },
      set: () => false,
      deleteProperty: () => false,
    });
  }

  /** What all sessions have to be watched for. */
  get _watchedOfAll(): Watch {
    const isTold = this.listenerCount("flush") > 0 || this.listenerCount("drain") > 0;
    return isTold ? Watch.Drain | Watch.PacketCreate : Watch.Nothing;
  }

  /** Whether sessions are told of as they open. */
  get #hearsOpenings(): boolean {
    return OF_SESSIONS.some((event) => this.listenerCount(event) > 0);
  }

  onSessionOpen(tag: number, record: HandshakeRecord): void {
    if (tag !== 0 && this._entry().isUnanswered(tag)) {
      // Its answer is still being made, and comes first.
      this.#openings.set(tag, record);
      return;
    }
    const socket = this._socketOf(record, true);
    runAll([() => this.#tellFlush(socket), () => this.#tellOpen(socket)]);
  }

  /** The answer that opens a session is about to be sent. Returns what is to be called when it is. */
  _onOpeningAnswer(tag: number, id: string): () => void {
    const known = this.#openings.get(tag);
    this.#openings.delete(tag);
    if (known === undefined && !this.#hearsOpenings) return () => {};
    const record = known ?? JSON.parse(this._bridge?.native.session(id) ?? "null");
    if (record === null) return () => {};
    const socket = this._socketOf(record, known !== undefined);
    const whenSent = () => {
      if (known !== undefined) this.#tellOpen(socket);
    };
    try {
      this.#tellFlush(socket);
    } catch (error) {
      throwLater(error);
    }
    return whenSent;
  }

  /** The answer that would have opened a session will not be sent. */
  _onNoAnswer(tag: number): void {
    const record = this.#openings.get(tag);
    if (record === undefined) return;
    this.#openings.delete(tag);
    this.onSessionOpen(0, record);
  }

  #tellFlush(socket: EngineSocket): void {
    if (socket._opening !== "unheard") return;
    socket._opening = "answered";
    if (this.listenerCount("flush") > 0)
      this.emit("flush", socket, [{ type: "open", options: { compress: true } }]);
  }

  #tellOpen(socket: EngineSocket): void {
    if (socket._opening === "told") return;
    socket._opening = "told";
    runAll([() => this.emit("drain", socket), () => this.emit("connection", socket)]);
  }

  onSessionMessage(id: string, data: string | Buffer | undefined): void {
    const socket = this.#sockets.get(id);
    // Later messages may depend on one that is too large.
    if (data === undefined) socket?.close(true);
    else socket?._onMessage(data);
  }

  onSessionPacket(id: string, type: number, data: string | Buffer | undefined): void {
    if (data !== undefined) this.#sockets.get(id)?._onPacket(type, data);
  }

  onSessionPacketCreate(id: string, type: number, data: string | Buffer | undefined): void {
    if (data !== undefined) this.#sockets.get(id)?._onPacketCreate(type, data);
  }

  onSessionSign(id: string, sign: SessionSign): void {
    this.#sockets.get(id)?._onSign(sign);
  }

  onSessionEnd(id: string, reason: string, fault: string | undefined): void {
    try {
      if (!this.#sockets.has(id)) this.#tellOpeningOf(id);
    } finally {
      this.#onSessionEnd(id, reason, fault);
    }
  }

  /** A session whose first answer is still being made has ended: nothing else would tell of it before its end. */
  #tellOpeningOf(id: string): void {
    for (const [tag, { engine }] of this.#openings) if (engine === id) this._onNoAnswer(tag);
  }

  #onSessionEnd(id: string, reason: string, fault: string | undefined): void {
    this.#sockets.get(id)?._onEnd(reason === "forced server close" ? "forced close" : reason, fault);
  }

  /** An answer is about to be sent. Returns what is to be called when it is. */
  _onAnswer(sid: unknown): () => void {
    const socket = this._flushing.size > 0 ? this.#sockets.get(sid as string) : undefined;
    if (socket === undefined) return () => {};
    socket._flush();
    return () => socket._drain();
  }

  /** The host is closed, and all sessions with it. */
  _clear(): void {
    this.#requests.clear();
    this.#openings.clear();
    this._flushing.clear();
    const sockets = [...this.#sockets.values()];
    this.#sockets.clear();
    // In ticks of their own, so that `close` does not throw what a listener throws.
    for (const socket of sockets) process.nextTick(() => socket._end("forced close"));
  }

  // ---- Requests

  /** Whether somebody may want to see the very request objects. */
  _keepsRequests = false;
  /** Whether somebody hears of the headers of answers. */
  _tellsHeaders = false;

  /** Whether functions of the application see the requests. */
  get _hasMiddlewares(): boolean {
    return this.#middlewares.length > 0;
  }

  /** Whether Node has to see the requests. */
  get _needsNode(): boolean {
    return this._hasMiddlewares || this._tellsHeaders || this.#options.allowRequest !== undefined;
  }

  get #isCustom(): boolean {
    return this.generateId !== (makeId as unknown);
  }

  protected override _onListeners(event?: string | symbol): void {
    this.#refresh();
    if (OF_HEADERS.includes(event as string) && this._tellsHeaders) this._host.giveToNode();
    const isOfAll = event === undefined || event === "flush" || event === "drain";
    if (isOfAll) for (const socket of this.#sockets.values()) socket._watch();
  }

  #refresh(): void {
    const hears = (event: string) => this.listenerCount(event) > 0;
    this._tellsHeaders = OF_HEADERS.some(hears);
    this._keepsRequests =
      this.#entryPoint !== undefined ||
      this._needsNode ||
      this.#isCustom ||
      this.#hearsOpenings ||
      hears("connection_error");
    const bridge = this._host.bridge();
    if (bridge !== undefined) this.#ask(bridge);
  }

  #ask(bridge: Bridge): void {
    const asksForHeaders = this._hasMiddlewares || this._tellsHeaders;
    const asksAboutRequests = this.#options.allowRequest !== undefined || this.#isCustom;
    bridge.native.ask(this.listenerCount("connection_error") > 0, asksForHeaders, asksAboutRequests);
    bridge.native.watchNewSessions(this.#hearsOpenings ? EVERYTHING : Watch.Nothing);
  }

  /** Runs the functions of `use` for one request. */
  _run(request: EngineRequest, response: ServerResponse, done: (err?: unknown) => void): void {
    runMiddlewares(
      this.#middlewares.slice(),
      (middleware, next) => middleware(request, response, next),
      done,
    );
  }

  /** The functions of `use` have set these headers for a WebSocket. */
  _keepHeaders(request: EngineRequest, headers: OutgoingHttpHeaders): void {
    this.#ofMiddlewares.set(request, headers);
  }

  /** A number for a request on its way to the core. */
  _tag(): number {
    const tag = this.#nextTag;
    this.#nextTag += 1;
    return tag;
  }

  /** Keeps a request for whoever asks for it. Returns its number, or 0 when nobody will. */
  _keep(tag: number, request: EngineRequest, isUpgrade: boolean): number {
    if (!this._keepsRequests) return 0;
    const isAsked =
      isUpgrade || request._query.sid === undefined || this.listenerCount("connection_error") > 0;
    if (!isAsked) return 0;
    this.#requests.set(tag, request);
    return tag;
  }

  /** The core has let go of the request. */
  _forget(tag: number): void {
    this.#requests.delete(tag);
  }

  /** How many requests are kept. */
  get _kept(): number {
    return this.#requests.size;
  }

  #requestOf(tag: number, head: RequestHead): EngineRequest {
    return this.#requests.get(tag) ?? makeRequest(head);
  }

  onAskRequest(bridge: Bridge, question: number, tag: number, head: RequestHead): void {
    const request = this.#requestOf(tag, head);
    const { allowRequest } = this.#options;
    if (allowRequest === undefined) {
      this.#admit(bridge, question, tag, request);
      return;
    }
    let isAnswered = false;
    const answer = (message: unknown, isAllowed: unknown) => {
      if (isAnswered) return;
      isAnswered = true;
      if (isAllowed) {
        this.#admit(bridge, question, tag, request);
        return;
      }
      const text = message instanceof Error ? message.message : String(message ?? "");
      this.#refuse(bridge, question, text, request, errors.FORBIDDEN, { message });
    };
    try {
      allowRequest(request, answer);
    } catch (error) {
      answer(undefined, false);
      throw error;
    }
  }

  #admit(bridge: Bridge, question: number, tag: number, request: EngineRequest): void {
    const admit = (id?: unknown) => {
      let kept = 0;
      if (tag === 0 && this._keepsRequests) {
        // It came by the core's own port, which has no number for it.
        kept = this._tag();
        this.#requests.set(kept, request);
      }
      bridge.native.admitRequest(question, id === undefined ? undefined : String(id), kept);
    };
    if (!this.#isCustom) {
      admit();
      return;
    }
    const fail = (error: unknown) => {
      const context = { name: "ID_GENERATION_ERROR", error };
      this.#refuse(bridge, question, undefined, request, errors.BAD_REQUEST, context);
    };
    try {
      const id = this.generateId(request);
      if (typeof (id as PromiseLike<unknown> | undefined)?.then !== "function") admit(String(id));
      else (id as PromiseLike<unknown>).then((late) => admit(String(late))).then(undefined, fail);
    } catch (error) {
      fail(error);
    }
  }

  #refuse(
    bridge: Bridge,
    question: number,
    text: string | undefined,
    request: EngineRequest,
    code: number,
    context: Record<string, unknown>,
  ): void {
    try {
      this._tellRefusal(request, code, context);
    } finally {
      bridge.native.refuseRequest(question, text);
    }
  }

  /** Tells of a request that is refused. */
  _tellRefusal(req: EngineRequest, code: number, context: Record<string, unknown>): void {
    const error: ConnectionError = { req, code, message: errorMessages[code] as string, context };
    this.emit("connection_error", error);
  }

  onRefused(tag: number, code: number, head: RefusedHead): void {
    const req = this.#requestOf(tag, head);
    const context: Record<string, unknown> = head.context;
    if (code === errors.UNKNOWN_TRANSPORT) context.transport = req._query.transport;
    for (const name of ["protocol", "previousProtocol"]) {
      if (name in context) context[name] = Number(context[name]);
    }
    if (context.name === "ID_GENERATION_ERROR") context.error = new Error("the id is empty or in use");
    const message = code === errors.FORBIDDEN ? errorMessages[code] : head.message;
    this.emit("connection_error", { req, code, message, context });
  }

  onAskOrigin(bridge: Bridge, question: number, tag: number, head: RequestHead): void {
    const request = this.#requestOf(tag, head);
    decideOrigin(this.#options.cors || {}, request.headers, (decision) =>
      bridge.native.answerOrigin(question, decision),
    );
  }

  onAskHeaders(bridge: Bridge, question: number, tag: number, head: AnsweredHead): void {
    const request = this.#requestOf(tag, head);
    const headers = this.#ofMiddlewares.get(request) ?? {};
    try {
      this._tellHeaders(headers, request, head.isFirst);
    } finally {
      bridge.native.answerHeaders(question, fieldsOf(headers));
    }
  }

  /** Lets listeners change the headers of an answer. */
  _tellHeaders(headers: OutgoingHttpHeaders, request: EngineRequest, isFirst: boolean): void {
    runAll([
      () => isFirst && this.emit("initial_headers", headers, request),
      () => this.emit("headers", headers, request),
    ]);
  }

  /** Whether only JavaScript can tell which origins are allowed. */
  get _asksForOrigins(): boolean {
    return asksForOrigins(this.#options.cors || undefined);
  }

  /** How many objects are kept for clients, by kind; for tests. */
  _held(): Record<string, number> {
    return {
      ...this.#ownBridge?.held(),
      clients: this.#sockets.size,
      keptRequests: this.#requests.size,
      openings: this.#openings.size,
      flushing: this._flushing.size,
      carried: this._entry()._open,
    };
  }
}

/** Names and values in turn. */
function fieldsOf(headers: OutgoingHttpHeaders): string[] {
  const fields: string[] = [];
  for (const [name, value] of Object.entries(headers)) {
    for (const one of [value].flat()) if (one !== undefined) fields.push(name, String(one));
  }
  return fields;
}

/** An id as engine.io makes them. */
function makeId(): string {
  return randomBytes(15).toString("base64url");
}

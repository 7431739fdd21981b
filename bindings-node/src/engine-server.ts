/** The engine as applications see it. Its sessions and requests are in `engine-sessions.ts` and `engine-requests.ts`. */

import { randomBytes } from "node:crypto";
import type { Server as HttpServer, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { HttpEntryPoint } from "./attach";
import { Bridge, type SessionHandler } from "./bridge";
import { logsSessions, refreshLogs } from "./debug";
import { type AttachOptions, CHANGEABLE, type EngineOptions, engineDefaults } from "./engine-options";
import { EngineRequests, errorMessages, errors } from "./engine-requests";
import { EngineSocket, type Packet } from "./engine-socket";
import type { EngineRequest, HandshakeRecord } from "./handshake";
import { type DisconnectedSocket, native, Watch } from "./native";
import { observed } from "./observed";
import { optionsForCore } from "./options";
import { bytesOf, isBinary } from "./value";
import { warn, warnOnce } from "./warning";

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
export class EngineServer extends EngineRequests implements SessionHandler {
  /** The codes of refusals. */
  static readonly errors = errors;
  /** What they mean. */
  static readonly errorMessages = errorMessages;

  /** The HTTP server that `listen` has made. */
  httpServer?: HttpServer;
  _host: EngineHost;
  readonly #entryPoint: HttpEntryPoint | undefined;
  #generateId: (request: EngineRequest) => unknown = makeId;

  /** With a host the engine is under a Socket.IO server; otherwise it stands alone. */
  constructor(options: Partial<EngineOptions> = {}, host?: EngineHost) {
    super(host === undefined ? engineDefaults(options) : options);
    if (options.wsEngine) warnOnce("option `wsEngine` has no effect: the core has its own WebSockets");
    if (host !== undefined) {
      this._host = host;
      this.#refresh();
      return;
    }
    native.NativeServer.checkOptions(optionsForCore({ ...this._options, path: "/engine.io" }), true);
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
  /** Starts the Socket.IO server that has been put on this engine. */
  #startBound: (() => Bridge) | undefined = undefined;

  #start(): Bridge {
    const running = this._bridge;
    if (running !== undefined) return running;
    if (this.#startBound !== undefined) return this.#startBound();
    const path = this._path || "/";
    const options = optionsForCore({ ...this._options, ...this._changes, path });
    this.#ownBridge = new Bridge(options, this, this.#entryPoint as HttpEntryPoint);
    this._begin(this.#ownBridge);
    return this.#ownBridge;
  }

  /** Puts a Socket.IO server on this engine, which has stood alone so far. */
  _bind(host: EngineHost, start: () => Bridge): void {
    if (this.#entryPoint === undefined || this.#startBound !== undefined) {
      throw new Error("the engine has a Socket.IO server already");
    }
    if (this.#ownBridge !== undefined) throw new Error("the engine has begun to serve without Socket.IO");
    this._host = { ...host, giveToNode: () => this._giveToNode() };
    this.#startBound = start;
  }

  /** The path of the core's own port. */
  _path = "/engine.io";

  /** Serves the engine's requests of an HTTP server. */
  attach(http: HttpServer, options: Partial<AttachOptions> = {}): void {
    const path = (options.path || "/engine.io").replace(/\/$/, "");
    this._path = path;
    // Not at once: a Socket.IO server may be put on it first.
    process.nextTick(() => this.#start());
    const { transports } = this.opts;
    this.#entryPoint?.open(http, { ...options, path, transports });
    http.on("close", () => this._closeSessions());
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
    const { initialPacket } = this._options;
    if (initialPacket) {
      const isBytes = typeof initialPacket === "object" && isBinary(initialPacket);
      bridge.native.greet(isBytes ? bytesOf(initialPacket) : `${initialPacket}`);
    }
    if (this._followCors()) this.#refresh();
    this.#ask(bridge);
  }

  readonly #options = {} as EngineOptions;
  readonly #opts = observed(this.#options, (name, next) => this.#change(name, next));

  /**
   * The options, with what is not given. Some may be changed while the engine runs: `cors`, `cookie`, `allowRequest`,
   * `transports`, `allowEIO3`, `httpCompression`, and for new sessions `pingInterval`, `pingTimeout`, `upgradeTimeout`,
   * `allowUpgrades` and `maxHttpBufferSize`. A bad value is refused.
   */
  get opts(): EngineOptions {
    Object.assign(this.#options, engineDefaults(this._options), this._changes);
    return this.#opts;
  }

  #change(name: keyof EngineOptions, next: unknown): void {
    const changes = { ...this._changes, [name]: next };
    const isAlone = this.#entryPoint !== undefined && this.#startBound === undefined;
    const options = optionsForCore({ ...this._options, ...changes, path: "/" });
    native.NativeServer.checkOptions(options, isAlone);
    Object.assign(this._changes, changes);
    if (name === "cors") this._followCors();
    const bridge = this._bridge;
    if (bridge !== undefined && !CHANGEABLE.has(name)) {
      warn(`option \`${name}\` cannot be changed while the server runs`);
    }
    bridge?.native.reconfigure(options, isAlone);
    this.#refresh();
    if (this._needsNode || this._asksForOrigins) this._host.giveToNode();
  }

  /** Makes the id of a session from its request, at once or later. It can be replaced. */
  get generateId(): (request: IncomingMessage) => unknown {
    return this.#generateId as (request: IncomingMessage) => unknown;
  }

  set generateId(generateId: (request: IncomingMessage) => unknown) {
    this.#generateId = generateId as (request: EngineRequest) => unknown;
    this.#refresh();
  }

  /** The transports to which a session may move. */
  upgrades(transport: string): string[] {
    return this.opts.allowUpgrades && transport === "polling" ? ["websocket"] : [];
  }

  /** Adds a function that sees each HTTP request of the engine before anything else. */
  use(fn: EngineMiddleware): this {
    this._middlewares.push(fn);
    this._host.giveToNode();
    this.#refresh();
    return this;
  }

  protected _makeSocket(record: HandshakeRecord): EngineSocket {
    return new EngineSocket(this, record, this._requestOf(record.tag, record));
  }

  // ---- What the core is asked for

  protected get _isCustom(): boolean {
    return this.generateId !== (makeId as unknown);
  }

  protected override _onListeners(event?: string | symbol): void {
    this.#refresh();
    if (OF_HEADERS.includes(event as string) && this._tellsHeaders) this._host.giveToNode();
    const isOfAll = event === undefined || event === "flush" || event === "drain";
    if (isOfAll) this._watchAll();
  }

  /** What is logged can be changed at any time. */
  #logs = false;

  onTurn(): void {
    refreshLogs();
    if (logsSessions() === this.#logs) return;
    this.#refresh();
    this._watchAll();
  }

  #refresh(): void {
    this.#logs = logsSessions();
    const hears = (event: string) => this.listenerCount(event) > 0;
    this._tellsHeaders = OF_HEADERS.some(hears);
    this._keepsRequests =
      this.#entryPoint !== undefined ||
      this._needsNode ||
      this._isCustom ||
      this._hearsOpenings ||
      hears("connection_error");
    const bridge = this._host.bridge();
    if (bridge !== undefined) this.#ask(bridge);
  }

  #ask(bridge: Bridge): void {
    const asksForHeaders = this._hasMiddlewares || this._tellsHeaders;
    const asksAboutRequests = this._option("allowRequest") !== undefined || this._isCustom;
    const asksForRefusals = this.listenerCount("connection_error") > 0 || this.#logs;
    bridge.native.ask(asksForRefusals, asksForHeaders, asksAboutRequests);
    bridge.native.watchNewSessions(this._hearsOpenings ? EVERYTHING : Watch.Nothing);
  }

  override _held(): Record<string, number> {
    return {
      ...this.#ownBridge?.held(),
      ...super._held(),
      carried: this._entry()._open,
    };
  }
}

/** An id as engine.io makes them. */
function makeId(): string {
  return randomBytes(15).toString("base64url");
}

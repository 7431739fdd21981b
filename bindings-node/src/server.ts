// biome-ignore-all lint/suspicious/noExplicitAny: the arguments of events are the application's.
/** The Socket.IO server. */

import { EventEmitter } from "node:events";
import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import type { Http2SecureServer, Http2Server } from "node:http2";
import type { Server as HttpsServer } from "node:https";
import { Adapter, type AdapterConstructor } from "./adapter";
import { HttpEntryPoint } from "./attach";
import { Bridge } from "./bridge";
import type { BroadcastOperator } from "./broadcast-operator";
import { Broadcaster } from "./broadcaster";
import { ConnectionHandler } from "./connection-handler";
import { debug } from "./debug";
import { EngineServer } from "./engine-server";
import { Namespace, type NamespaceMiddleware, type ServerReservedEventsMap } from "./namespace";
import { native } from "./native";
import { checkAdapter } from "./npm-adapter";
import { asksForOrigins, optionsForCore, ownParser, type ServerOptions } from "./options";
import { OwnPort } from "./own-port";
import { Encoder } from "./packet-encoder";
import { ParentNamespace } from "./parent-namespace";
import { type PacketEncoder, PacketParser, type Parser } from "./parser";
import { clientFile } from "./serve-client";
import type { Socket } from "./socket";
import type {
  DecorateAcknowledgementsWithTimeoutAndMultipleResponses,
  DefaultEventsMap,
  EventNames,
  EventParams,
  EventsMap,
} from "./types";
import { isWellFormed } from "./value";

/** Decides whether a namespace may be created for a client. */
export type ParentNspNameMatchFn = (
  name: string,
  auth: { [key: string]: any },
  fn: (err: Error | null, success: boolean) => void,
) => void;

/** An HTTP server that Socket.IO can share. */
export type AnyHttpServer = HttpServer | HttpsServer | Http2Server | Http2SecureServer;

/** A Socket.IO server. Its own events are those of the main namespace. */
export class Server<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends Broadcaster<
  EmitEvents,
  ServerSideEvents,
  ServerReservedEventsMap<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
  SocketData
> {
  /** The main namespace. */
  readonly sockets: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  /** The Engine.IO level. */
  engine: EngineServer;
  /** The HTTP server, once there is one. */
  httpServer!: HttpServer;
  /** The options. */
  readonly opts: Partial<ServerOptions>;

  /** All namespaces by name. */
  readonly _nsps = new Map<string, Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>();
  readonly parentNsps = new Map<
    ParentNspNameMatchFn,
    ParentNamespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>
  >();
  /** The connection to the core; set from `attach` to `close`. */
  _bridge: Bridge | undefined = undefined;

  /** Whether admin clients can see it. */
  _instrumented = false;
  /** Called whenever there is a new connection to the core. */
  readonly #starters: ((bridge: Bridge) => void)[] = [];
  readonly #patterns = new Map<
    RegExp,
    ParentNamespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>
  >();
  readonly _connectionHandler: ConnectionHandler;
  /** The application's own parser at work. */
  readonly #parser: PacketParser | undefined;
  #httpEntryPoint: HttpEntryPoint;
  /** Set when the engine was made by the application. */
  #isBound = false;
  #adapter: AdapterConstructor = Adapter;
  #encoder: PacketEncoder | undefined = undefined;
  #path: string;
  #connectTimeout: number;
  #servesClient: boolean;

  constructor(options?: Partial<ServerOptions>);
  constructor(server?: AnyHttpServer | number | string, options?: Partial<ServerOptions>);
  constructor(
    server?: AnyHttpServer | number | string | Partial<ServerOptions>,
    options: Partial<ServerOptions> = {},
  ) {
    super();
    if (typeof server === "object" && server !== null && !("listen" in server)) {
      this.opts = server;
      server = undefined;
    } else {
      this.opts = options;
    }
    this.#path = (this.opts.path || "/socket.io").replace(/\/$/, "");
    this.#connectTimeout = this.opts.connectTimeout || 45000;
    this.#servesClient = this.opts.serveClient !== false;
    if (this.opts.adapter) {
      checkAdapter(this.opts.adapter);
      this.#adapter = this.opts.adapter;
    }
    const { connectionStateRecovery: recovery } = this.opts;
    if (typeof recovery === "object" && recovery !== null) {
      // Adapters that keep sessions read them; then the core, which checks them, would not see them.
      this.opts.connectionStateRecovery = { ...RECOVERY, ...recovery };
      native.NativeServer.checkOptions(optionsForCore({ connectionStateRecovery: recovery }));
    }
    native.NativeServer.checkOptions(this.#coreOptions(this.opts));
    this.engine = new EngineServer(this.opts, {
      bridge: () => this._bridge,
      disconnected: (bridge, sockets) => this._connectionHandler.disconnected(bridge, sockets),
      giveToNode: () => this.#giveToNode(),
    });
    this.#httpEntryPoint = new HttpEntryPoint(this.engine, () => this._bridge);
    this.engine._hostEntry = this.#httpEntryPoint;
    this._connectionHandler = new ConnectionHandler(this as any);
    const parser = ownParser(this.opts.parser);
    this.#parser = parser && new PacketParser(this as any, parser);
    this.sockets = this.of("/");
    if (server || typeof server === "number") this.attach(server as AnyHttpServer | number | string);
  }

  // ---- Settings

  /** The path under which the server answers. */
  path(): string;
  path(path: string): this;
  path(path?: string): string | this {
    if (path === undefined) return this.#path;
    this.#path = path.replace(/\/$/, "");
    return this;
  }

  /** Milliseconds that a client may stay without connecting to a namespace. */
  connectTimeout(): number;
  connectTimeout(milliseconds: number): this;
  connectTimeout(milliseconds?: number): number | this {
    if (milliseconds === undefined) return this.#connectTimeout;
    this.#connectTimeout = milliseconds;
    return this;
  }

  /** Whether the files of the browser's client are served. */
  serveClient(): boolean;
  serveClient(serves: boolean): this;
  serveClient(serves?: boolean): boolean | this {
    if (serves === undefined) return this.#servesClient;
    this.#servesClient = serves;
    return this;
  }

  /** What makes the namespaces' adapters. A new one makes those of the existing namespaces anew. */
  adapter(): AdapterConstructor;
  adapter(adapter: AdapterConstructor): this;
  adapter(...given: [adapter?: AdapterConstructor]): AdapterConstructor | this {
    if (given.length === 0) return this.#adapter;
    const [adapter] = given;
    checkAdapter(adapter);
    this.#adapter = adapter;
    for (const namespace of this._nsps.values()) namespace._initAdapter();
    return this;
  }

  get _adapter(): AdapterConstructor {
    return this.#adapter;
  }

  /** Writes packets as messages, for adapters that send them to each socket themselves. */
  get encoder(): PacketEncoder {
    this.#encoder ??=
      this.#parser?.encoder ?? new ((this.opts.parser as Parser | undefined)?.Encoder ?? Encoder)();
    return this.#encoder;
  }

  /** An older name of `opts`. */
  get _opts(): Partial<ServerOptions> {
    return this.opts;
  }

  /** An older name of `engine`. */
  get eio(): EngineServer {
    return this.engine;
  }

  #coreOptions(more: Partial<ServerOptions>): string {
    const path = (this.#isBound ? this.engine._path : this.#path) || "/";
    const ofEngine = this.#isBound ? this.engine.opts : this.engine?._changes;
    const options = { ...more, ...this.opts, ...ofEngine, path, connectTimeout: this.#connectTimeout };
    // An adapter of another package keeps the sessions, also those of clients with a parser of the application's own.
    if (this.#adapter !== Adapter) options.connectionStateRecovery = undefined;
    return optionsForCore(options);
  }

  // ---- Start and end

  /** Attaches to an HTTP server, or creates one that listens on a port. */
  attach(server: AnyHttpServer | number | string, options: Partial<ServerOptions> = {}): this {
    if (typeof server === "function") {
      throw new Error(
        "You are trying to attach socket.io to an express request handler function. Please pass a http.Server instance.",
      );
    }
    const isPort =
      typeof server === "number" || (typeof server === "string" && !Number.isNaN(Number(server)));
    // The options of the constructor win.
    Object.assign(options, this.opts);
    Object.assign(this.opts, options);
    this.#path = (options.path || this.#path).replace(/\/$/, "");
    if (isPort) debug.server("creating http server and binding to %d", server);
    debug.server("creating engine with opts %j", options);
    this.#start(options);
    if (this.#servesClient) debug.server("attaching client serving req handler");
    const http = isPort ? new OwnPort(this, notFound) : (server as HttpServer);
    this.#httpEntryPoint.open(http, {
      ...this.opts,
      path: this.#path,
      clientFile: (url) => (this.#servesClient ? clientFile(this.#path, url) : undefined),
    });
    http.on("close", () => this.#stop(this._bridge));
    http.on("listening", () => this.#start(options));
    this.httpServer = http;
    if (http instanceof OwnPort) this.#open(http, Number(server));
    return this;
  }

  #open(http: OwnPort, port: number): void {
    if (this.opts.ownPort === false || asksForOrigins(this.opts.cors)) http.listen(port);
    else http.open(port);
  }

  #giveToNode(): void {
    if (this.httpServer instanceof OwnPort) this.httpServer.giveToNode();
  }

  /**
   * Serves the sessions of an engine of `ferrio/engine` that the application has made, in place of this server's own.
   * What concerns HTTP is then said by the engine's options.
   */
  bind(engine: EngineServer): this {
    if (!(engine instanceof EngineServer)) {
      throw new TypeError(
        "bind() takes a server of `ferrio/engine`: the sessions of other engines cannot be served",
      );
    }
    if (this.#isBound || this._bridge !== undefined)
      throw new Error("the server has an engine that serves already");
    engine._bind(this.engine._host, () => this.#start({}));
    this.#isBound = true;
    this.engine = engine;
    this.#httpEntryPoint = engine._entry();
    return this;
  }

  /**
   * Is for uWebSockets.js, which ferrio cannot share connections with: fails, and says what to do instead.
   */
  attachApp(_app: unknown, _options?: Partial<ServerOptions>): void {
    throw new Error(
      "attachApp() is not supported: connections of uWebSockets.js cannot be taken over. Call listen(port) instead, whose HTTP server and WebSockets are native too",
    );
  }

  /** The same as `attach`. */
  listen(server: AnyHttpServer | number | string, options: Partial<ServerOptions> = {}): this {
    return this.attach(server, options);
  }

  #start(options: Partial<ServerOptions>): Bridge {
    if (this._bridge !== undefined) return this._bridge;
    const core = this.#coreOptions(options);
    this._bridge = new Bridge(core, this.engine, this.#httpEntryPoint, this._connectionHandler, this.#parser);
    this.engine._begin(this._bridge);
    for (const namespace of this._nsps.values()) this.#register(namespace);
    for (const starter of this.#starters) starter(this._bridge);
    return this._bridge;
  }

  /** Calls a function with each connection to the core, the one that there is among them. */
  _whenStarted(starter: (bridge: Bridge) => void): void {
    this.#starters.push(starter);
    if (this._bridge !== undefined) starter(this._bridge);
  }

  /** Disconnects all clients and closes the HTTP server. The callback gets an error if that did not listen. */
  async close(callback?: (err?: Error) => void): Promise<void> {
    for (const namespace of this._nsps.values()) {
      for (const socket of namespace.sockets.values()) {
        try {
          this._connectionHandler.disconnect(this._bridge, socket as Socket, "server shutting down");
        } catch {
          // As in socket.io: what a listener throws does not keep the others from hearing of it, nor the server from closing.
        }
      }
    }
    this.#stop(this._bridge);
    const closing = this.#closeAdapters();
    if (closing !== undefined) await closing;
    const http = this.httpServer;
    if (http === undefined) {
      callback?.();
      return;
    }
    await new Promise<void>((resolve) => {
      http.close((error) => {
        callback?.(error);
        resolve();
      });
    });
  }

  /** Nothing is waited for where there are no adapters but this package's own. */
  #closeAdapters(): Promise<unknown> | undefined {
    const foreign = [...this._nsps.values()].filter((namespace) => namespace._isForeign);
    if (foreign.length === 0) return undefined;
    return Promise.allSettled(foreign.map(async ({ adapter }) => adapter.close()));
  }

  #stop(bridge: Bridge | undefined): void {
    if (bridge === undefined || bridge !== this._bridge) return;
    // The core forgets the handshakes, and sockets may still be asked for them.
    for (const socket of bridge.sockets.values()) socket._keepRecord();
    this._bridge = undefined;
    bridge.close();
    this._connectionHandler.clear();
    this.engine._clear();
    this.#parser?.clear();
  }

  /** How many objects are kept for clients, by kind; for tests. */
  _held(): Record<string, number> {
    const namespaces = [...this._nsps.values()];
    const count = (size: (namespace: (typeof namespaces)[number]) => number) =>
      namespaces.reduce((sum, namespace) => sum + size(namespace), 0);
    return {
      ...this._bridge?.held(),
      ...this._connectionHandler._held(),
      ...this.#parser?._held(),
      joined: count((namespace) => namespace.sockets.size),
      waiting: count((namespace) => namespace._preConnectSockets.size),
      ...this.engine._held(),
    };
  }

  // ---- Namespaces

  /**
   * Returns the namespace of this name, which is created if necessary, or the parent of all that match a pattern or
   * function.
   */
  of(
    name: string | RegExp | ParentNspNameMatchFn,
    fn?: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void,
  ): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    const namespace =
      typeof name === "function" || name instanceof RegExp ? this.#parent(name) : this.#named(String(name));
    if (fn) namespace.on("connect", fn as any);
    return namespace;
  }

  #parent(
    name: RegExp | ParentNspNameMatchFn,
  ): ParentNamespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    if (name instanceof RegExp && (name.global || name.sticky)) {
      throw new Error("stateful regular expressions are not supported");
    }
    const parent = new ParentNamespace(this);
    debug.server("initializing parent namespace %s", parent.name);
    if (name instanceof RegExp) {
      this.parentNsps.set((asked, _auth, next) => next(null, name.test(asked)), parent);
      this.#patterns.set(name, parent);
    } else {
      this.parentNsps.set(name, parent);
    }
    return parent;
  }

  #named(given: string): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    const name = given[0] === "/" ? given : `/${given}`;
    const existing = this._nsps.get(name);
    if (existing !== undefined) return existing;
    for (const [pattern, parent] of this.#patterns) {
      if (pattern.test(name)) return parent.createChild(name);
    }
    debug.server("initializing namespace %s", name);
    const namespace = new Namespace(this, name);
    this._addNamespace(namespace);
    return namespace;
  }

  _addNamespace(namespace: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    this._nsps.set(namespace.name, namespace);
    if (this._bridge !== undefined) this.#register(namespace);
    if (namespace.name !== "/") EventEmitter.prototype.emit.call(this.sockets, "new_namespace", namespace);
  }

  #register(namespace: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    // Clients cannot send such a name, and in the core it would collide with others.
    if (!isWellFormed(namespace.name)) return;
    namespace._number = this._bridge?.flushed.namespace(namespace.name) ?? -1;
    namespace._coreRecovers = this.#adapter === Adapter;
    namespace._leaveRecovery();
  }

  /** Removes an empty namespace. Later events to it reach nobody. */
  _removeNamespace(namespace: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    // It may have been removed already, and replaced by a new one of the same name.
    if (this._nsps.get(namespace.name) !== namespace) return;
    this._nsps.delete(namespace.name);
    const number = namespace._number;
    namespace._number = -1;
    this._bridge?.flushed.removeNamespace(namespace.name, number);
  }

  /** Asks the functions and patterns, in the order in which they were added, whether the namespace may be created. */
  _admitNamespace(name: string, auth: { [key: string]: any }, answer: (exists: boolean) => void): void {
    const parents = [...this.parentNsps];
    const step = (i: number): void => {
      const entry = parents[i];
      if (entry === undefined || this._nsps.has(name)) {
        answer(entry !== undefined);
        return;
      }
      const [match, parent] = entry;
      let isAnswered = false;
      match(name, auth, (error, isAllowed) => {
        // A function may call twice by mistake.
        if (isAnswered) return;
        isAnswered = true;
        if (error || !isAllowed) {
          step(i + 1);
          return;
        }
        if (this._nsps.has(name)) debug.server("dynamic namespace %s already exists", name);
        else {
          parent.createChild(name);
          debug.server("dynamic namespace %s was created", name);
        }
        answer(true);
      });
    };
    step(0);
  }

  // ---- The main namespace

  /** Adds a middleware to the main namespace. */
  use(fn: NamespaceMiddleware<Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>): this {
    this.sockets.use(fn);
    return this;
  }

  protected override get _target(): BroadcastOperator<any, SocketData> {
    return this.sockets as any;
  }

  override serverSideEmit<Ev extends EventNames<ServerSideEvents>>(
    ev: Ev,
    ...args: EventParams<DecorateAcknowledgementsWithTimeoutAndMultipleResponses<ServerSideEvents>, Ev>
  ): boolean {
    return this.sockets.serverSideEmit(ev, ...args);
  }
}

/** What recovery is like if nothing else is said. */
const RECOVERY = { maxDisconnectionDuration: 120_000, skipMiddlewares: true };

/** Answers requests that are not for Socket.IO. */
function notFound(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(404).end();
}

// The server's listeners are those of its main namespace.
for (const [name, method] of Object.entries(EventEmitter.prototype)) {
  if (typeof method !== "function") continue;
  Object.defineProperty(Server.prototype, name, {
    value(this: Server, ...args: unknown[]) {
      return (this.sockets as any)[name](...args);
    },
    configurable: true,
    writable: true,
  });
}

// biome-ignore-all lint/suspicious/noExplicitAny: the arguments of events are the application's.
/** A namespace: its sockets, its middleware, and emitting to all of them. */

import { EventEmitter } from "node:events";
import type { Adapter, AnyAdapter } from "./adapter";
import { BroadcastOperator } from "./broadcast-operator";
import { type Broadcast, Broadcaster } from "./broadcaster";
import type { Selection } from "./commands";
import { LocalSockets } from "./local-sockets";
import { runMiddlewares } from "./middleware";
import type { NativeServer } from "./native";
import { adopt, isOwn, makeAdapter } from "./npm-adapter";
import type { Server } from "./server";
import type { Socket } from "./socket";
import type {
  DecorateAcknowledgementsWithTimeoutAndMultipleResponses,
  DefaultEventsMap,
  EventNames,
  EventParams,
  EventsMap,
} from "./types";
import { warn } from "./warning";

/** An error that may carry data for the client. */
export interface ExtendedError extends Error {
  data?: any;
}

/** Events that the server itself emits on a namespace. */
export interface NamespaceReservedEventsMap<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
> {
  connect: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void;
  connection: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void;
}

/** The same of the server, whose own events are those of the main namespace. */
export interface ServerReservedEventsMap<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
> extends NamespaceReservedEventsMap<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
  new_namespace: (namespace: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void;
}

/** Events that servers cannot send to each other. */
export const RESERVED_EVENTS: ReadonlySet<string | symbol> = new Set([
  "connect",
  "connection",
  "new_namespace",
]);

/** Accepts a socket with `next()`, or refuses it with `next(error)`. */
export type NamespaceMiddleware<S> = (socket: S, next: (err?: ExtendedError) => void) => void;

/** A namespace: the sockets that are connected under one name. */
export class Namespace<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends Broadcaster<
  EmitEvents,
  ServerSideEvents,
  NamespaceReservedEventsMap<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
  SocketData
> {
  readonly name: string;
  readonly server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  /** The connected sockets by their ids. */
  readonly sockets = new Map<string, Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>();
  /** The sockets of this process and their rooms. */
  readonly _local: LocalSockets;
  /** Sockets whose middleware is still running. */
  readonly _preConnectSockets = new Map<
    string,
    Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>
  >();
  /** The numbers of the sockets that have catch-all listeners for outgoing events. */
  readonly _withOutgoingListeners = new Set<number>();
  readonly _fns: NamespaceMiddleware<Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>[] = [];
  /** The namespace's number in the core; -1 before the server starts and after the namespace was removed. */
  _number = -1;
  /** Whether the adapter is of another package, or of the application. */
  _isForeign = false;
  /** Whether the core keeps sessions, if the server does. It does not begin again where an adapter has. */
  _coreRecovers = true;
  /** How many clients wait until the adapter has looked for their sessions. */
  _nRestoring = 0;
  #adapter!: AnyAdapter;

  constructor(server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, name: string) {
    super();
    this.server = server;
    this.name = name;
    this._local = new LocalSockets(this as any);
    this._initAdapter();
  }

  /** Gives the namespace the adapter that its server has for all. */
  _initAdapter(): void {
    this.adapter = makeAdapter(this.server._adapter, this as any);
    Promise.resolve(this.adapter.init()).catch((error) => warn(`an adapter could not start: ${error}`));
  }

  /** What the namespace knows its rooms by, and those of a cluster other servers. */
  get adapter(): Adapter {
    return this.#adapter as Adapter;
  }

  set adapter(adapter: AnyAdapter) {
    this._isForeign = !isOwn(adapter);
    if (this._isForeign) adopt(adapter, this._local);
    this.#adapter = adapter;
    this._leaveRecovery();
  }

  /** Whether the adapter keeps the sessions of clients that may come back, and not the core. */
  get _keepsSessions(): boolean {
    return this._isForeign && Boolean(this.server.opts.connectionStateRecovery);
  }

  _leaveRecovery(): void {
    if (!this._keepsSessions) return;
    this._coreRecovers = false;
    this._core?.leaveRecoveryToHost(this._number);
  }

  /** A number for an ack: every look gives the next one, so that `_ids++` does what it says. */
  get _ids(): number {
    const bridge = this.server._bridge;
    if (bridge === undefined) return 0;
    bridge.expectAcks();
    return bridge.parser === undefined ? (bridge.native.nextAckId(this._number) ?? 0) : bridge.acks.reserve();
  }

  set _ids(_next: number) {}

  /** Adds a middleware, which runs for each socket before it is connected. */
  use(fn: NamespaceMiddleware<Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>): this {
    this._fns.push(fn);
    return this;
  }

  /** Runs the middleware for one socket. */
  _run(
    socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
    done: (err?: ExtendedError) => void,
  ): void {
    runMiddlewares(this._fns.slice(), (middleware, next) => middleware(socket, next), done);
  }

  // ---- Sending

  protected override get _target(): Broadcast<EmitEvents, SocketData> {
    return new BroadcastOperator(this.adapter);
  }

  override serverSideEmit<Ev extends EventNames<ServerSideEvents>>(
    ev: Ev,
    ...args: EventParams<DecorateAcknowledgementsWithTimeoutAndMultipleResponses<ServerSideEvents>, Ev>
  ): boolean {
    if (RESERVED_EVENTS.has(ev)) throw new Error(`"${String(ev)}" is a reserved event name`);
    this.adapter.serverSideEmit([ev, ...args]);
    return true;
  }

  /** Another server has emitted an event for this one. */
  _onServerSideEmit(args: [event: string, ...args: unknown[]]): void {
    EventEmitter.prototype.emit.apply(this, args);
  }

  // ---- For the server

  /** The core, with all earlier commands carried out. */
  get _core(): NativeServer | undefined {
    return this._number === -1 ? undefined : this.server._bridge?.flushed;
  }

  _find(id: string): Socket | undefined {
    // An adapter may have given a session back a second time: the last one counts.
    return (this._preConnectSockets.get(id) ?? this.sockets.get(id)) as Socket | undefined;
  }

  _has(socket: Socket): boolean {
    return (this._find(socket.id) as unknown) === socket;
  }

  _select({ rooms, except }: Selection): Socket[] {
    const bridge = this.server._bridge;
    if (bridge === undefined || this._number === -1) return [];
    const names = bridge.rooms;
    const keys = bridge.flushed.fetch(this._number, names.listToCore(rooms), names.listToCore(except));
    const sockets: Socket[] = [];
    for (const key of keys) {
      const socket = bridge.sockets.get(key);
      if (socket?.connected) sockets.push(socket);
    }
    return sockets;
  }

  _broadcast(to: Selection, flags: number, data: unknown[]): void {
    this._notifyOutgoing(to, data);
    if (this._number !== -1)
      this.server._bridge?.commands.broadcast(this._number, to, flags, data, this.name);
  }

  /** Calls the receivers' catch-all listeners for outgoing events. */
  _notifyOutgoing(selection: Selection, data: unknown[]): void {
    if (this._withOutgoingListeners.size === 0) return;
    for (const socket of this._select(selection)) socket._notifyOutgoing(data);
  }

  /** A socket's middleware has accepted it. */
  _connect(socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    this._preConnectSockets.delete(socket.id);
    this.sockets.set(socket.id, socket);
    if (socket._anyOutgoingListeners !== undefined) this._withOutgoingListeners.add(socket._key);
    socket._onConnect();
    this._local.connected(socket as any);
    try {
      if (this._isForeign) this.adapter.addAll(socket.id, new Set([socket.id]));
    } finally {
      this.#tellOf(socket);
    }
  }

  #tellOf(socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    try {
      this.emitReserved("connect", socket);
    } finally {
      this.emitReserved("connection", socket);
    }
  }

  /** A socket disconnects; `release` takes it out of its rooms. */
  _disconnecting(
    socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
    release: () => void,
  ): void {
    try {
      // Its client may have come back and taken its place.
      if (this._isForeign && this._has(socket as any)) this.adapter.delAll(socket.id);
    } finally {
      this._local.disconnecting(socket as any, release);
    }
  }

  /** A socket that has waited to be let in will not be. */
  _turnAway(socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    socket._onTurnedAway();
    try {
      if (this._isForeign && this._has(socket as any)) this.adapter.delAll(socket.id);
    } finally {
      this._remove(socket);
    }
  }

  /** Only child namespaces are removed. */
  _removeIfEmpty(): void {}

  /** A socket was disconnected or refused. */
  _remove(socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    this._withOutgoingListeners.delete(socket._key);
    for (const sockets of [this.sockets, this._preConnectSockets]) {
      // A client that recovered its session has taken over the id.
      if (sockets.get(socket.id) === socket) sockets.delete(socket.id);
    }
  }
}

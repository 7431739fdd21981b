// biome-ignore-all lint/suspicious/noExplicitAny: the arguments of events are the application's.
/** A namespace: its sockets, its middleware, and emitting to all of them. */

import { Adapter } from "./adapter";
import type { Selection } from "./bridge";
import { type Broadcast, BroadcastOperator, type RemoteSocket } from "./broadcast-operator";
import { runMiddlewares } from "./middleware";
import type { NativeServer } from "./native";
import type { Server } from "./server";
import type { Socket } from "./socket";
import {
  type AckValue,
  type AllButLast,
  type DecorateAcknowledgementsWithTimeoutAndMultipleResponses,
  type DefaultEventsMap,
  type EventNames,
  type EventNamesWithAck,
  type EventParams,
  type EventsMap,
  StrictEventEmitter,
} from "./types";

/** An error that may carry data for the client. */
export interface ExtendedError extends Error {
  data?: any;
}

/** What the server itself tells a namespace's listeners. */
export interface NamespaceReservedEventsMap<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
> {
  connect: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void;
  connection: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void;
  new_namespace: (namespace: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void;
}

/** Names that servers do not send to each other. */
const RESERVED_EVENTS: ReadonlySet<string | symbol> = new Set(["connect", "connection", "new_namespace"]);

/** A function that may let a socket in, or keep it out with an error. */
export type NamespaceMiddleware<S> = (socket: S, next: (err?: ExtendedError) => void) => void;

/** The sockets that have joined under one name. */
export class Namespace<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends StrictEventEmitter<
  ServerSideEvents,
  EmitEvents,
  NamespaceReservedEventsMap<ListenEvents, EmitEvents, ServerSideEvents, SocketData>
> {
  readonly name: string;
  readonly server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  /** The connected sockets by their ids. */
  readonly sockets = new Map<string, Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>();
  /** The namespace's rooms. */
  readonly adapter: Adapter;

  /** Sockets that wait to be let in. */
  readonly _preConnectSockets = new Map<
    string,
    Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>
  >();
  /** The numbers of the sockets with catch-all listeners for what goes out. */
  readonly _eavesdropped = new Set<number>();
  readonly _fns: NamespaceMiddleware<Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>[] = [];
  /** The number by which the core knows the namespace; -1 while the server has no core, and after the removal. */
  _number = -1;

  constructor(server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, name: string) {
    super();
    this.server = server;
    this.name = name;
    this.adapter = new Adapter(this as any);
  }

  /** Adds a middleware that each socket passes before it is let in. */
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

  // ---- Choosing sockets

  /** The sockets of one room or several. */
  to(room: string | string[]): Broadcast<EmitEvents, SocketData> {
    return this._operator().to(room);
  }

  /** The same as `to`. */
  in(room: string | string[]): Broadcast<EmitEvents, SocketData> {
    return this.to(room);
  }

  /** All but the sockets of one room or several. */
  except(room: string | string[]): Broadcast<EmitEvents, SocketData> {
    return this._operator().except(room);
  }

  /** Whether the next event may be compressed. */
  compress(compress: boolean): Broadcast<EmitEvents, SocketData> {
    return this._operator().compress(compress);
  }

  /** The next event is dropped for clients that are not ready to take it. */
  get volatile(): Broadcast<EmitEvents, SocketData> {
    return this._operator().volatile;
  }

  /** The next event stays on this node of a cluster. */
  get local(): Broadcast<EmitEvents, SocketData> {
    return this._operator().local;
  }

  /** The next event's answers are waited for so many milliseconds. */
  timeout(
    timeout: number,
  ): BroadcastOperator<DecorateAcknowledgementsWithTimeoutAndMultipleResponses<EmitEvents>, SocketData> {
    return this._operator().timeout(timeout) as any;
  }

  _operator(): Broadcast<EmitEvents, SocketData> {
    return new BroadcastOperator(this.adapter);
  }

  // ---- Sending

  /** Sends an event to all sockets. */
  override emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean {
    return this._operator().emit(ev as any, ...(args as any));
  }

  /** Sends an event named `message` to all sockets. */
  send(...args: EventParams<EmitEvents, "message">): this {
    this.emit("message" as any, ...args);
    return this;
  }

  /** The same as `send`. */
  write(...args: EventParams<EmitEvents, "message">): this {
    return this.send(...args);
  }

  /** Sends an event to the other servers of the cluster. */
  serverSideEmit<Ev extends EventNames<ServerSideEvents>>(
    ev: Ev,
    ...args: EventParams<ServerSideEvents, Ev>
  ): boolean {
    if (RESERVED_EVENTS.has(ev)) throw new Error(`"${String(ev)}" is a reserved event name`);
    const answer = args[args.length - 1];
    // There are no other servers, so there are no answers either.
    if (typeof answer === "function") process.nextTick(answer, null, []);
    return true;
  }

  /** The same; resolves with the answers of the other servers. */
  serverSideEmitWithAck<Ev extends EventNamesWithAck<ServerSideEvents>>(
    ev: Ev,
    ...args: AllButLast<EventParams<ServerSideEvents, Ev>>
  ): Promise<AckValue<ServerSideEvents[Ev]>[]> {
    return new Promise((resolve, reject) => {
      const answer = (error: Error | null, responses: any) =>
        error ? reject(Object.assign(error, { responses })) : resolve(responses);
      this.serverSideEmit(ev, ...([...args, answer] as any));
    });
  }

  /** Calls this process's listeners with what another server has sent. */
  _onServerSideEmit(args: [string, ...any[]]): void {
    this.emitUntyped(...args);
  }

  // ---- Asking and moving many

  /** The ids of all sockets. */
  allSockets(): Promise<Set<string>> {
    return this._operator().allSockets();
  }

  /** All sockets. */
  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]> {
    return this._operator().fetchSockets() as any;
  }

  /** Makes all sockets join one room or several. */
  socketsJoin(room: string | string[]): void {
    this._operator().socketsJoin(room);
  }

  /** Makes all sockets leave one room or several. */
  socketsLeave(room: string | string[]): void {
    this._operator().socketsLeave(room);
  }

  /** Disconnects all sockets or, with `true`, ends their whole connections. */
  disconnectSockets(close = false): void {
    this._operator().disconnectSockets(close);
  }

  // ---- For the server

  /** The core, after everything that was asked of it before. */
  get _core(): NativeServer | undefined {
    return this._number === -1 ? undefined : this.server._bridge?.flushed;
  }

  _find(id: string): Socket | undefined {
    return (this.sockets.get(id) ?? this._preConnectSockets.get(id)) as Socket | undefined;
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
    this._eavesdrop(to, data);
    if (this._number !== -1) this.server._bridge?.broadcast(this._number, to, flags, data);
  }

  /** Tells the receivers' catch-all listeners of a broadcast. */
  _eavesdrop(selection: Selection, data: unknown[]): void {
    if (this._eavesdropped.size === 0) return;
    for (const socket of this._select(selection)) socket._notifyOutgoing(data);
  }

  /** A socket is let in. */
  _connect(socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    this._preConnectSockets.delete(socket.id);
    this.sockets.set(socket.id, socket);
    if (socket._anyOutgoingListeners !== undefined) this._eavesdropped.add(socket._key);
    socket._onConnect();
    this.adapter._connected(socket as any);
    try {
      this.emitReserved("connect", socket);
    } finally {
      this.emitReserved("connection", socket);
    }
  }

  /** A namespace that was asked for by name stays. */
  _removeIfEmpty(): void {}

  /** A socket has left, or is not let in. */
  _remove(socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    this._eavesdropped.delete(socket._key);
    for (const sockets of [this.sockets, this._preConnectSockets]) {
      // A client that came back has the id of the socket that it continues.
      if (sockets.get(socket.id) === socket) sockets.delete(socket.id);
    }
  }
}

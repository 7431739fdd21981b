// biome-ignore-all lint/suspicious/noExplicitAny: the arguments of events are the application's.
/** One client in one namespace. */

import { EventEmitter } from "node:events";
import { type AckListener, errorOf, timeoutOf } from "./ack";
import { areTimersReplaced, limited } from "./ack-timer";
import type { Adapter } from "./adapter";
import { BroadcastOperator } from "./broadcast-operator";
import type { Broadcast } from "./broadcaster";
import { CatchAllEmitter, type Listener } from "./catch-all";
import type { Client, WriteOptions } from "./client";
import { bitsOf } from "./commands";
import { debug, logReceived, logs } from "./debug";
import type { EngineSocket } from "./engine-socket";
import { type EngineRequest, type Handshake, type HandshakeRecord, makeHandshake } from "./handshake";
import { runMiddlewares } from "./middleware";
import type { Namespace } from "./namespace";
import { AckStatus } from "./native";
import { type Packet, PacketType } from "./parser";
import { refuseReserved } from "./reserved";
import type { Server } from "./server";
import type {
  AckValue,
  AllButLast,
  DecorateAcknowledgements,
  DefaultEventsMap,
  EventNames,
  EventNamesWithAck,
  EventParams,
  EventsMap,
} from "./types";

/** Why a socket was disconnected. */
export type DisconnectReason =
  | "client namespace disconnect"
  | "server namespace disconnect"
  | "forced server close"
  | "forced close"
  | "server shutting down"
  | "ping timeout"
  | "parse error"
  | "transport close"
  | "transport error"
  | "slow reader";

/** Events that the server itself emits on a socket. */
export interface SocketReservedEventsMap {
  disconnect: (reason: DisconnectReason, description?: any) => void;
  disconnecting: (reason: DisconnectReason, description?: any) => void;
  error: (err: Error) => void;
}

/** Events that every emitter emits on itself. */
export interface EventEmitterReservedEventsMap {
  newListener: (eventName: string | symbol, listener: (...args: any[]) => void) => void;
  removeListener: (eventName: string | symbol, listener: (...args: any[]) => void) => void;
}

/** An event as it passes a socket's middleware: its name and its arguments. */
export type Event = [eventName: string, ...args: any[]];

/** Lets an event through with `next()`, or drops it with `next(error)`. */
type SocketMiddleware = (event: Event, next: (err?: Error) => void) => void;

interface Flags {
  volatile?: boolean;
  compress?: boolean;
  timeout?: number;
}

const NO_FLAGS: Readonly<Flags> = Object.freeze({});

const NO_MIDDLEWARES: readonly SocketMiddleware[] = [];

/** The client wants no ack. */
const NO_ACK = -1;

/** The type of an event's packet, with attachments or without. */
const EVENT = 2;

/** An event as packages see it that replace `Socket.onevent`. */
export interface EventPacket {
  type: number;
  nsp: string;
  data?: unknown[];
  id?: number | null | undefined;
}

/** One client in one namespace: sends and receives its events, and is a member of rooms. */
export class Socket<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends CatchAllEmitter<ListenEvents, EmitEvents, SocketReservedEventsMap> {
  /** The socket's id, unique among all namespaces. */
  readonly id: string;
  readonly nsp: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  readonly server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  /** Whether the client reconnected and got back its id, rooms and data. */
  readonly recovered: boolean;
  /** Free for the application. */
  data: SocketData;
  /** Whether the socket is connected to its namespace. */
  connected = false;

  /** The socket's number in the core. */
  readonly _key: number;
  /** The secret by which the client asks for its session again, if the namespace's adapter keeps it. */
  declare pid: string | undefined;
  /** See `acks`. */
  declare _acks: Map<number, Listener> | undefined;

  #flags: Flags = NO_FLAGS;
  #middlewares: readonly SocketMiddleware[] = NO_MIDDLEWARES;
  /** Events that have passed onAny and middleware and whose listeners run in the next tick. */
  #nDeferred = 0;
  #isLeaving = false;
  #hasLeft = false;
  #auth: Handshake["auth"];
  #handshake: Handshake | undefined = undefined;
  #record: string | undefined = undefined;
  #client: Client | undefined = undefined;

  constructor(
    nsp: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
    key: number,
    id: string,
    auth: Handshake["auth"],
    restored: { data?: SocketData } | undefined,
  ) {
    super();
    this.nsp = nsp;
    this.server = nsp.server;
    this._key = key;
    this.id = id;
    this.#auth = auth;
    this.recovered = restored !== undefined;
    this.data = restored?.data ?? ({} as SocketData);
    // A client may send an event of this name: without a listener it would end the process.
    this.on("error" as any, ignore as any);
  }

  // ---- Sending

  /** Sends an event. A function as last argument gets the client's answer. */
  override emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean {
    refuseReserved(ev);
    const data: unknown[] = [ev, ...args];
    const flags = this.#takeFlags();
    const ack = data[data.length - 1];
    if (this.nsp._keepsSessions) {
      this.#emitByAdapter(data, flags);
    } else if (typeof ack === "function") {
      data.pop();
      this.#emitWithAck(data, flags, ack as Listener);
    } else {
      this._notifyOutgoing(data);
      // The client gets it if it recovers the session.
      if (this.#hasLeft && this.server.opts.connectionStateRecovery)
        (this.nsp as any).to(this.id).emit(...data);
      else this.server._bridge?.commands.emit(this._key, bitsOf(flags), data, this.nsp.name);
    }
    return true;
  }

  /** Sends an event and resolves with the client's answer. */
  emitWithAck<Ev extends EventNamesWithAck<EmitEvents>>(
    ev: Ev,
    ...args: AllButLast<EventParams<EmitEvents, Ev>>
  ): Promise<AckValue<EmitEvents[Ev]>> {
    const hasTimeout = this.#flags.timeout !== undefined;
    return new Promise((resolve, reject) => {
      const answer = hasTimeout
        ? (err: Error | null, value: any) => (err ? reject(err) : resolve(value))
        : (value: any) => resolve(value);
      this.emit(ev, ...([...args, answer] as any));
    });
  }

  #emitWithAck(data: unknown[], flags: Flags, ack: Listener): void {
    const hasTimeout = flags.timeout !== undefined;
    const listener: AckListener = (status, answers) => {
      if (hasTimeout && (status === AckStatus.TimedOut || status === AckStatus.TooLarge)) {
        ack.call(this, errorOf(status));
      } else if (status === AckStatus.Complete) {
        const values = answers[0] ?? [];
        if (hasTimeout) ack.call(this, null, ...values);
        else ack.apply(this, values);
      }
    };
    this._notifyOutgoing(data);
    const bridge = this.server._bridge;
    if (this.#hasLeft) {
      if (hasTimeout) setTimeout(listener, timeoutOf(flags.timeout), AckStatus.TimedOut, []);
      return;
    }
    const timeout = hasTimeout ? timeoutOf(flags.timeout) : undefined;
    const emit = (timeout: number | undefined, listener: AckListener) =>
      bridge?.commands.emitWithAck(this._key, bitsOf(flags), timeout, data, this.nsp.name, listener);
    if (timeout !== undefined && areTimersReplaced()) emit(undefined, limited(listener, timeout));
    else emit(timeout, listener);
  }

  /** The adapter keeps what the client may miss, so that everything goes by it. */
  #emitByAdapter(data: unknown[], flags: Flags): void {
    const packet: Packet = { type: PacketType.Event, nsp: this.nsp.name, data };
    const ack = data[data.length - 1];
    if (typeof ack === "function") {
      data.pop();
      packet.id = this.nsp._ids;
      this.#awaitAck(packet.id as number, flags.timeout, ack as Listener);
    }
    this.adapter.broadcast(packet, { rooms: new Set([this.id]), except: new Set(), flags: { ...flags } });
  }

  #awaitAck(id: number, timeout: number | undefined, ack: Listener): void {
    if (timeout === undefined) {
      this.acks.set(id, ack);
      return;
    }
    const timer = setTimeout(() => {
      this.acks.delete(id);
      ack.call(this, errorOf(AckStatus.TimedOut));
    }, timeout);
    this.acks.set(id, (...values) => {
      clearTimeout(timer);
      ack.call(this, null, ...values);
    });
  }

  /** Sends an event named `message`. */
  send(...args: EventParams<EmitEvents, "message">): this {
    this.emit("message" as any, ...args);
    return this;
  }

  /** The same as `send`. */
  write(...args: EventParams<EmitEvents, "message">): this {
    return this.send(...args);
  }

  // ---- Flags of the next emit

  /** The next event is dropped if the client is not ready to take it. */
  get volatile(): this {
    this.#flags = { ...this.#flags, volatile: true };
    return this;
  }

  /** Whether the next event may be compressed. */
  compress(compress: boolean): this {
    this.#flags = { ...this.#flags, compress };
    return this;
  }

  /** The next event's answer gets an error first when it takes longer than so many milliseconds. */
  timeout(
    timeout: number,
  ): Socket<ListenEvents, DecorateAcknowledgements<EmitEvents>, ServerSideEvents, SocketData> {
    this.#flags = { ...this.#flags, timeout };
    return this as any;
  }

  #takeFlags(): Flags {
    const flags = this.#flags;
    this.#flags = NO_FLAGS;
    return flags;
  }

  // ---- Sending to others

  /** The sockets of a room, but not this one. */
  to(room: string | string[]): Broadcast<EmitEvents, SocketData> {
    return this.broadcast.to(room);
  }

  /** The same as `to`. */
  in(room: string | string[]): Broadcast<EmitEvents, SocketData> {
    return this.broadcast.to(room);
  }

  /** Everybody but this socket and those of a room. */
  except(room: string | string[]): Broadcast<EmitEvents, SocketData> {
    return this.broadcast.except(room);
  }

  /** Everybody of this node but this socket. */
  get local(): Broadcast<EmitEvents, SocketData> {
    return this.broadcast.local;
  }

  /** Everybody but this socket. */
  get broadcast(): Broadcast<EmitEvents, SocketData> {
    const flags = this.#takeFlags();
    return new BroadcastOperator(this.adapter, new Set(), new Set([this.id]), { ...flags });
  }

  // ---- Rooms

  /** The rooms that the socket is in, its own among them. */
  get rooms(): Set<string> {
    return this.adapter.socketRooms(this.id) ?? new Set();
  }

  /** Joins one room or several. */
  join(rooms: string | string[]): Promise<void> | void {
    if (this.#hasLeft) return;
    if (debug.socket.enabled) debug.socket("join room %s", rooms);
    return this.adapter.addAll(this.id, new Set(Array.isArray(rooms) ? rooms : [rooms]));
  }

  /** Leaves a room. */
  leave(room: string): Promise<void> | void {
    if (debug.socket.enabled) debug.socket("leave room %s", room);
    return this.adapter.del(this.id, room);
  }

  /** Leaves all rooms. */
  leaveAll(): void {
    this.adapter.delAll(this.id);
  }

  // ---- Connection

  /** The namespace's adapter. */
  get adapter(): Adapter {
    return this.nsp.adapter;
  }

  /** What is known from the client's first request. */
  get handshake(): Handshake {
    this.#handshake ??= makeHandshake(this.#readRecord(), this.request, this.#auth);
    return this.#handshake;
  }

  set handshake(handshake: Handshake) {
    this.#handshake = handshake;
  }

  /** The request that opened the connection. */
  get request(): EngineRequest {
    return this.client.request;
  }

  /** The low-level connection. */
  get conn(): EngineSocket {
    return this.client.conn;
  }

  /** What the sockets of one connection share. */
  get client(): Client {
    if (this.#client === undefined) {
      this.#client = this.server._connectionHandler.clientOf(this.#readRecord());
    }
    return this.#client;
  }

  /** Whether the socket is not connected to its namespace. */
  get disconnected(): boolean {
    return !this.connected;
  }

  /** Disconnects the client from the namespace or, with `true`, closes its whole connection. */
  disconnect(close = false): this {
    const bridge = this.server._bridge;
    if (this.connected && bridge !== undefined) {
      bridge.parser?.dismiss([this as unknown as Socket], close);
      this.server._connectionHandler.disconnected(bridge, bridge.flushed.disconnect(this._key, close));
    }
    return this;
  }

  #readRecord(): HandshakeRecord {
    this._keepRecord();
    return JSON.parse(this.#record as string);
  }

  /** Copies the handshake, which the core forgets once the socket is disconnected. */
  _keepRecord(): void {
    this.#record ??= this.server._bridge?.native.handshake(this._key) ?? "{}";
  }

  /** The socket was not let in. */
  _onTurnedAway(): void {
    this.join = ignore;
  }

  /** The socket is connected to its namespace. */
  _onConnect(): void {
    this.connected = true;
  }

  /** The socket disconnects; `release` takes it out of its rooms. */
  _onClose(reason: DisconnectReason, description: Error | undefined, release: () => void): void {
    // A listener may close the server, which disconnects all sockets.
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    try {
      this.emitReserved("disconnecting", reason, description);
    } finally {
      this._keepRecord();
      try {
        release();
      } finally {
        this.connected = false;
        this.#hasLeft = true;
        this.emitReserved("disconnect", reason, description);
      }
    }
  }

  /** The client broke the protocol, or a middleware refused one of its events. */
  _onError(error: Error): void {
    this.emitReserved("error", error);
  }

  // ---- Receiving

  /** An event from the client; `ack` is the number of the answer that it wants. */
  _onEvent(args: unknown[], ack: number): void {
    if (logs.packets) this.#logEvent(args, ack);
    if (!this.connected) return;
    if (this.onevent !== Socket.prototype.onevent) {
      this.onevent({ type: EVENT, nsp: this.nsp.name, data: args, id: ack === NO_ACK ? undefined : ack });
      return;
    }
    if (ack !== NO_ACK) args.push(this.ack(ack));
    if (this._anyListeners === undefined && this.#middlewares.length === 0 && this.#nDeferred === 0) {
      this.#call(args);
      return;
    }
    this.#dispatch(args);
  }

  /**
   * Takes an event, as in socket.io. It is called only where a package has replaced it, as several do to see every event,
   * and calls what it replaced.
   */
  onevent(packet: EventPacket): void {
    const args = packet.data ?? [];
    if (packet.id !== undefined && packet.id !== null) args.push(this.ack(packet.id));
    this.#dispatch(args);
  }

  /** Calls catch-all listeners, middleware, and the event's own listeners. */
  #dispatch(args: unknown[]): void {
    this._notifyIncoming(args);
    this.#nDeferred += 1;
    runMiddlewares(
      this.#middlewares,
      (middleware, next) => middleware(args as Event, next),
      (error?: Error) => process.nextTick(() => this.#afterMiddleware(args, error)),
    );
  }

  #logEvent(args: unknown[], ack: number): void {
    logReceived(PacketType.Event, this.nsp.name, args, ack === NO_ACK ? undefined : ack);
    if (!this.connected) debug.socket("ignore packet received after disconnection");
    else debug.socket("emitting event %j", args);
    if (ack !== NO_ACK) debug.socket("attaching ack callback to event");
  }

  /** The listeners run a tick after onAny and middleware, as they do in socket.io. */
  #afterMiddleware(args: unknown[], error: Error | undefined): void {
    this.#nDeferred -= 1;
    if (error) this._onError(error);
    else if (this.connected) this.#call(args);
  }

  #call(args: unknown[]): void {
    if (logs.packets) debug.socket("dispatching an event %j", args);
    const emit = EventEmitter.prototype.emit;
    if (args.length === 2) emit.call(this, args[0] as string, args[1]);
    else if (args.length === 3) emit.call(this, args[0] as string, args[1], args[2]);
    else emit.apply(this, args as [string]);
  }

  /** Makes the function that answers an event of this ack number. Packages that replace `onevent` call it, too. */
  ack(ack: number): Listener {
    let isSent = false;
    return (...values: unknown[]) => {
      if (isSent) return;
      if (debug.socket.enabled) debug.socket("sending ack %j", values);
      this.server._bridge?.commands.answer(this._key, ack, values, this.nsp.name);
      isSent = true;
    };
  }

  /** Adds a middleware that sees each event before its listeners. */
  use(fn: SocketMiddleware): this {
    // A new list, because events may be passing through the old one.
    this.#middlewares = [...this.#middlewares, fn];
    return this;
  }

  // ---- For adapters that send packets to each socket themselves

  /** Who waits for an ack of a packet that was made here, by its number. */
  get acks(): Map<number, Listener> {
    this._acks ??= new Map();
    this.server._bridge?.expectAcks();
    return this._acks;
  }

  _onAck(id: number, values: unknown[]): void {
    const ack = this._acks?.get(id);
    this._acks?.delete(id);
    ack?.apply(this, values);
  }

  /** Calls the catch-all listeners for outgoing events. */
  notifyOutgoingListeners(packet: Packet): void {
    this._notifyOutgoing(packet.data as unknown[]);
  }

  /** Sends a packet, or messages that make one. */
  packet(packet: Packet | unknown[], options: WriteOptions = {}): void {
    if (!Array.isArray(packet)) packet.nsp = this.nsp.name;
    this.client._packet(packet, options);
  }

  /** Tells the client that it is not let in. */
  _error(error: unknown): void {
    this.packet({ type: PacketType.ConnectError, nsp: this.nsp.name, data: error });
  }

  protected override _onOutgoingListeners(): void {
    // Broadcasts look for such listeners only if a namespace has any.
    if (this._anyOutgoingListeners === undefined) this.nsp._withOutgoingListeners.delete(this._key);
    else if (this.nsp._has(this as any)) this.nsp._withOutgoingListeners.add(this._key);
  }
}

function ignore(): void {}

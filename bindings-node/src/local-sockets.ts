/** The sockets that a namespace has in this process: their rooms, and what is asked of many of them. */

import type { EventEmitter } from "node:events";
import { type AckListener, timeoutOf } from "./ack";
import { areTimersReplaced } from "./ack-timer";
import type { BroadcastOptions, Room, SocketId } from "./adapter";
import { bitsOf, type Selection } from "./commands";
import { LiveMap } from "./live-map";
import type { Namespace } from "./namespace";
import { Flag } from "./native";
import { type Packet, PacketType } from "./parser";
import { RoomIndex } from "./room-index";
import type { Socket } from "./socket";

/**
 * What every adapter does for the sockets of its own process, under the names of adapters. The core does it, a broadcast
 * in one call; the namespace's adapter emits `create-room`, `join-room`, `leave-room` and `delete-room` while somebody
 * listens.
 */
export class LocalSockets {
  /** Every room with the ids of its members. */
  readonly rooms: Map<Room, Set<SocketId>>;
  /** Every socket's id with its rooms. */
  readonly sids: Map<SocketId, Set<Room>>;

  readonly #nsp: Namespace;
  readonly #index: RoomIndex;

  constructor(nsp: Namespace) {
    this.#nsp = nsp;
    const index = new RoomIndex(nsp);
    this.#index = index;
    this.rooms = new LiveMap(
      () => index.all(),
      (room) => index.membersOf(room),
      () => index.count(),
    );
    this.sids = new LiveMap(
      () => [...nsp.sockets.keys()].map((id) => [id, this.socketRooms(id) ?? new Set()]),
      (id) => this.socketRooms(id),
      () => nsp.sockets.size,
    );
  }

  // ---- One socket

  /** Puts a socket into rooms. */
  addAll(id: SocketId, rooms: Set<Room>): void {
    const socket = this.#nsp._find(id);
    if (socket !== undefined) this.#join(socket, rooms);
  }

  /** Takes a socket out of a room. */
  del(id: SocketId, room: Room): void {
    const socket = this.#nsp._find(id);
    if (socket !== undefined) this.#leave(socket, [room]);
  }

  /** Takes a socket out of all rooms. */
  delAll(id: SocketId): void {
    const socket = this.#nsp._find(id);
    const rooms = [...(this.socketRooms(id) ?? [])];
    if (socket !== undefined && rooms.length > 0) this.#leave(socket, rooms);
  }

  /** The rooms of a socket. */
  socketRooms(id: SocketId): Set<Room> | undefined {
    const socket = this.#nsp._find(id);
    return socket === undefined ? undefined : this.#index.roomsOf(socket);
  }

  // ---- Many sockets

  /** Sends a packet to every socket of a selection. */
  broadcast(packet: Packet, opts: BroadcastOptions): void {
    packet.nsp = this.#nsp.name;
    const { type, id, data } = packet;
    if (type === PacketType.Event && id === undefined && Array.isArray(data)) {
      const bits = bitsOf(opts.flags ?? {}) | Flag.Local;
      this.#nsp._broadcast(selectionOf(opts), bits, data);
    } else {
      this.#sendToEach(packet, opts);
    }
  }

  /**
   * The same with acks. One callback gets the number of sockets that are asked, the other each answer; both may be called
   * while others are still awaited, and no answer is after the time in the flags.
   */
  broadcastWithAck(
    packet: Packet,
    opts: BroadcastOptions,
    clientCountCallback: (clientCount: number) => void,
    ack: (...args: unknown[]) => void,
  ): void {
    const nsp = this.#nsp;
    packet.nsp = nsp.name;
    const selection = selectionOf(opts);
    const data = packet.data as unknown[];
    nsp._notifyOutgoing(selection, data);
    const bridge = nsp.server._bridge;
    if (bridge === undefined || nsp._number === -1) {
      clientCountCallback(0);
      return;
    }
    const { timeout } = opts.flags ?? {};
    // Where a test has replaced the timers, whoever gathers the answers has the only one.
    const limit = timeout === undefined || areTimersReplaced() ? undefined : timeoutOf(timeout);
    const bits = bitsOf(opts.flags ?? {}) | Flag.Local;
    const listener: AckListener = (_status, answers) => {
      for (const args of answers) ack(...args);
    };
    clientCountCallback(
      bridge.commands.askEach(nsp._number, selection, bits, limit, data, nsp.name, listener),
    );
  }

  /** A packet that the core does not know how to make, perhaps with the number of an ack that JavaScript waits for. */
  #sendToEach(packet: Packet, opts: BroadcastOptions): void {
    const { volatile, compress } = opts.flags ?? {};
    const messages = this.#nsp.server.encoder.encode(packet);
    this.apply(opts, (socket) => {
      socket.notifyOutgoingListeners(packet);
      socket.client.writeToEngine(messages, { preEncoded: true, volatile, compress });
    });
  }

  /** Calls a function with every socket of a selection. */
  apply(opts: BroadcastOptions, callback: (socket: Socket) => void): void {
    for (const socket of this.#nsp._select(selectionOf(opts))) callback(socket);
  }

  /** The ids of the sockets in any of the rooms; of all sockets if there are none. */
  sockets(rooms: Set<Room>): Promise<Set<SocketId>> {
    const selected = this.#nsp._select(selectionOf({ rooms }));
    return Promise.resolve(new Set(selected.map((socket) => socket.id)));
  }

  /** The sockets of a selection. */
  fetchSockets(opts: BroadcastOptions): Promise<Socket[]> {
    return Promise.resolve(this.#nsp._select(selectionOf(opts)));
  }

  /** Puts every socket of a selection into rooms. */
  addSockets(opts: BroadcastOptions, rooms: Room[]): void {
    if (this.#nsp._number === -1) return;
    const selection = selectionOf(opts);
    if (this.#hasListeners()) for (const socket of this.#nsp._select(selection)) this.#join(socket, rooms);
    else this.#index.joinMany(selection, rooms);
  }

  /** Takes every socket of a selection out of rooms. */
  delSockets(opts: BroadcastOptions, rooms: Room[]): void {
    if (this.#nsp._number === -1) return;
    const selection = selectionOf(opts);
    if (this.#hasListeners()) for (const socket of this.#nsp._select(selection)) this.#leave(socket, rooms);
    else this.#index.leaveMany(selection, rooms);
  }

  /** Disconnects every socket of a selection or, with `close`, ends their whole connections. */
  disconnectSockets(opts: BroadcastOptions, close = false): void {
    const { server, _number } = this.#nsp;
    const bridge = server._bridge;
    if (bridge === undefined || _number === -1) return;
    const selection = selectionOf(opts);
    bridge.parser?.dismiss(this.#nsp._select(selection), close);
    const core = bridge.flushed;
    const rooms = bridge.rooms.listToCore(selection.rooms);
    const except = bridge.rooms.listToCore(selection.except);
    const sockets = core.disconnectMany(_number, rooms, except, close);
    server._connectionHandler.disconnected(bridge, sockets);
  }

  // ---- For the namespace

  /** A socket has connected, which has put it into rooms. */
  connected(socket: Socket): void {
    this.#index.connected(socket);
    if (!this.#hasListeners()) return;
    for (const room of [...(this.socketRooms(socket.id) ?? [])]) {
      if (this.#index.sizeOf(room) === 1) this.#emit("create-room", room);
      this.#emit("join-room", room, socket.id);
    }
  }

  /** A socket disconnects; `release` takes it out of its rooms. */
  disconnecting(socket: Socket, release: () => void): void {
    const hasListeners = this.#hasListeners();
    const rooms = hasListeners || this.#index.hasMembers ? this.socketRooms(socket.id) : undefined;
    release();
    // Its client may have reconnected and taken its place.
    if (this.#nsp._has(socket)) this.#index.disconnected(socket, rooms);
    if (hasListeners) for (const room of [...(rooms ?? [])]) this.#emitLeave(room, socket);
  }

  // ---- Joining and leaving

  #join(socket: Socket, rooms: Iterable<Room>): void {
    if (this.#hasListeners()) this.#joinAndEmit(socket, rooms);
    else this.#index.join(socket, rooms);
  }

  #joinAndEmit(socket: Socket, rooms: Iterable<Room>): void {
    for (const room of rooms) {
      if (this.socketRooms(socket.id)?.has(room)) continue;
      const isNew = this.#index.sizeOf(room) === 0;
      this.#index.join(socket, [room]);
      if (!socket.connected) continue;
      if (isNew) this.#emit("create-room", room);
      this.#emit("join-room", room, socket.id);
    }
  }

  #leave(socket: Socket, rooms: Iterable<Room>): void {
    if (this.#hasListeners()) this.#leaveAndEmit(socket, rooms);
    else this.#index.leave(socket, rooms);
  }

  #leaveAndEmit(socket: Socket, rooms: Iterable<Room>): void {
    for (const room of rooms) {
      if (!this.socketRooms(socket.id)?.has(room)) continue;
      this.#index.leave(socket, [room]);
      if (socket.connected) this.#emitLeave(room, socket);
    }
  }

  #emitLeave(room: Room, socket: Socket): void {
    this.#emit("leave-room", room, socket.id);
    if (this.#index.sizeOf(room) === 0) this.#emit("delete-room", room);
  }

  #emit(event: string, ...args: unknown[]): void {
    (this.#nsp.adapter as EventEmitter).emit(event, ...args);
  }

  #hasListeners(): boolean {
    // It need not be an emitter.
    const adapter: Partial<EventEmitter> = this.#nsp.adapter;
    for (const event of ROOM_EVENTS) if ((adapter.listenerCount?.(event) ?? 0) > 0) return true;
    return false;
  }
}

const ROOM_EVENTS = ["create-room", "join-room", "leave-room", "delete-room"];

/** Adapters leave out what they do not select by. */
function selectionOf({ rooms, except }: BroadcastOptions): Selection {
  return { rooms: rooms ?? NO_ROOMS, except: except ?? NO_ROOMS };
}

/** Never changed. */
const NO_ROOMS: ReadonlySet<Room> = new Set();

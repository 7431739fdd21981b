/** The rooms of a namespace, as applications and packages see them. */

import { EventEmitter } from "node:events";
import type { Selection } from "./commands";
import { LiveMap } from "./live-map";
import type { Namespace } from "./namespace";
import { RoomIndex } from "./room-index";
import type { Socket } from "./socket";

/** The name of a room. */
export type Room = string;

/** The id of a socket. */
export type SocketId = string;

/** Called when a room changes; `socket` is set when it joins or leaves. */
type RoomListener = (room: Room, socket: SocketId) => void;

/**
 * The rooms of one namespace. Its events `create-room`, `join-room`, `leave-room` and `delete-room` are made only while
 * somebody listens.
 */
export class Adapter extends EventEmitter {
  /** Every room with the ids of its members. */
  readonly rooms: ReadonlyMap<Room, Set<SocketId>>;
  /** Every socket's id with its rooms. */
  readonly sids: ReadonlyMap<SocketId, Set<Room>>;

  readonly #index: RoomIndex;

  constructor(readonly nsp: Namespace) {
    super();
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

  /** How many servers there are. */
  serverCount(): Promise<number> {
    return Promise.resolve(1);
  }

  /** Puts a socket into rooms. */
  addAll(id: SocketId, rooms: Set<Room>): Promise<void> | void {
    const socket = this.nsp._find(id);
    if (socket !== undefined) this.#join(socket, rooms);
  }

  /** Takes a socket out of a room. */
  del(id: SocketId, room: Room): Promise<void> | void {
    const socket = this.nsp._find(id);
    if (socket !== undefined) this.#leave(socket, [room]);
  }

  /** Takes a socket out of all rooms. */
  delAll(id: SocketId): void {
    const socket = this.nsp._find(id);
    const rooms = [...(this.socketRooms(id) ?? [])];
    if (socket !== undefined && rooms.length > 0) this.#leave(socket, rooms);
  }

  /** The ids of the sockets in any of the rooms; of all sockets if there are none. */
  sockets(rooms: Set<Room>): Promise<Set<SocketId>> {
    const selected = this.nsp._select({ rooms, except: new Set() });
    return Promise.resolve(new Set(selected.map((socket) => socket.id)));
  }

  /** The rooms of a socket. */
  socketRooms(id: SocketId): Set<Room> | undefined {
    const socket = this.nsp._find(id);
    return socket === undefined ? undefined : this.#index.roomsOf(socket);
  }

  /** The sockets of a selection. */
  fetchSockets(selection: Selection): Promise<Socket[]> {
    return Promise.resolve(this.nsp._select(selection));
  }

  /** Puts every socket of a selection into rooms. */
  addSockets(selection: Selection, rooms: Room[]): void {
    if (this.nsp._number === -1) return;
    if (this.#hasListeners()) for (const socket of this.nsp._select(selection)) this.#join(socket, rooms);
    else this.#index.joinMany(selection, rooms);
  }

  /** Takes every socket of a selection out of rooms. */
  delSockets(selection: Selection, rooms: Room[]): void {
    if (this.nsp._number === -1) return;
    if (this.#hasListeners()) for (const socket of this.nsp._select(selection)) this.#leave(socket, rooms);
    else this.#index.leaveMany(selection, rooms);
  }

  /** A socket has connected, which has put it into rooms. */
  _connected(socket: Socket): void {
    this.#index.connected(socket);
    if (!this.#hasListeners()) return;
    for (const room of [...(this.socketRooms(socket.id) ?? [])]) {
      if (this.#index.sizeOf(room) === 1) this.emit("create-room", room);
      this.emit("join-room", room, socket.id);
    }
  }

  /** A socket disconnects; `release` takes it out of its rooms. */
  _disconnecting(socket: Socket, release: () => void): void {
    const hasListeners = this.#hasListeners();
    const rooms = hasListeners || this.#index.hasMembers ? this.socketRooms(socket.id) : undefined;
    release();
    // Its client may have reconnected and taken its place.
    if (this.nsp._has(socket)) this.#index.disconnected(socket, rooms);
    if (hasListeners) for (const room of [...(rooms ?? [])]) this.#emitLeave(room, socket);
  }

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
      if (isNew) this.emit("create-room", room);
      this.emit("join-room", room, socket.id);
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
    this.emit("leave-room", room, socket.id);
    if (this.#index.sizeOf(room) === 0) this.emit("delete-room", room);
  }

  #hasListeners(): boolean {
    for (const event of ROOM_EVENTS) if (this.listenerCount(event) > 0) return true;
    return false;
  }
}

const ROOM_EVENTS = ["create-room", "join-room", "leave-room", "delete-room"];

export interface Adapter {
  on(event: "create-room" | "join-room" | "leave-room" | "delete-room", listener: RoomListener): this;
  on(event: string, listener: (...args: unknown[]) => void): this;
}

/** The rooms of a namespace, as applications and packages see them. */

import { EventEmitter } from "node:events";
import type { Selection } from "./commands";
import { LiveMap } from "./live-map";
import type { Namespace } from "./namespace";
import type { CoreRoom } from "./room";
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

  /** A cache of the rooms of sockets. Entries of earlier epochs are out of date. */
  readonly #known = new WeakMap<Socket, { epoch: number; rooms: Set<Room> }>();
  /** A cache of the members of rooms: applications often ask how many there are. */
  readonly #members = new Map<Room, Set<SocketId>>();
  /** Goes up when the core moves many sockets at once, of which nothing is known here. */
  #epoch = 0;

  constructor(readonly nsp: Namespace) {
    super();
    this.rooms = new LiveMap(
      () => this.#everyRoom(),
      (room) => this.#membersOf(room),
      () => nsp._core?.roomCount(nsp._number) ?? 0,
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
    if (socket === undefined) return;
    if (this.#hasListeners()) this.#joinAndEmit(socket, rooms);
    else this.#join(socket, rooms);
  }

  /** Takes a socket out of a room. */
  del(id: SocketId, room: Room): Promise<void> | void {
    const socket = this.nsp._find(id);
    if (socket === undefined) return;
    if (this.#hasListeners()) this.#leaveAndEmit(socket, [room]);
    else this.#leave(socket, [room]);
  }

  /** Takes a socket out of all rooms. */
  delAll(id: SocketId): void {
    const socket = this.nsp._find(id);
    const rooms = [...(this.socketRooms(id) ?? [])];
    if (socket === undefined || rooms.length === 0) return;
    if (this.#hasListeners()) this.#leaveAndEmit(socket, rooms);
    else this.#leave(socket, rooms);
  }

  /** The ids of the sockets in any of the rooms; of all sockets if there are none. */
  sockets(rooms: Set<Room>): Promise<Set<SocketId>> {
    const selected = this.nsp._select({ rooms, except: new Set() });
    return Promise.resolve(new Set(selected.map((socket) => socket.id)));
  }

  /** The rooms of a socket. */
  socketRooms(id: SocketId): Set<Room> | undefined {
    const socket = this.nsp._find(id);
    const core = this.nsp._core;
    const names = this.nsp.server._bridge?.rooms;
    if (socket === undefined || core === undefined || names === undefined) return undefined;
    const known = this.#known.get(socket);
    if (known?.epoch === this.#epoch) return known.rooms;
    const list: CoreRoom[] = JSON.parse(core.socketRooms(socket._key));
    const rooms = new Set(list.map((room) => names.fromCore(room)));
    this.#known.set(socket, { epoch: this.#epoch, rooms });
    return rooms;
  }

  /** The sockets of a selection. */
  fetchSockets(selection: Selection): Promise<Socket[]> {
    return Promise.resolve(this.nsp._select(selection));
  }

  /** Puts every socket of a selection into rooms. */
  addSockets(selection: Selection, rooms: Room[]): void {
    if (this.nsp._number === -1) return;
    if (!this.#hasListeners()) {
      this.#forgetAll();
      this.nsp.server._bridge?.commands.joinMany(this.nsp._number, selection, rooms);
      return;
    }
    for (const socket of this.nsp._select(selection)) this.#joinAndEmit(socket, rooms);
  }

  /** Takes every socket of a selection out of rooms. */
  delSockets(selection: Selection, rooms: Room[]): void {
    if (this.nsp._number === -1) return;
    if (!this.#hasListeners()) {
      this.#forgetAll();
      this.nsp.server._bridge?.commands.leaveMany(this.nsp._number, selection, rooms);
      return;
    }
    for (const socket of this.nsp._select(selection)) this.#leaveAndEmit(socket, rooms);
  }

  /** A socket has connected, which puts it into rooms. */
  _connected(socket: Socket): void {
    this.#known.delete(socket);
    if (this.#members.size > 0) this.#addMember(socket, this.socketRooms(socket.id) ?? []);
    if (!this.#hasListeners()) return;
    for (const room of [...(this.socketRooms(socket.id) ?? [])]) {
      if (this.#size(room) === 1) this.emit("create-room", room);
      this.emit("join-room", room, socket.id);
    }
  }

  /** A socket disconnects; `release` takes it out of its rooms. */
  _disconnecting(socket: Socket, release: () => void): void {
    const hasListeners = this.#hasListeners();
    const rooms = hasListeners || this.#members.size > 0 ? this.socketRooms(socket.id) : undefined;
    release();
    // Its client may have reconnected and taken its place.
    if (this.#members.size > 0 && this.nsp._has(socket))
      this.#removeMember(socket, rooms ?? [...this.#members.keys()]);
    if (hasListeners) for (const room of [...(rooms ?? [])]) this.#emitLeave(room, socket);
  }

  /** Drops both caches. */
  #forgetAll(): void {
    this.#epoch += 1;
    this.#members.clear();
  }

  #addMember(socket: Socket, rooms: Iterable<Room>): void {
    for (const room of rooms) this.#members.get(room)?.add(socket.id);
  }

  #removeMember(socket: Socket, rooms: Iterable<Room>): void {
    for (const room of rooms) {
      const members = this.#members.get(room);
      members?.delete(socket.id);
      if (members?.size === 0) this.#members.delete(room);
    }
  }

  #join(socket: Socket, rooms: Iterable<Room>): void {
    this.nsp.server._bridge?.commands.join(socket._key, rooms);
    const known = this.#known.get(socket);
    if (known !== undefined) for (const room of rooms) known.rooms.add(room);
    // Rooms that it joins in middleware count once it is connected.
    if (this.#members.size > 0 && socket.connected) this.#addMember(socket, rooms);
  }

  #leave(socket: Socket, rooms: Iterable<Room>): void {
    this.nsp.server._bridge?.commands.leave(socket._key, rooms);
    const known = this.#known.get(socket);
    if (known !== undefined) for (const room of rooms) known.rooms.delete(room);
    if (this.#members.size > 0 && socket.connected) this.#removeMember(socket, rooms);
  }

  #joinAndEmit(socket: Socket, rooms: Iterable<Room>): void {
    for (const room of rooms) {
      if (this.socketRooms(socket.id)?.has(room)) continue;
      const isNew = this.#size(room) === 0;
      this.#join(socket, [room]);
      if (!socket.connected) continue;
      if (isNew) this.emit("create-room", room);
      this.emit("join-room", room, socket.id);
    }
  }

  #leaveAndEmit(socket: Socket, rooms: Iterable<Room>): void {
    for (const room of rooms) {
      if (!this.socketRooms(socket.id)?.has(room)) continue;
      this.#leave(socket, [room]);
      if (socket.connected) this.#emitLeave(room, socket);
    }
  }

  #emitLeave(room: Room, socket: Socket): void {
    this.emit("leave-room", room, socket.id);
    if (this.#size(room) === 0) this.emit("delete-room", room);
  }

  #everyRoom(): [Room, Set<SocketId>][] {
    const core = this.nsp._core;
    const names = this.nsp.server._bridge?.rooms;
    if (core === undefined || names === undefined) return [];
    const rooms: [CoreRoom, SocketId[]][] = JSON.parse(core.rooms(this.nsp._number));
    return rooms.map(([room, members]) => [names.fromCore(room), new Set(members)]);
  }

  #membersOf(room: Room): Set<SocketId> | undefined {
    const core = this.nsp._core;
    const names = this.nsp.server._bridge?.rooms;
    if (core === undefined || names === undefined) return undefined;
    const known = this.#members.get(room);
    if (known !== undefined) return known;
    const members = new Set(core.members(this.nsp._number, names.toCore(room)));
    if (members.size === 0) return undefined;
    this.#members.set(room, members);
    return members;
  }

  #size(room: Room): number {
    const core = this.nsp._core;
    const name = this.nsp.server._bridge?.rooms.toCore(room) ?? "";
    return core?.roomSize(this.nsp._number, name) ?? 0;
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

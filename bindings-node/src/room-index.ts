/** Who is in which room: what the core knows of one namespace, with copies of what applications ask for again and again. */

import type { Room, SocketId } from "./adapter";
import type { Selection } from "./commands";
import type { Namespace } from "./namespace";
import type { CoreRoom } from "./room";
import type { Socket } from "./socket";

/** Reads and changes the rooms of one namespace in the core. */
export class RoomIndex {
  readonly #namespace: Namespace;
  /** Copies of the rooms of sockets. Those of earlier epochs are out of date. */
  readonly #roomsOf = new WeakMap<Socket, { epoch: number; rooms: Set<Room> }>();
  /** Copies of the members of rooms: applications often ask how many there are. */
  readonly #membersOf = new Map<Room, Set<SocketId>>();
  /** Goes up when the core moves many sockets at once: which ones, only the core knows. */
  #epoch = 0;

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
  }

  // ---- Reading

  /** The rooms of a socket. */
  roomsOf(socket: Socket): Set<Room> | undefined {
    const core = this.#namespace._core;
    const names = this.#namespace.server._bridge?.rooms;
    if (core === undefined || names === undefined) return undefined;
    const copy = this.#roomsOf.get(socket);
    if (copy?.epoch === this.#epoch) return copy.rooms;
    const list: CoreRoom[] = JSON.parse(core.socketRooms(socket._key));
    const rooms = new Set(list.map((room) => names.fromCore(room)));
    this.#roomsOf.set(socket, { epoch: this.#epoch, rooms });
    return rooms;
  }

  /** The members of a room; `undefined` if it has none. */
  membersOf(room: Room): Set<SocketId> | undefined {
    const core = this.#namespace._core;
    const names = this.#namespace.server._bridge?.rooms;
    if (core === undefined || names === undefined) return undefined;
    const copy = this.#membersOf.get(room);
    if (copy !== undefined) return copy;
    const members = new Set(core.members(this.#namespace._number, names.toCore(room)));
    if (members.size === 0) return undefined;
    this.#membersOf.set(room, members);
    return members;
  }

  /** Every room with its members. */
  all(): [Room, Set<SocketId>][] {
    const core = this.#namespace._core;
    const names = this.#namespace.server._bridge?.rooms;
    if (core === undefined || names === undefined) return [];
    const rooms: [CoreRoom, SocketId[]][] = JSON.parse(core.rooms(this.#namespace._number));
    return rooms.map(([room, members]) => [names.fromCore(room), new Set(members)]);
  }

  /** How many rooms there are. */
  count(): number {
    return this.#namespace._core?.roomCount(this.#namespace._number) ?? 0;
  }

  /** How many members a room has. */
  sizeOf(room: Room): number {
    const core = this.#namespace._core;
    const name = this.#namespace.server._bridge?.rooms.toCore(room) ?? "";
    return core?.roomSize(this.#namespace._number, name) ?? 0;
  }

  // ---- Changing

  /** Puts a socket into rooms. */
  join(socket: Socket, rooms: Iterable<Room>): void {
    this.#namespace.server._bridge?.commands.join(socket._key, rooms);
    const copy = this.#roomsOf.get(socket);
    if (copy !== undefined) for (const room of rooms) copy.rooms.add(room);
    // Rooms that it joins in middleware count once it is connected.
    if (socket.connected) this.#addMember(socket, rooms);
  }

  /** Takes a socket out of rooms. */
  leave(socket: Socket, rooms: Iterable<Room>): void {
    this.#namespace.server._bridge?.commands.leave(socket._key, rooms);
    const copy = this.#roomsOf.get(socket);
    if (copy !== undefined) for (const room of rooms) copy.rooms.delete(room);
    if (socket.connected) this.#removeMember(socket, rooms);
  }

  /** Puts every socket of a selection into rooms. */
  joinMany(selection: Selection, rooms: Room[]): void {
    this.#dropCopies();
    this.#namespace.server._bridge?.commands.joinMany(this.#namespace._number, selection, rooms);
  }

  /** Takes every socket of a selection out of rooms. */
  leaveMany(selection: Selection, rooms: Room[]): void {
    this.#dropCopies();
    this.#namespace.server._bridge?.commands.leaveMany(this.#namespace._number, selection, rooms);
  }

  /** A socket has connected, which has put it into rooms. */
  connected(socket: Socket): void {
    this.#roomsOf.delete(socket);
    if (this.#membersOf.size > 0) this.#addMember(socket, this.roomsOf(socket) ?? []);
  }

  /** Whether the copies have members, so that `disconnected` has to know the rooms that a socket is in. */
  get hasMembers(): boolean {
    return this.#membersOf.size > 0;
  }

  /** A socket has disconnected, which has taken it out of its rooms: these, or any if nothing is given. */
  disconnected(socket: Socket, rooms: Iterable<Room> | undefined): void {
    this.#removeMember(socket, rooms ?? this.#membersOf.keys());
  }

  #addMember(socket: Socket, rooms: Iterable<Room>): void {
    if (this.#membersOf.size === 0) return;
    for (const room of rooms) this.#membersOf.get(room)?.add(socket.id);
  }

  #removeMember(socket: Socket, rooms: Iterable<Room>): void {
    if (this.#membersOf.size === 0) return;
    for (const room of rooms) {
      const members = this.#membersOf.get(room);
      members?.delete(socket.id);
      if (members?.size === 0) this.#membersOf.delete(room);
    }
  }

  #dropCopies(): void {
    this.#epoch += 1;
    this.#membersOf.clear();
  }
}

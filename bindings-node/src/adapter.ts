// biome-ignore-all lint/suspicious/noExplicitAny: adapters of other packages have types of their own.
/** Adapters: through them a namespace works with its rooms and, where they belong to a cluster, with other servers. */

import { EventEmitter } from "node:events";
import type { Namespace } from "./namespace";
import type { Packet } from "./parser";
import type { Socket } from "./socket";

/** The name of a room. */
export type Room = string;

/** The id of a socket. */
export type SocketId = string;

/** How a broadcast is sent. */
export interface BroadcastFlags {
  volatile?: boolean;
  compress?: boolean;
  local?: boolean;
  timeout?: number;
  /** The answer is that of one socket, and no list. */
  expectSingleResponse?: boolean;
}

/** For which sockets something is, and how it is sent. */
export interface BroadcastOptions {
  rooms: ReadonlySet<Room>;
  except?: ReadonlySet<Room>;
  flags?: BroadcastFlags;
}

/** What an adapter keeps of a socket whose client may come back. */
export interface SessionToPersist {
  sid: SocketId;
  /** The secret by which the client asks for it. */
  pid: string;
  rooms: Room[];
  data: any;
}

/** The same, with what the client has missed. */
export interface RestoredSession extends SessionToPersist {
  missedPackets: unknown[][];
}

/** What a namespace asks of its adapter: the interface of npm's `socket.io-adapter`. */
export interface AnyAdapter {
  init(): Promise<void> | void;
  close(): Promise<void> | void;
  serverCount(): Promise<number>;
  addAll(id: SocketId, rooms: Set<Room>): Promise<void> | void;
  del(id: SocketId, room: Room): Promise<void> | void;
  delAll(id: SocketId): void;
  broadcast(packet: any, opts: any): void;
  broadcastWithAck(
    packet: any,
    opts: any,
    clientCountCallback: (clientCount: number) => void,
    ack: (...args: any[]) => void,
  ): void;
  sockets(rooms: Set<Room>): Promise<Set<SocketId>>;
  socketRooms(id: SocketId): Set<Room> | undefined;
  fetchSockets(opts: any): Promise<any[]>;
  addSockets(opts: any, rooms: Room[]): void;
  delSockets(opts: any, rooms: Room[]): void;
  disconnectSockets(opts: any, close: boolean): void;
  serverSideEmit(packet: any[]): void;
  persistSession(session: any): void;
  restoreSession(pid: string, offset: string): Promise<any> | null;
}

/** Makes the adapter of a namespace: a class, or a function. */
export type AdapterConstructor = (new (nsp: any) => AnyAdapter) | ((nsp: any) => AnyAdapter);

/** Called when a room changes; `socket` is set when it joins or leaves. */
type RoomListener = (room: Room, socket: SocketId) => void;

/**
 * The adapter of a server that is alone. Its events `create-room`, `join-room`, `leave-room` and `delete-room` are made only
 * while somebody listens.
 */
export class Adapter extends EventEmitter implements AnyAdapter {
  /** Every room with the ids of its members. */
  readonly rooms: Map<Room, Set<SocketId>>;
  /** Every socket's id with its rooms. */
  readonly sids: Map<SocketId, Set<Room>>;

  constructor(readonly nsp: Namespace) {
    super();
    this.rooms = nsp._local.rooms;
    this.sids = nsp._local.sids;
  }

  /** Called once it is the adapter of its namespace. */
  init(): Promise<void> | void {}

  /** Called when the server closes, or the namespace goes. */
  close(): Promise<void> | void {}

  /** How many servers there are. */
  serverCount(): Promise<number> {
    return Promise.resolve(1);
  }

  /** Puts a socket into rooms. */
  addAll(id: SocketId, rooms: Set<Room>): Promise<void> | void {
    this.nsp._local.addAll(id, rooms);
  }

  /** Takes a socket out of a room. */
  del(id: SocketId, room: Room): Promise<void> | void {
    this.nsp._local.del(id, room);
  }

  /** Takes a socket out of all rooms. */
  delAll(id: SocketId): void {
    this.nsp._local.delAll(id);
  }

  /** Sends a packet to every socket of a selection. */
  broadcast(packet: Packet, opts: BroadcastOptions): void {
    this.nsp._local.broadcast(packet, opts);
  }

  /**
   * The same with acks: one callback gets the number of sockets that are asked, the other what each of them answers.
   */
  broadcastWithAck(
    packet: Packet,
    opts: BroadcastOptions,
    clientCountCallback: (clientCount: number) => void,
    ack: (...args: any[]) => void,
  ): void {
    this.nsp._local.broadcastWithAck(packet, opts, clientCountCallback, ack);
  }

  /** The ids of the sockets in any of the rooms; of all sockets if there are none. */
  sockets(rooms: Set<Room>): Promise<Set<SocketId>> {
    return this.nsp._local.sockets(rooms);
  }

  /** The rooms of a socket. */
  socketRooms(id: SocketId): Set<Room> | undefined {
    return this.nsp._local.socketRooms(id);
  }

  /** The sockets of a selection. */
  fetchSockets(opts: BroadcastOptions): Promise<Socket[]> {
    return this.nsp._local.fetchSockets(opts);
  }

  /** Puts every socket of a selection into rooms. */
  addSockets(opts: BroadcastOptions, rooms: Room[]): void {
    this.nsp._local.addSockets(opts, rooms);
  }

  /** Takes every socket of a selection out of rooms. */
  delSockets(opts: BroadcastOptions, rooms: Room[]): void {
    this.nsp._local.delSockets(opts, rooms);
  }

  /** Disconnects every socket of a selection or, with `close`, ends their whole connections. */
  disconnectSockets(opts: BroadcastOptions, close: boolean): void {
    this.nsp._local.disconnectSockets(opts, close);
  }

  /** Sends an event to the other servers. A function as last argument gets an error or `null`, and their answers. */
  serverSideEmit(packet: unknown[]): void {
    const answer = packet[packet.length - 1];
    // There are no other servers, so there are no answers either.
    if (typeof answer === "function") process.nextTick(answer as () => void, null, []);
  }

  /** Keeps the session of a client that may come back. With this adapter the core does. */
  persistSession(_session: SessionToPersist): void {}

  /** Gives a session back, with what the client has missed. */
  restoreSession(_pid: string, _offset: string): Promise<RestoredSession> | null {
    return null;
  }
}

export interface Adapter {
  on(event: "create-room" | "join-room" | "leave-room" | "delete-room", listener: RoomListener): this;
  on(event: string, listener: (...args: unknown[]) => void): this;
}

/** The interface of the native library, and its loading. */

import path from "node:path";

/** What happened, as the first number of a record in a drained batch. */
export const enum Kind {
  Event = 0,
  BinaryEvent = 1,
  Connect = 2,
  Ack = 3,
  Problem = 4,
  Disconnect = 5,
  Forget = 6,
  AskRequest = 7,
  AskOrigin = 8,
  AskNamespace = 9,
  Response = 10,
  ResumeBody = 11,
  StreamData = 12,
  StreamEnd = 13,
  PortClosed = 14,
  Withdrawn = 15,
  ConnectionEnd = 16,
  ForgetRequest = 17,
}

/** What is asked of the core, as the first number of a command in a flushed batch. */
export const enum Command {
  Emit = 0,
  EmitWithAck = 1,
  Answer = 2,
  Broadcast = 3,
  BroadcastWithAck = 4,
  Join = 5,
  Leave = 6,
  JoinMany = 7,
  LeaveMany = 8,
  Depart = 9,
}

/** How an event is sent, as bits. */
export const enum Flag {
  Volatile = 1,
  Local = 2,
  Uncompressed = 4,
}

/** In the place of a text's length. */
export const enum Text {
  /** There is no such text. */
  Absent = -2,
  /** The text crosses on its own. */
  Large = -1,
}

/** How the wait for acks ended. */
export const enum AckStatus {
  Complete = 0,
  TimedOut = 1,
  Gone = 2,
  /** The answers are more than may be kept. */
  TooLarge = 3,
}

/**
 * One server of the core. Numbers name what it keeps: sockets, namespaces, open questions. None is ever used twice, and one
 * whose thing has gone names nothing.
 */
export interface NativeServer {
  /**
   * Takes what happened since; a JSON array: whether more waits, whether something crosses beside it, then records of
   * four values each.
   */
  drain(): string;
  /** The same of what is for Node's HTTP server alone. */
  drainCarried(): string;
  /** What crosses beside the last batch. In the place of what JavaScript cannot hold there is nothing. */
  beside(): (string | Buffer | null)[];
  /**
   * Carries out a batch of commands, in order. Returns whether there is something to drain, of which no wake tells.
   * Batches of one turn make one moment to volatile events.
   */
  flush(
    turn: number,
    commands: Float64Array,
    length: number,
    texts: string,
    large: string[] | undefined,
    attachments: Uint8Array[] | undefined,
  ): boolean;

  namespace(name: string): number;
  /** Forgets the number, if given, and removes the namespace if nobody is in it. */
  removeNamespace(name: string, namespace: number | undefined): void;
  /** Rooms are JSON texts, which `room.ts` writes and reads. */
  fetch(namespace: number, rooms: string, except: string): number[];
  /** A JSON array of pairs: a room and its members. */
  rooms(namespace: number): string;
  /** How many rooms there are. */
  roomCount(namespace: number): number;
  /** The ids of a room's members. */
  members(namespace: number, room: string): string[];
  /** How many members a room has. */
  roomSize(namespace: number, room: string): number;
  disconnectMany(namespace: number, rooms: string, except: string, close: boolean): Departure[];
  /** The numbers of the values that no room stands for any more; they are forgotten. */
  unusedRooms(): number[];

  /** Whether a client waits to be let in as this socket. */
  isPending(socket: number): boolean;
  accept(socket: number): boolean;
  refuse(socket: number, message: string, data: string | undefined): void;
  /** The rooms as JSON text. */
  socketRooms(socket: number): string;
  /** The handshake as JSON text. */
  handshake(socket: number): string | null;
  disconnect(socket: number, close: boolean): Departure[];

  /** The transport of a connection, by its id; `null` once it is closed. */
  transport(connection: string): string | null;
  /** Has the end of a connection told. Returns `false` when it has ended already. */
  watchConnection(connection: string): boolean;
  closeConnection(connection: string): Departure[];

  answerRequest(question: number, refusal: string | undefined): void;
  answerOrigin(question: number, decision: string): void;
  /** Returns whether anybody waits for it still. */
  answerNamespace(question: number, exists: boolean): boolean;

  /** `kept` is the number of a request whose object is kept until `ForgetRequest` tells that nobody needs it, or 0. */
  adopt(head: string, kept: number, descriptor: number, readAlready: Uint8Array): void;
  /** Returns whether there is something to drain, of which no wake tells. */
  request(head: string, tag: number, kept: number, hasBody: boolean): boolean;
  /** Whether the sender should wait for `ResumeBody`. */
  requestBody(tag: number, chunk: Uint8Array): boolean;
  /** Returns whether there is something to drain, of which no wake tells. */
  requestEnd(tag: number): boolean;
  /** The client has gone before its request was answered. */
  requestAbort(tag: number): void;
  stream(head: string, tag: number, kept: number, readAlready: Uint8Array): void;
  streamData(tag: number, chunk: Uint8Array): boolean;
  streamDrained(tag: number): void;
  streamEnd(tag: number): void;
  /** Opens a port of the core's own and returns its number; the folder is that of the browser's client, if served. */
  listen(descriptor: number, clientFolder: string | undefined, clientVersion: string | undefined): void;
  /** Closes it; `PortClosed` tells when others can have it. */
  closePort(): void;

  clientsCount(): number;
  /** How much is held, by kinds; for tests. */
  held(): Record<string, number>;
  close(): void;
}

/** A socket that has left, and why. */
export interface Departure {
  socket: number;
  reason: string;
}

/** One option, as the core's table has it. */
export interface OptionEntry {
  /** Dotted where it is nested. */
  name: string;
  /** Whether the core reads it. */
  isRead: boolean;
  /** Its type, if it is one plain type. */
  plainType: string | undefined;
  /** What is said of it where it is declared. */
  text: string;
}

interface NativeModule {
  NativeServer: {
    new (options: string, wake: () => void): NativeServer;
    /** Checks options without making a server. */
    checkOptions(options: string): void;
    /** Every option. */
    optionTable(): OptionEntry[];
  };
}

/** The native library of this platform, built or installed beside the compiled sources. */
export const native: NativeModule = require(
  path.join(__dirname, `../ferrio.${process.platform}-${process.arch}.node`),
);

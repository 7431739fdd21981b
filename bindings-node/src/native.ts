/** The interface of the native library. */

import { loadLibrary } from "./library";

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
  ConnectAborted = 15,
  SessionEnd = 16,
  ForgetRequest = 17,
  SessionOpen = 18,
  SessionMessage = 19,
  SessionPacket = 20,
  SessionPacketCreate = 21,
  SessionSign = 22,
  AskHeaders = 23,
  Refused = 24,
  OpeningResponse = 25,
  SessionEnding = 26,
  SessionEnded = 27,
  SessionRefused = 28,
  UnexpectedAck = 29,
}

/** What a session of the engine tells with nothing but its name. */
export const enum SessionSign {
  Heartbeat = 0,
  Flush = 1,
  Drain = 2,
  Upgrading = 3,
  Upgrade = 4,
  UpgradeFailed = 5,
  Told = 6,
}

/** What a session is watched for, as bits: the same as `Watch` in the core. */
export const enum Watch {
  Nothing = 0,
  Packet = 1,
  PacketCreate = 1 << 1,
  Heartbeat = 1 << 2,
  Drain = 1 << 4,
  Upgrading = 1 << 5,
  Upgrade = 1 << 6,
  Message = 1 << 7,
  Close = 1 << 8,
  Told = 1 << 9,
}

/** The state of a session that is open, as bits. */
export const enum SessionState {
  Over = 0,
  Open = 1,
  WebSocket = 2,
  Upgrading = 4,
  Writable = 8,
  /** Everything has left. */
  Drained = 16,
}

/**
 * What is asked of the core, as the first number of a command in a flushed batch: the same as the library's own list.
 */
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
  Release = 9,
  SendPacket = 10,
  Receive = 11,
  EndSession = 12,
}

/** How an event is sent, as bits. */
export const enum Flag {
  Volatile = 1,
  Local = 2,
  Uncompressed = 4,
  /** Of a packet of the engine: it is told, like those that the core makes. */
  Told = 8,
}

/** In the place of a text's length. */
export const enum Text {
  /** There is no such text. */
  Absent = -2,
  /** The text is passed on its own. */
  Large = -1,
}

/** How the wait for acks ended. */
export const enum AckStatus {
  Complete = 0,
  TimedOut = 1,
  Disconnected = 2,
  /** The answers are larger than allowed. */
  TooLarge = 3,
  /** It goes on: this is one answer of many that come one by one. */
  OneOfMany = 4,
}

/**
 * One server of the core. What it keeps (sockets, namespaces, open questions) has numbers. None is ever used twice; the
 * number of something that is gone is ignored.
 */
export interface NativeServer {
  /**
   * Takes what happened since; a JSON array: whether more waits, whether something crosses beside it, then records of
   * four values each.
   */
  drain(): string;
  /** The same for the records that are for Node's HTTP server. */
  drainCarried(): string;
  /** The values that come beside the last batch; `null` for what is too large for JavaScript. */
  beside(): (string | Buffer | null)[];
  /**
   * Carries out a batch of commands, in order. Returns whether there is something to drain: `wake` is not called for
   * that. To volatile events, all batches of one turn happen at the same time.
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
  disconnectMany(namespace: number, rooms: string, except: string, close: boolean): DisconnectedSocket[];
  /** Forgets the values that are no room any more, and returns their numbers. */
  unusedRooms(): number[];

  /**
   * Asks every socket of a selection for an ack. Returns how many they are; a record follows for each ack, and a last one.
   * Nothing if there is no such namespace.
   */
  askEach(ask: AskEach, attachments: Uint8Array[]): number | null;
  /** A number for the ack of a packet that is made here. */
  nextAckId(namespace: number): number | null;
  /** Has acks told for which the core does not wait. */
  tellUnexpectedAcks(): void;
  /** Sessions of the namespace are kept here: the core keeps none any more. */
  leaveRecoveryToHost(namespace: number): void;
  /** Has a client come under this id and secret. Returns the number of the socket that it is then; 0 if it has gone. */
  identify(socket: number, id: string, secret: string): number;
  /** Sends an event that a client has missed, before it is accepted. */
  replay(socket: number, text: string, attachments: Uint8Array[]): void;

  /** Whether the client of this socket still waits to be accepted. */
  isPending(socket: number): boolean;
  accept(socket: number): boolean;
  refuse(socket: number, message: string, data: string | undefined): void;
  /** The rooms as JSON text. */
  socketRooms(socket: number): string;
  /** The handshake as JSON text. */
  handshake(socket: number): string | null;
  /** What was wrong with the packet or the transport that ended a socket's connection. */
  fault(socket: number): string | null;
  disconnect(socket: number, close: boolean): DisconnectedSocket[];

  /** What sessions that open from now on are watched for. */
  watchNewSessions(events: Watch): void;
  /** Whether refusals are told, headers asked for, and requests asked about. */
  ask(refusals: boolean, headers: boolean, requests: boolean): void;
  /** Changes the engine's options; `isEngine` as for a new server. Those that cannot be changed stay. */
  reconfigure(options: string, isEngine: boolean): void;
  /** Sends this to every session first. */
  greet(message: string | Uint8Array): void;
  /** The ids of all sessions. */
  sessions(): string[];
  /** The handshake of a session as JSON text. */
  session(id: string): string | null;
  sessionState(id: string): SessionState;
  /** Asks for records of these events, and no others. Returns `false` if the session has ended. */
  watchSession(id: string, events: Watch): boolean;
  closeSession(id: string, discard: boolean): ClosedSession;

  /** `kept` as for `adopt`. */
  admitRequest(question: number, id: string | undefined, kept: number): void;
  /** Without a text because no id could be made. */
  refuseRequest(question: number, text: string | undefined): void;
  /** Names and values in turn. */
  answerHeaders(question: number, fields: string[]): void;
  answerOrigin(question: number, decision: string): void;
  /** Returns whether the client still waits for it. */
  answerNamespace(question: number, exists: boolean): boolean;

  /** `kept` is the number of the request if its object is kept until `ForgetRequest`, otherwise 0. */
  adopt(head: string, kept: number, descriptor: number, readAlready: Uint8Array): void;
  /** Returns whether there is something to drain, of which no wake tells. */
  request(head: string, tag: number, kept: number, hasBody: boolean): boolean;
  /** Whether the sender should wait for `ResumeBody`. */
  requestBody(tag: number, chunk: Uint8Array): boolean;
  /** Returns whether there is something to drain, of which no wake tells. */
  requestEnd(tag: number): boolean;
  /** The client has closed the connection before its request was answered. */
  requestAbort(tag: number): void;
  stream(head: string, tag: number, kept: number, readAlready: Uint8Array): void;
  streamData(tag: number, chunk: Uint8Array): boolean;
  streamDrained(tag: number): void;
  streamEnd(tag: number): void;
  /** Opens a port of the core's own; the folder is that of the browser's client, if it is served. */
  listen(descriptor: number, clientFolder: string | undefined, clientVersion: string | undefined): void;
  /** Closes it; a record `PortClosed` follows when it can be used again. */
  closePort(): void;

  /** Shows the server to admin clients from now on. */
  instrument(settings: AdminSettings): void;
  /** Shows it to this socket, which is one of them. */
  showTo(socket: number): void;
  /** Shows what the application keeps with a socket, as JSON text. */
  showData(socket: number, data: string): void;

  clientsCount(): number;
  /** How many objects are kept, by kind; for tests. */
  held(): Record<string, number>;
  close(): void;
}

/** A broadcast whose acks are told one by one. */
export interface AskEach {
  namespace: number;
  rooms: string;
  except: string;
  flags: number;
  /** Milliseconds; -1 for none. */
  timeout: number;
  token: number;
  text: string;
}

/** A socket that was disconnected, and why. */
export interface DisconnectedSocket {
  socket: number;
  reason: string;
}

/** What came of closing a session. */
export interface ClosedSession {
  sockets: DisconnectedSocket[];
  /** Whether its client has been told, or need not be. Otherwise it will be by its next poll. */
  isTold: boolean;
}

/** What an admin UI is told. */
export interface AdminSettings {
  namespace: string;
  serverId: string;
  hostname: string;
  /** For how many seconds the process has been running. */
  uptime: number;
  /** Whether each socket and event is shown. */
  showsAll: boolean;
  takesCommands: boolean;
  showsSecrets: boolean;
  /** Milliseconds from one snapshot of the counters to the next. */
  interval: number;
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
  /** The library's own list of commands. */
  Command: Record<keyof typeof Command, number>;
  NativeLogin: {
    new (
      username: string,
      hash: string,
    ): {
      /** `null` if there were too many attempts. */
      check(username: string, password: string, address: string): Promise<boolean | null>;
    };
  };
  NativeServer: {
    /** With `isEngine` it is an Engine.IO server alone. */
    new (
      options: string,
      wake: () => void,
      resource: { hasRef(): boolean },
      isEngine?: boolean,
    ): NativeServer;
    /** Checks options without making a server. */
    checkOptions(options: string, isEngine?: boolean): void;
    /** Every option. */
    optionTable(): OptionEntry[];
  };
}

/** The native library of this platform. */
export const native = loadLibrary() as NativeModule;

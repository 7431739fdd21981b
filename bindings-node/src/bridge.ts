/** The border between JavaScript and the core: what happened comes in by batches, what is asked goes out by batches. */

import type { AckListener } from "./ack";
import type { RequestHead } from "./handshake";
import { type AckStatus, Command, Flag, Kind, type NativeServer, native } from "./native";
import { Rooms } from "./room";
import type { Socket } from "./socket";
import { encodeBinary, hasBinary, restoreBinary } from "./value";

/**
 * How long one turn delivers before timers and HTTP requests of the application get theirs. Long enough that a busy
 * server drains in batches, short enough that nobody notices.
 */
const TURN_MS = 4;

/**
 * Turns that follow each other sooner than this are one: Node hands on up to a thousand wake-ups before it looks at
 * anything else.
 */
const GAP_MS = 0.5;

/** Records between two looks at the clock. */
const UNTIMED_RECORDS = 8;

/** Commands wait for the end of the turn, but not more than this many characters of them. */
const MAX_TEXT = 1 << 18;

/** Numbers in one batch of commands; each command takes at most seven. */
const MAX_NUMBERS = 1 << 13;

/** Binary values below this size are copied; for a larger one the batch is handed over at once. */
const SMALL_ATTACHMENT = 4096;

/** Values in one record of a batch. */
const RECORD = 4;

/** What the bridge tells of, besides events and acks of sockets. */
export interface Host {
  onConnect(bridge: Bridge, socket: number, told: Connecting): void;
  onWithdrawn(bridge: Bridge, socket: number, namespace: string): void;
  onDisconnect(bridge: Bridge, socket: Socket, reason: string): void;
  onConnectionEnd(connection: string, reason: string): void;
  onForget(socket: number): void;
  onForgetRequest(request: number): void;
  onAskRequest(bridge: Bridge, question: number, tag: number, head: RequestHead): void;
  onAskOrigin(bridge: Bridge, question: number, tag: number, head: RequestHead): void;
  onAskNamespace(bridge: Bridge, question: number, name: string, auth: object): void;
  onResponse(tag: number, status: number, headers: string[], body: string | Buffer): void;
  onResumeBody(tag: number): void;
  onStreamData(tag: number, chunk: Buffer): void;
  onStreamEnd(tag: number): void;
}

/** What is told of a client that wants to join: `previous` is the number of the socket that it continues, or 0. */
export type Connecting = [
  namespace: string,
  id: string,
  previous: number,
  auth: object,
  nAttachments: number,
];

/** Carries batches between one `Server` and its core. */
export class Bridge {
  readonly native: NativeServer;
  /** The connected sockets, and those that wait to be admitted, by number. */
  readonly sockets = new Map<number, Socket>();
  readonly rooms = new Rooms();

  readonly #host: Host;
  readonly #acks = new Map<number, AckListener>();
  #nextToken = 1;
  #onPortClosed: (() => void) | undefined = undefined;

  #records: unknown[] = [];
  #position = 0;
  #attachments: Buffer[] = [];
  #attachmentIdx = 0;
  #moreWaits = false;
  #isScheduled = false;
  /** When the turn began, and when something was last delivered in it. */
  #turnBegan = 0;
  #turnEnded = 0;
  readonly #pump = (): void => this.#deliverTurn();
  readonly #pumpAnew = (): void => {
    // Timers and I/O had their turn.
    this.#turnEnded = 0;
    this.#deliverTurn();
  };

  readonly #commands = new Float64Array(MAX_NUMBERS);
  #nNumbers = 0;
  #texts = "";
  #outgoing: Uint8Array[] = [];
  #isUrgent = false;
  #isFlushScheduled = false;
  #isDelivering = false;
  readonly #flush = (): void => {
    this.#isFlushScheduled = false;
    this.flush();
  };

  constructor(options: string, host: Host) {
    this.#host = host;
    // Held weakly: whoever can still be reached by clients holds the server, and a server that nobody holds shall go.
    const self = new WeakRef(this);
    this.native = new native.NativeServer(options, () => self.deref()?.wake());
  }

  // ---- In

  /** Something happened that has not been taken yet. */
  wake(): void {
    this.#moreWaits = true;
    if (!this.#isScheduled) this.#schedule();
  }

  /** The same, but once all that Node has read by now is taken in: requests come many at a time. */
  wakeLater(): void {
    this.#moreWaits = true;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#pumpAnew);
  }

  /** A tick of its own, so that what a listener throws is an uncaught exception like any other. */
  #schedule(): void {
    this.#isScheduled = true;
    process.nextTick(this.#pump);
  }

  #deliverTurn(): void {
    const start = performance.now();
    if (start - this.#turnEnded > GAP_MS) this.#turnBegan = start;
    try {
      this.#isDelivering = true;
      while (this.#deliverBatch() && this.#moreWaits) this.#take();
    } finally {
      this.#isDelivering = false;
      this.flush();
      if (this.#isTimeUp()) {
        setImmediate(this.#pumpAnew);
      } else if (this.#moreWaits || this.#position < this.#records.length) {
        // A listener threw: the rest of its batch comes right after.
        this.#schedule();
      } else {
        this.#isScheduled = false;
      }
    }
  }

  #take(): void {
    this.#moreWaits = false;
    this.#records = JSON.parse(this.native.drain());
    this.#moreWaits ||= this.#records[0] === 1;
    this.#position = 2;
    if (this.#records[1] === 1) {
      this.#attachments = this.native.attachments();
      this.#attachmentIdx = 0;
    }
  }

  #isTimeUp(): boolean {
    this.#turnEnded = performance.now();
    return this.#turnEnded - this.#turnBegan > TURN_MS;
  }

  /** Returns whether there is time for more. */
  #deliverBatch(): boolean {
    const records = this.#records;
    for (let n = 1; this.#position < records.length; n += 1) {
      if (n % UNTIMED_RECORDS === 0 && this.#isTimeUp()) return false;
      const at = this.#position;
      this.#position = at + RECORD;
      this.#deliver(
        records[at] as Kind,
        records[at + 1] as number,
        records[at + 2] as number,
        records[at + 3],
      );
    }
    this.#records = [];
    this.#position = 0;
    return !this.#isTimeUp();
  }

  #deliver(kind: Kind, subject: number, detail: number, data: unknown): void {
    switch (kind) {
      case Kind.Event:
        this.sockets.get(subject)?._onEvent(data as unknown[], detail);
        break;
      case Kind.BinaryEvent:
        this.sockets.get(subject)?._onEvent(this.#restore(data as BinaryPayload), detail);
        break;
      case Kind.Ack:
        this.#onAck(subject, detail, data as unknown[][]);
        break;
      case Kind.BinaryAck:
        this.#onAck(
          subject,
          detail,
          (data as BinaryPayload[]).map((answer) => this.#restore(answer)),
        );
        break;
      case Kind.Connect: {
        const told = data as Connecting;
        if (told[4] > 0) told[3] = this.#restore([told[4], told[3]]) as object;
        this.#host.onConnect(this, subject, told);
        break;
      }
      case Kind.Disconnect: {
        const socket = this.sockets.get(subject);
        if (socket === undefined) this.depart(subject);
        else this.#host.onDisconnect(this, socket, data as string);
        break;
      }
      default:
        this.#deliverRare(kind, subject, detail, data);
    }
  }

  #deliverRare(kind: Kind, subject: number, detail: number, data: unknown): void {
    switch (kind) {
      case Kind.Withdrawn:
        this.#host.onWithdrawn(this, subject, data as string);
        break;
      case Kind.ConnectionEnd: {
        const [connection, reason] = data as [string, string];
        this.#host.onConnectionEnd(connection, reason);
        break;
      }
      case Kind.Forget:
        this.#host.onForget(subject);
        break;
      case Kind.ForgetRequest:
        this.#host.onForgetRequest(subject);
        break;
      case Kind.AskRequest:
        this.#host.onAskRequest(this, detail, subject, data as RequestHead);
        break;
      case Kind.AskOrigin:
        this.#host.onAskOrigin(this, detail, subject, data as RequestHead);
        break;
      case Kind.AskNamespace: {
        const [name, auth] = data as [string, object];
        this.#host.onAskNamespace(this, detail, name, auth);
        break;
      }
      case Kind.Response: {
        const [text, ...headers] = data as [string | null, ...string[]];
        this.#host.onResponse(subject, detail, headers, text ?? this.#nextAttachment());
        break;
      }
      case Kind.ResumeBody:
        this.#host.onResumeBody(subject);
        break;
      case Kind.StreamData:
        this.#host.onStreamData(subject, this.#nextAttachment());
        break;
      case Kind.StreamEnd:
        this.#host.onStreamEnd(subject);
        break;
      case Kind.PortClosed:
        this.#onPortClosed?.();
        break;
    }
  }

  #onAck(token: number, status: AckStatus, answers: unknown[][]): void {
    const listener = this.#acks.get(token);
    if (listener === undefined) return;
    this.#acks.delete(token);
    listener(status, answers);
  }

  #restore([n, args]: [n: number, args: object]): unknown[] {
    const attachments: Buffer[] = [];
    for (let i = 0; i < n; i += 1) attachments.push(this.#nextAttachment());
    return restoreBinary(args, attachments) as unknown[];
  }

  #nextAttachment(): Buffer {
    const attachment = this.#attachments[this.#attachmentIdx] as Buffer;
    this.#attachmentIdx += 1;
    return attachment;
  }

  /** Closes the server. What happened until then is still delivered; after that nothing is held. */
  close(): void {
    this.flushed.close();
    this.wake();
  }

  /** How much is held for clients, by kinds; for tests. */
  held(): Record<string, number> {
    return { ...this.flushed.held(), ownSockets: this.sockets.size, acks: this.#acks.size };
  }

  /** Closes the core's own port; the listener is called when others can have it. */
  closePort(listener: () => void): void {
    this.#onPortClosed = listener;
    this.flushed.closePort();
  }

  // ---- Out

  /** Sends an event to one socket. */
  emit(socket: number, flags: number, args: unknown[]): void {
    const n = this.#payload(args);
    this.#begin();
    this.#put(Command.Emit, socket, flags, n);
  }

  /** Sends an event to one socket; the listener gets what it answers. */
  emitWithAck(
    socket: number,
    flags: number,
    timeout: number | undefined,
    args: unknown[],
    listener: AckListener,
  ) {
    const n = this.#payload(args);
    this.#begin();
    this.#put(Command.EmitWithAck, socket, flags, n);
    this.#expect(timeout, listener);
  }

  /** Answers an event of a socket. */
  answer(socket: number, ack: number, args: unknown[]): void {
    const n = this.#payload(args);
    this.#begin();
    this.#put(Command.Answer, socket, ack, n);
  }

  /** Sends an event to every socket of a selection. */
  broadcast(namespace: number, to: Selection, flags: number, args: unknown[]): void {
    const n = this.#payload(args, to);
    this.#begin();
    this.#put(Command.Broadcast, namespace, flags | selectionFlags(to), n);
  }

  /** The same; the listener gets all answers. */
  broadcastWithAck(
    namespace: number,
    to: Selection,
    flags: number,
    timeout: number | undefined,
    args: unknown[],
    listener: AckListener,
  ): void {
    const n = this.#payload(args, to);
    this.#begin();
    this.#put(Command.BroadcastWithAck, namespace, flags | selectionFlags(to), n);
    this.#expect(timeout, listener);
  }

  /** Puts a socket into rooms. */
  join(socket: number, rooms: Iterable<unknown>): void {
    this.#move(Command.Join, socket, rooms);
  }

  /** Takes a socket out of rooms. */
  leave(socket: number, rooms: Iterable<unknown>): void {
    this.#move(Command.Leave, socket, rooms);
  }

  /** Puts every socket of a selection into rooms. */
  joinMany(namespace: number, to: Selection, rooms: Iterable<unknown>): void {
    this.#move(Command.JoinMany, namespace, rooms, to);
  }

  /** Takes every socket of a selection out of rooms. */
  leaveMany(namespace: number, to: Selection, rooms: Iterable<unknown>): void {
    this.#move(Command.LeaveMany, namespace, rooms, to);
  }

  /** Takes effect before it returns: a socket that leaves right after has still been in the rooms. */
  #move(command: Command, subject: number, rooms: Iterable<unknown>, to: Selection = EVERYBODY): void {
    this.#selection(to);
    this.#text(this.rooms.listToCore(rooms));
    this.#put(command, subject, selectionFlags(to), 0);
    this.flush();
  }

  /** Forgets a socket that has left, which takes it out of its rooms. */
  depart(socket: number): void {
    this.#begin();
    this.#put(Command.Depart, socket, 0, 0);
  }

  /** Hands everything over that waits; called before any other use of the core, so that order is kept. */
  flush(): void {
    if (this.#nNumbers > 0) this.#handOver();
    this.rooms.tidy(this.native);
  }

  #handOver(): void {
    const length = this.#nNumbers;
    const texts = this.#texts;
    const outgoing = this.#outgoing.length > 0 ? this.#outgoing : undefined;
    this.#nNumbers = 0;
    this.#texts = "";
    this.#isUrgent = false;
    if (outgoing !== undefined) this.#outgoing = [];
    if (this.native.flush(this.#commands, length, texts, outgoing)) this.wake();
  }

  /** The core, after everything that was asked of it before. */
  get flushed(): NativeServer {
    this.flush();
    return this.native;
  }

  /** Encodes the arguments; throws before anything is queued. Returns the number of attachments. */
  #payload(args: unknown[], to?: Selection): number {
    let text: string;
    let n = 0;
    if (args.some(hasBinary)) {
      const attachments: Uint8Array[] = [];
      text = encodeBinary(args, attachments);
      n = attachments.length;
      for (const bytes of attachments) this.#attach(bytes);
    } else {
      text = JSON.stringify(args);
    }
    if (to !== undefined) this.#selection(to);
    this.#text(text);
    return n;
  }

  /** What the application does to its buffers after the call must not be seen by the peer. */
  #attach(bytes: Uint8Array): void {
    const isSmall = bytes.byteLength < SMALL_ATTACHMENT;
    this.#outgoing.push(isSmall ? Buffer.from(bytes) : bytes);
    this.#isUrgent ||= !isSmall;
  }

  #selection({ rooms, except }: Selection): void {
    if (rooms.size > 0) this.#text(this.rooms.listToCore(rooms));
    if (except.size > 0) this.#text(this.rooms.listToCore(except));
  }

  /** JSON text has no bare line feed: it separates the texts. */
  #text(text: string): void {
    this.#texts = this.#texts === "" ? text : `${this.#texts}\n${text}`;
  }

  #begin(): void {
    if (this.#isDelivering || this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    process.nextTick(this.#flush);
  }

  #put(command: Command, subject: number, detail: number, nAttachments: number): void {
    const commands = this.#commands;
    const at = this.#nNumbers;
    commands[at] = command;
    commands[at + 1] = subject;
    commands[at + 2] = detail;
    commands[at + 3] = nAttachments;
    this.#nNumbers = at + 4;
    if (command === Command.EmitWithAck || command === Command.BroadcastWithAck) return;
    this.#bound();
  }

  #expect(timeout: number | undefined, listener: AckListener): void {
    const token = this.#nextToken;
    this.#nextToken += 1;
    this.#acks.set(token, listener);
    this.#commands[this.#nNumbers] = timeout ?? -1;
    this.#commands[this.#nNumbers + 1] = token;
    this.#nNumbers += 2;
    this.#bound();
  }

  #bound(): void {
    if (this.#isUrgent || this.#nNumbers > MAX_NUMBERS - 8 || this.#texts.length > MAX_TEXT) this.flush();
  }
}

/** Sockets of one namespace, by rooms. */
export interface Selection {
  rooms: ReadonlySet<unknown>;
  except: ReadonlySet<unknown>;
}

const EVERYBODY: Selection = { rooms: new Set(), except: new Set() };

type BinaryPayload = [n: number, args: unknown[]];

function selectionFlags({ rooms, except }: Selection): number {
  return (rooms.size > 0 ? Flag.HasRooms : 0) | (except.size > 0 ? Flag.HasExcept : 0);
}

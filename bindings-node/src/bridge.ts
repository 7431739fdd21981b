/** The border between JavaScript and the core: what happened comes in by batches, and goes to whom it concerns. */

import { PendingAcks } from "./ack";
import { nextRound, nextTick, now } from "./clock";
import { Commands } from "./commands";
import type { RequestHead } from "./handshake";
import { AckStatus, Kind, type NativeServer, native } from "./native";
import { Rooms } from "./room";
import type { Socket } from "./socket";
import { restoreBinary } from "./value";
import { warn } from "./warning";

/**
 * How long one turn delivers before timers and HTTP requests of the application get theirs. Long enough that a busy
 * server drains in batches, short enough that nobody notices.
 */
const TURN_MS = 4;

/** After so many records that ask for nothing the turn looks at the clock all the same. */
const LOOK_UP = 8;

/**
 * Turns that follow each other sooner than this are one: Node hands on up to a thousand wake-ups before it looks at
 * anything else.
 */
const GAP_MS = 0.5;

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
export type Connecting = [namespace: string, id: string, previous: number, auth: object];

/** Carries batches between one `Server` and its core. */
export class Bridge {
  readonly native: NativeServer;
  /** The connected sockets, and those that wait to be admitted, by number. */
  readonly sockets = new Map<number, Socket>();
  readonly rooms = new Rooms();
  /** What is asked of the core by batches. */
  readonly commands: Commands;

  readonly #host: Host;
  readonly #acks = new PendingAcks();
  #onPortClosed: (() => void) | undefined = undefined;

  #records: unknown[] = [];
  #position = 0;
  /** What crossed beside the records, which name it by its place. */
  #beside: (string | Buffer | null)[] = NOTHING;
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

  constructor(options: string, host: Host) {
    this.#host = host;
    this.native = new native.NativeServer(options, wakeOf(this));
    this.commands = new Commands(this.native, this.rooms, this.#acks, () => {
      this.wake();
      this.carry();
    });
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
    nextRound(this.#pumpAnew);
  }

  /** A tick of its own, so that what a listener throws is an uncaught exception like any other. */
  #schedule(): void {
    this.#isScheduled = true;
    nextTick(this.#pump);
  }

  #deliverTurn(): void {
    const start = now();
    if (start - this.#turnEnded > GAP_MS) this.#turnBegan = start;
    this.commands.beginTurn();
    try {
      while (this.#deliverBatch() && this.#moreWaits) this.#take();
    } finally {
      this.commands.endTurn();
      if (this.#isTimeUp(now())) {
        nextRound(this.#pumpAnew);
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
    try {
      this.#records = JSON.parse(this.native.drain());
    } catch (error) {
      warn(String(error));
      return;
    }
    this.#moreWaits ||= this.#records[0] === 1;
    this.#position = 2;
    this.#beside = this.#records[1] === 1 ? this.native.beside() : NOTHING;
    this.commands.beginBatch((this.#records.length - 2) / RECORD);
  }

  #isTimeUp(time: number): boolean {
    this.#turnEnded = time;
    return time - this.#turnBegan > TURN_MS;
  }

  /** Returns whether there is time for more. */
  #deliverBatch(): boolean {
    const records = this.#records;
    while (this.#position < records.length) {
      const at = this.#position;
      this.#position = at + RECORD;
      this.#deliver(
        records[at] as Kind,
        records[at + 1] as number,
        records[at + 2] as number,
        records[at + 3],
      );
      if (this.commands.isEmpty && this.#position % (LOOK_UP * RECORD) !== 2) continue;
      const time = now();
      this.commands.flushIfOld(time);
      if (this.#isTimeUp(time)) return false;
    }
    this.#records = [];
    this.#position = 0;
    this.#beside = NOTHING;
    return !this.#isTimeUp(now());
  }

  #deliver(kind: Kind, subject: number, detail: number, data: unknown): void {
    switch (kind) {
      case Kind.Event:
        this.#onEvent(subject, detail, typeof data === "number" ? this.#read(data) : data);
        break;
      case Kind.BinaryEvent:
        this.#onEvent(subject, detail, this.#read(data as Beside));
        break;
      case Kind.Ack:
        this.#onAck(subject, detail, data as unknown[]);
        break;
      case Kind.Connect: {
        const told = data as Connecting;
        const auth = this.#readObject(told[3]);
        if (auth === undefined) {
          this.flushed.refuse(subject, TOO_LARGE, undefined);
          break;
        }
        told[3] = auth;
        this.#host.onConnect(this, subject, told);
        break;
      }
      case Kind.Disconnect: {
        const socket = this.sockets.get(subject);
        if (socket === undefined) this.commands.depart(subject);
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
      case Kind.AskRequest:
        this.#host.onAskRequest(this, detail, subject, data as RequestHead);
        break;
      case Kind.AskOrigin:
        this.#host.onAskOrigin(this, detail, subject, data as RequestHead);
        break;
      case Kind.AskNamespace: {
        const [name, told] = data as [string, object];
        const auth = this.#readObject(told);
        if (auth === undefined) this.native.answerNamespace(detail, false);
        else this.#host.onAskNamespace(this, detail, name, auth);
        break;
      }
      case Kind.Problem:
        warn(data as string);
        break;
      default:
        this.#deliverCarried(kind, subject, detail, data, this.#beside);
    }
  }

  /** What is for Node's HTTP server. */
  #deliverCarried(kind: Kind, subject: number, detail: number, data: unknown, beside: unknown[]): void {
    switch (kind) {
      case Kind.Response: {
        const [body, ...headers] = data as [string | number, ...string[]];
        const whole = typeof body === "number" ? (beside[body] as Buffer) : body;
        this.#host.onResponse(subject, detail, headers, whole);
        break;
      }
      case Kind.ResumeBody:
        this.#host.onResumeBody(subject);
        break;
      case Kind.StreamData:
        this.#host.onStreamData(subject, beside[data as number] as Buffer);
        break;
      case Kind.StreamEnd:
        this.#host.onStreamEnd(subject);
        break;
      case Kind.ForgetRequest:
        this.#host.onForgetRequest(subject);
        break;
      case Kind.PortClosed:
        // It calls the application.
        nextTick(() => this.#onPortClosed?.());
        break;
    }
  }

  /** Has leave at once what was asked for and goes by Node's HTTP server: answers of polls, and bytes of streams. */
  carry(): void {
    // What the batch in hand has of the kind comes first, in which it comes before all else.
    if (CARRIED.has(this.#records[this.#position] as Kind)) return;
    const records: unknown[] = JSON.parse(this.native.drainCarried());
    const beside: unknown[] = records[1] === 1 ? this.native.beside() : NOTHING;
    for (let at = 2; at < records.length; at += RECORD) {
      try {
        this.#deliverCarried(
          records[at] as Kind,
          records[at + 1] as number,
          records[at + 2] as number,
          records[at + 3],
          beside,
        );
      } catch (error) {
        // Of a listener for headers: whoever emits has nothing to do with it.
        nextTick(() => {
          throw error;
        });
      }
    }
  }

  #onEvent(key: number, ack: number, args: unknown): void {
    const socket = this.sockets.get(key);
    if (args !== undefined) {
      socket?._onEvent(args as unknown[], ack);
      return;
    }
    // What comes next may build on it.
    socket?._onError(new RangeError(TOO_LARGE));
    socket?.disconnect(true);
  }

  #onAck(token: number, status: AckStatus, answers: unknown[]): void {
    const listener = this.#acks.take(token);
    if (listener === undefined) return;
    for (let i = 0; i < answers.length; i += 1) {
      const answer = answers[i];
      if (Array.isArray(answer)) continue;
      const read = this.#read(typeof answer === "number" ? answer : (answer as BinaryAnswer).binary);
      if (read === undefined) {
        // With those before it.
        listener(AckStatus.TooLarge, answers.slice(0, i) as unknown[][]);
        return;
      }
      answers[i] = read;
    }
    listener(status, answers as unknown[][]);
  }

  /** What a client sent along, an object: a list stands for what is beside. */
  #readObject(told: object | Beside): object | undefined {
    const isBeside = typeof told === "number" || Array.isArray(told);
    return isBeside ? (this.#read(told as Beside) as object | undefined) : told;
  }

  /** What crossed beside the records; `undefined` if it is more than JavaScript can hold. */
  #read(told: Beside): unknown {
    try {
      if (typeof told === "number") return this.#parse(told);
      const [first, n, data] = told;
      const attachments = this.#beside.slice(first, first + n);
      if (attachments.includes(null)) return undefined;
      return restoreBinary(typeof data === "number" ? this.#parse(data) : data, attachments as Buffer[]);
    } catch {
      return undefined;
    }
  }

  #parse(place: number): unknown {
    const text = this.#beside[place] as string | null;
    // It may be large, and the rest of the batch may take a while.
    this.#beside[place] = null;
    return text === null ? undefined : JSON.parse(text);
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

  /** The core, after everything that was asked of it before. */
  get flushed(): NativeServer {
    this.commands.flush();
    return this.native;
  }
}

/**
 * Held weakly: whoever can still be reached by clients holds the server, and a server that nobody holds shall go. Not made in
 * the constructor, because functions made in one place hold all that any of them uses.
 */
function wakeOf(bridge: Bridge): () => void {
  const self = new WeakRef(bridge);
  return () => self.deref()?.wake();
}

const NOTHING: never[] = [];

/** What `drainCarried` brings. */
const CARRIED: ReadonlySet<Kind | undefined> = new Set([
  Kind.Response,
  Kind.ResumeBody,
  Kind.StreamData,
  Kind.StreamEnd,
  Kind.ForgetRequest,
  Kind.PortClosed,
]);

/** The place of a text or, with binary values, the place of the first, their number, and the rest or its place. */
type Beside = number | [first: number, n: number, rest: object | number];

interface BinaryAnswer {
  binary: Beside;
}

const TOO_LARGE = "more data than JavaScript can hold";

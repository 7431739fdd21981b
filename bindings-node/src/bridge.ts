/**
 * Brings what happened in the core to JavaScript: takes records in batches, and delivers each to its socket or
 * handler.
 */

import { PendingAcks } from "./ack";
import { nextRound, nextTick, now } from "./clock";
import { Commands } from "./commands";
import { debug, logs } from "./debug";
import type { HandshakeRecord, RequestHead } from "./handshake";
import { type HttpHandler, HttpRecords } from "./http-records";
import { AckStatus, Kind, type NativeServer, native, type SessionSign } from "./native";
import type { PacketParser, Place } from "./parser";
import { type Beside, RecordBatch } from "./record-batch";
import { Rooms } from "./room";
import { throwLater } from "./run-all";
import type { Socket } from "./socket";
import { TurnClock } from "./turn-clock";
import { warn } from "./warning";

/** The clock is read after so many records whose listeners have asked for nothing. */
const LOOK_UP = 8;

/** In the number of a packet's type, that it may not be compressed: the same as in `session_records.rs`. */
const UNCOMPRESSED = 8;

/** Handles what concerns the engine's sessions, and answers questions about requests. */
export interface SessionHandler {
  onSessionOpen(tag: number, record: HandshakeRecord): void;
  /** The data is undefined if it is more than JavaScript can hold. */
  onSessionMessage(id: string, data: string | Buffer | undefined): void;
  onSessionPacket(id: string, type: number, data: string | Buffer | undefined): void;
  onSessionPacketCreate(id: string, type: number, data: string | Buffer | undefined, compress: boolean): void;
  onSessionSign(id: string, sign: SessionSign): void;
  onSessionEnd(id: string, reason: string, fault: string | undefined): void;
  onAskRequest(bridge: Bridge, question: number, tag: number, head: RequestHead): void;
  onAskOrigin(bridge: Bridge, question: number, tag: number, head: RequestHead): void;
  onAskHeaders(bridge: Bridge, question: number, tag: number, head: AnsweredHead): void;
  onRefused(tag: number, code: number, head: RefusedHead): void;
  /** Records are about to be delivered. */
  onTurn(): void;
}

/** The head of a request whose answer may get more headers. */
export interface AnsweredHead extends RequestHead {
  /** Whether it opens a session. */
  isFirst: boolean;
}

/** The head of a request that was refused. */
export interface RefusedHead extends RequestHead {
  message: string;
  context: Record<string, string>;
}

/**
 * Handles what concerns clients, apart from the events and acks of their sockets, and answers questions about them.
 */
export interface ClientHandler {
  onConnect(bridge: Bridge, socket: number, connect: ConnectRequest): void;
  onConnectAborted(bridge: Bridge, socket: number, namespace: string): void;
  onDisconnect(bridge: Bridge, socket: Socket, reason: string): void;
  onForget(socket: number): void;
  onAskNamespace(bridge: Bridge, question: number, name: string, auth: object): void;
}

/** A client wants to connect to a namespace: `previous` is the number of the socket that it continues, or 0. */
export type ConnectRequest = [namespace: string, id: string, previous: number, auth: object];

/** Connects one `Server` to its core. */
export class Bridge {
  readonly native: NativeServer;
  /** The sockets that are connected or wait to be, by number. */
  readonly sockets = new Map<number, Socket>();
  readonly rooms = new Rooms();
  /** The listeners that wait for acks. */
  readonly acks = new PendingAcks();
  /** The application's own parser, if it has one. */
  readonly parser: PacketParser | undefined;
  /** What is asked of the core by batches. */
  readonly commands: Commands;

  readonly #sessions: SessionHandler;
  readonly #clients: ClientHandler | undefined;
  readonly #http: HttpRecords;

  readonly #batch = new RecordBatch();
  readonly #clock = new TurnClock();
  #moreWaits = false;
  #isScheduled = false;
  #expectsAcks = false;
  readonly #deliverSoon = (): void => this.#deliverTurn();
  readonly #deliverAnew = (): void => {
    this.#clock.renew();
    this.#deliverTurn();
  };

  /** Without a handler for clients it is an Engine.IO server alone. */
  constructor(
    options: string,
    sessions: SessionHandler,
    http: HttpHandler,
    clients?: ClientHandler,
    parser?: PacketParser,
  ) {
    this.parser = parser;
    this.#sessions = sessions;
    this.#clients = clients;
    this.native = new native.NativeServer(options, wakeOf(this), new WakeResource(), clients === undefined);
    this.#http = new HttpRecords(this.native, http);
    const wakeAndDrain = () => {
      this.wake();
      this.drainHttp();
    };
    this.commands = new Commands(this.native, this.rooms, this.acks, wakeAndDrain, parser);
  }

  /** The core, with all earlier commands carried out. */
  get flushed(): NativeServer {
    this.commands.flush();
    return this.native;
  }

  // ---- When something is delivered

  /** The core has something to drain. */
  wake(): void {
    this.#moreWaits = true;
    if (!this.#isScheduled) this.#schedule();
  }

  /** The same, but after Node has handled all input it has already read: requests come many at a time. */
  wakeLater(): void {
    this.#moreWaits = true;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    nextRound(this.#deliverAnew);
  }

  #schedule(): void {
    this.#isScheduled = true;
    nextTick(this.#deliverSoon);
  }

  #deliverTurn(): void {
    this.#clock.begin();
    this.#sessions.onTurn();
    this.commands.beginTurn();
    let hasThrown = false;
    try {
      while (this.#deliverBatch() && this.#moreWaits) this.#take();
    } catch (error) {
      hasThrown = true;
      throwLater(error);
    } finally {
      this.commands.endTurn();
      if (hasThrown || this.#clock.isUp(now())) {
        // The rest follows, behind the error.
        nextRound(this.#deliverAnew);
      } else if (this.#moreWaits) {
        this.#schedule();
      } else {
        this.#isScheduled = false;
      }
    }
  }

  #take(): void {
    this.#moreWaits = false;
    try {
      this.#moreWaits = this.#batch.take(this.native) || this.#moreWaits;
    } catch (error) {
      warn(String(error));
      return;
    }
    this.commands.beginBatch(this.#batch.nRecords);
  }

  /** Returns whether there is time for more. */
  #deliverBatch(): boolean {
    const batch = this.#batch;
    while (batch.next()) {
      this.#deliver(batch.kind, batch.subject, batch.detail, batch.data);
      if (this.commands.isEmpty && batch.nTaken % LOOK_UP !== 0) continue;
      const time = now();
      this.commands.flushIfOld(time);
      if (this.#clock.isUp(time)) return false;
    }
    return !this.#clock.isUp(now());
  }

  /** Hands what is ready for Node's HTTP server to it now: responses of polls, and bytes of streams. */
  drainHttp(): void {
    this.#http.drain(this.#batch.upcoming);
  }

  // ---- To whom

  #deliver(kind: Kind, subject: number, detail: number, data: unknown): void {
    switch (kind) {
      case Kind.Event:
        this.#onEvent(subject, detail, typeof data === "number" ? this.#batch.read(data) : data);
        break;
      case Kind.BinaryEvent:
        this.#onEvent(subject, detail, this.#batch.read(data as Beside));
        break;
      case Kind.Ack:
        this.#onAck(subject, detail, data as unknown[]);
        break;
      case Kind.Connect:
        this.#onConnect(subject, data as ConnectRequest);
        break;
      case Kind.Disconnect:
        this.#onDisconnect(subject, data as string);
        break;
      default:
        this.#deliverRare(kind, subject, detail, data);
    }
  }

  #deliverRare(kind: Kind, subject: number, detail: number, data: unknown): void {
    switch (kind) {
      case Kind.ConnectAborted:
        this.#clients?.onConnectAborted(this, subject, data as string);
        break;
      case Kind.Forget:
        this.#clients?.onForget(subject);
        break;
      case Kind.AskNamespace:
        this.#onAskNamespace(detail, data as [string, object]);
        break;
      case Kind.UnexpectedAck:
        this.#onUnexpectedAck(subject, detail, data);
        break;
      case Kind.Problem:
        warn(data as string);
        break;
      default:
        this.#deliverSession(kind, subject, detail, data);
    }
  }

  #deliverSession(kind: Kind, subject: number, detail: number, data: unknown): void {
    switch (kind) {
      case Kind.SessionMessage: {
        const [id, value] = data as SessionData;
        const message = this.#batch.readMessage(value);
        this.parser?.onMessage(this, id, detail, message);
        this.#sessions.onSessionMessage(id, message);
        break;
      }
      case Kind.SessionPacket: {
        const [id, value] = data as SessionData;
        this.#sessions.onSessionPacket(id, detail, this.#batch.readMessage(value));
        break;
      }
      case Kind.SessionPacketCreate: {
        const [id, value] = data as SessionData;
        const [type, compress] = [detail & ~UNCOMPRESSED, (detail & UNCOMPRESSED) === 0];
        this.#sessions.onSessionPacketCreate(id, type, this.#batch.readMessage(value), compress);
        break;
      }
      case Kind.SessionSign:
        this.#sessions.onSessionSign(data as string, detail as SessionSign);
        break;
      case Kind.SessionOpen:
        this.#sessions.onSessionOpen(subject, data as HandshakeRecord);
        break;
      case Kind.SessionEnd: {
        const [id, reason, fault] = data as [string, string, string | undefined];
        this.#sessions.onSessionEnd(id, reason, fault);
        break;
      }
      case Kind.SessionEnding:
        this.parser?.onEnding(this, data as string);
        break;
      case Kind.SessionEnded:
        this.parser?.onEnded(data as string);
        break;
      case Kind.SessionRefused: {
        const [id, nsp, text] = data as [string, string, string];
        this.parser?.onRefused(id, nsp, text);
        break;
      }
      case Kind.AskRequest:
        this.#sessions.onAskRequest(this, detail, subject, data as RequestHead);
        break;
      case Kind.AskOrigin:
        this.#sessions.onAskOrigin(this, detail, subject, data as RequestHead);
        break;
      case Kind.AskHeaders:
        this.#sessions.onAskHeaders(this, detail, subject, data as AnsweredHead);
        break;
      case Kind.Refused:
        this.#sessions.onRefused(subject, detail, data as RefusedHead);
        break;
      default:
        this.#http.deliver(kind, subject, detail, data, this.#batch.beside);
    }
  }

  #onEvent(key: number, ack: number, args: unknown): void {
    const socket = this.sockets.get(key);
    if (this.parser !== undefined) {
      const event = this.parser.takeEvent(args as Place);
      if (event !== undefined) socket?._onEvent(event.args, event.ack);
      return;
    }
    if (args !== undefined) {
      socket?._onEvent(args as unknown[], ack);
      return;
    }
    // Later events may depend on this one.
    socket?._onError(new RangeError(TOO_LARGE));
    socket?.disconnect(true);
  }

  #onAck(token: number, status: AckStatus, answers: unknown[]): void {
    const isLast = status !== AckStatus.OneOfMany;
    const listener = isLast ? this.acks.take(token) : this.acks.find(token);
    if (logs.packets) logAck(token, status, answers);
    if (this.parser !== undefined) {
      const read = this.parser.takeAnswers(token, answers as Place[], isLast);
      listener?.(status, read);
      return;
    }
    if (listener === undefined) return;
    for (let i = 0; i < answers.length; i += 1) {
      const read = this.#readAnswer(answers[i]);
      if (read === undefined) {
        // The ones before it are still given.
        listener(AckStatus.TooLarge, answers.slice(0, i) as unknown[][]);
        return;
      }
      answers[i] = read;
    }
    listener(status, answers as unknown[][]);
  }

  /** The arguments of an ack; undefined if they are too large for JavaScript. */
  #readAnswer(answer: unknown): unknown {
    if (Array.isArray(answer)) return answer;
    return this.#batch.read(typeof answer === "number" ? answer : (answer as BinaryAnswer).binary);
  }

  #onUnexpectedAck(key: number, id: number, answer: unknown): void {
    const read = this.#readAnswer(answer);
    if (Array.isArray(read)) this.sockets.get(key)?._onAck(id, read);
  }

  #onConnect(key: number, connect: ConnectRequest): void {
    const auth = this.#readAuth(connect[0], connect[3], true);
    if (auth === undefined) {
      this.flushed.refuse(key, TOO_LARGE, undefined);
      return;
    }
    connect[3] = auth;
    this.#clients?.onConnect(this, key, connect);
  }

  #readAuth(nsp: string, sent: object, isLast: boolean): object | undefined {
    if (this.parser === undefined) return this.#batch.readObject(sent);
    return isLast ? this.parser.takeAuth(sent as Place, nsp) : this.parser.authOf(sent as Place, nsp);
  }

  #onDisconnect(key: number, reason: string): void {
    const socket = this.sockets.get(key);
    if (socket === undefined) this.commands.release(key);
    else this.#clients?.onDisconnect(this, socket, reason);
  }

  #onAskNamespace(question: number, [name, sent]: [string, object]): void {
    const auth = this.#readAuth(name, sent, false);
    if (auth === undefined) this.native.answerNamespace(question, false);
    else this.#clients?.onAskNamespace(this, question, name, auth);
  }

  /** Has the core tell of acks that it does not expect: JavaScript waits for some by itself. */
  expectAcks(): void {
    if (this.#expectsAcks) return;
    this.#expectsAcks = true;
    this.native.tellUnexpectedAcks();
  }

  // ---- The end

  /** Closes the server. What happened before is still delivered. */
  close(): void {
    this.flushed.close();
    this.wake();
  }

  /** Closes the core's own port; the listener is called when it can be used again. */
  closePort(listener: () => void): void {
    this.#http.whenPortClosed(listener);
    this.flushed.closePort();
  }

  /** How many objects are kept for clients, by kind; for tests. */
  held(): Record<string, number> {
    return { ...this.flushed.held(), ownSockets: this.sockets.size, acks: this.acks.size };
  }
}

/**
 * What the native library calls. It refers to the bridge weakly, so that a server which neither the application nor a
 * client can reach is collected. It is made in a function of its own, because all closures of one function keep alive
 * what any of them uses.
 */
function wakeOf(bridge: Bridge): () => void {
  const self = new WeakRef(bridge);
  return () => self.deref()?.wake();
}

/** What async hooks see of the library's way in: like Node's own handles, it says that it keeps no process alive. */
class WakeResource {
  hasRef(): boolean {
    return false;
  }
}

function logAck(token: number, status: AckStatus, answers: unknown[]): void {
  if (status === AckStatus.TimedOut) debug.socket("event with ack %d has timed out", token);
  else if (status === AckStatus.Complete) debug.socket("calling ack %d with %j", token, answers);
}

type SessionData = [id: string, value: string | number];

interface BinaryAnswer {
  binary: Beside;
}

const TOO_LARGE = "more data than JavaScript can hold";

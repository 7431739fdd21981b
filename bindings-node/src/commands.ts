/** Commands to the core: a method for each, and when a batch of them leaves. */

import type { AckListener, PendingAcks } from "./ack";
import { nextTick, now } from "./clock";
import { CommandBatch, type EncodedSelection, type Wait } from "./command-batch";
import { debug } from "./debug";
import { Command, Flag, type NativeServer } from "./native";
import { type PacketParser, PacketType } from "./parser";
import type { Rooms } from "./room";
import { type Encoded, encode, partsOf } from "./value";
import { warn } from "./warning";

/** While there is little load, commands leave at once: when a batch has no more records than this. */
const FEW = 4;

/**
 * So many receivers get their first event of a tick, or of such a batch, at once: each of them means a write of its own
 * in any case. What they get after that could share that write, and costs as much as so many others.
 */
const AT_ONCE = 32;
const AGAIN = AT_ONCE / FEW;

/**
 * Under load commands are gathered, so that one batch makes one write for each connection. They are handed over at the
 * end of the tick or, once the last batch is older than this, as soon as the application calls the library again or its
 * listener returns. Short enough that nobody notices, long enough for a hundred answers.
 */
const GATHER_MS = 0.2;

/** Sockets of one namespace, by rooms. */
export interface Selection {
  rooms: ReadonlySet<unknown>;
  except: ReadonlySet<unknown>;
}

/** How an event is sent, as the core takes it. */
export function bitsOf(flags: { volatile?: boolean; local?: boolean; compress?: boolean }): number {
  const { volatile, local, compress } = flags;
  return (
    (volatile ? Flag.Volatile : 0) | (local ? Flag.Local : 0) | (compress === false ? Flag.Uncompressed : 0)
  );
}

/** Collects commands for one core, and hands them over in their order. */
export class Commands {
  readonly #core: NativeServer;
  readonly #rooms: Rooms;
  readonly #acks: PendingAcks;
  readonly #parser: PacketParser | undefined;
  /** Called when there is something to drain. */
  readonly #wake: () => void;
  readonly #batch = new CommandBatch();
  /** When the last batch was handed over. */
  #flushedAt = 0;
  /** How many commands may still leave at once in this tick, or during this batch of records. */
  #nAtOnce = 0;
  /** The receivers of commands that left at once: numbers of sockets, or rooms. */
  readonly #receivers = new Set<number | string>();
  #turn = 1;
  #isTickOpen = false;
  #isDelivering = false;
  readonly #endTick = (): void => {
    this.#isTickOpen = false;
    this.#nextTurn();
  };

  constructor(core: NativeServer, rooms: Rooms, acks: PendingAcks, wake: () => void, parser?: PacketParser) {
    this.#core = core;
    this.#rooms = rooms;
    this.#acks = acks;
    this.#wake = wake;
    this.#parser = parser;
  }

  // ---- One method for each command

  /** Sends an event to one socket of the namespace `nsp`. */
  emit(socket: number, flags: number, args: unknown[], nsp: string): void {
    const payload = this.#encode(PacketType.Event, nsp, args);
    if (payload === undefined) return;
    this.#append(Command.Emit, socket, flags, EVERYBODY, payload);
    this.#flushIfDue(socket);
  }

  /** Sends an event to one socket; the listener gets what it answers. */
  emitWithAck(
    socket: number,
    flags: number,
    timeout: number | undefined,
    args: unknown[],
    nsp: string,
    listener: AckListener,
  ): void {
    const token = this.#acks.add(listener);
    if (debug.socket.enabled) debug.socket("emitting packet with ack %d", token);
    const payload = this.#encodeAsking(nsp, args, token);
    this.#append(Command.EmitWithAck, socket, flags, EVERYBODY, payload, { timeout, token });
    this.#flushIfDue(socket);
  }

  /** Answers an event of a socket. */
  answer(socket: number, ack: number, args: unknown[], nsp: string): void {
    const payload = this.#encode(PacketType.Ack, nsp, args, ack);
    if (payload === undefined) return;
    // What it is called in a packet of the application's own parser need not be a number.
    const detail = this.#parser === undefined ? ack : 0;
    this.#append(Command.Answer, socket, detail, EVERYBODY, payload);
    this.#flushIfDue(socket);
  }

  /** Sends an event to every socket of a selection. */
  broadcast(namespace: number, to: Selection, flags: number, args: unknown[], nsp: string): void {
    const payload = this.#encode(PacketType.Event, nsp, args);
    if (payload === undefined) return;
    const selection = this.#encodeSelection(to);
    this.#append(Command.Broadcast, namespace, flags, selection, payload);
    this.#flushIfDue(selection.rooms ?? -namespace);
  }

  /** The same; the listener gets all answers. */
  broadcastWithAck(
    namespace: number,
    to: Selection,
    flags: number,
    timeout: number | undefined,
    args: unknown[],
    nsp: string,
    listener: AckListener,
  ): void {
    const token = this.#acks.add(listener);
    if (debug.socket.enabled) debug.socket("emitting packet with ack %d", token);
    const payload = this.#encodeAsking(nsp, args, token);
    const selection = this.#encodeSelection(to);
    this.#append(Command.BroadcastWithAck, namespace, flags, selection, payload, { timeout, token });
    this.#flushIfDue(selection.rooms ?? -namespace);
  }

  /** Sends an event to every socket of a selection. The listener gets each answer as it comes. Returns how many are asked. */
  askEach(
    namespace: number,
    to: Selection,
    flags: number,
    timeout: number | undefined,
    args: unknown[],
    nsp: string,
    listener: AckListener,
  ): number {
    const token = this.#acks.add(listener);
    const payload = this.#encodeAsking(nsp, args, token);
    const { text, attachments } = partsOf(payload);
    const [rooms, except] = [this.#rooms.listToCore(to.rooms), this.#rooms.listToCore(to.except)];
    this.flush();
    const ask = { namespace, rooms, except, flags, timeout: timeout ?? -1, token, text };
    const nAsked = this.#core.askEach(ask, attachments);
    if (nAsked === null) this.#acks.take(token);
    // Its last answer may be here already.
    this.#wake();
    return nAsked ?? 0;
  }

  /** Sends an event that a client has missed, before it is let in. */
  replay(socket: number, args: unknown[], nsp: string): void {
    const payload = this.#encode(PacketType.Event, nsp, args);
    if (payload === undefined) return;
    const { text, attachments } = partsOf(payload);
    this.flush();
    this.#core.replay(socket, text, attachments);
  }

  /**
   * Arguments as they go to the core, which makes a packet of them: or the packet, which a parser of the application's has
   * written. That may make nothing of it.
   */
  #encode(type: PacketType, nsp: string, data: unknown[], id?: number): Encoded | undefined {
    if (debug.parser.enabled) debug.parser("encoding packet %j", { type, nsp, data, id });
    if (this.#parser === undefined) return encode(data);
    return this.#parser.encode(id === undefined ? { type, data, nsp } : { type, data, nsp, id });
  }

  /** The same for an event that wants acks. If that fails, nobody waits for them. */
  #encodeAsking(nsp: string, data: unknown[], token: number): Encoded {
    try {
      return this.#encode(PacketType.Event, nsp, data, token) ?? "";
    } catch (error) {
      this.#acks.take(token);
      throw error;
    }
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

  /** Forgets a socket that has disconnected, which takes it out of its rooms. */
  release(socket: number): void {
    this.#append(Command.Release, socket, 0, EVERYBODY, undefined);
  }

  /** Sends a packet of the engine to one session: a message's bytes, or a text. */
  sendPacket(session: string, type: number, flags: number, data: string | Uint8Array): void {
    const payload = typeof data === "string" ? data : { text: "", attachments: [data] };
    this.#append(Command.SendPacket, 0, flags | (type << 8), { rooms: session, except: undefined }, payload);
    this.#flushIfDue(session);
  }

  /** Takes a packet that the application's parser has read in the messages of a session; the token is that of an ack. */
  receive(session: string, type: PacketType, nsp: string, payload: string, token: number): void {
    const wait = { timeout: undefined, token };
    this.#append(Command.Receive, 0, type, { rooms: session, except: nsp }, payload, wait);
    this.#flushIfDue(session);
  }

  /** A session is over, and all its packets have been received. */
  endSession(session: string): void {
    this.#append(Command.EndSession, 0, 0, { rooms: session, except: undefined }, undefined);
    this.#flushIfDue(session);
  }

  /** Takes effect before it returns: a socket that leaves right after has still been in the rooms. */
  #move(command: Command, subject: number, rooms: Iterable<unknown>, to?: Selection): void {
    const selection = to === undefined ? EVERYBODY : this.#encodeSelection(to);
    this.#append(command, subject, 0, selection, this.#rooms.listToCore(rooms));
    this.flush();
  }

  #encodeSelection({ rooms, except }: Selection): EncodedSelection {
    return {
      rooms: rooms.size > 0 ? this.#rooms.listToCore(rooms) : undefined,
      except: except.size > 0 ? this.#rooms.listToCore(except) : undefined,
    };
  }

  #append(
    command: Command,
    subject: number,
    detail: number,
    to: EncodedSelection,
    payload: Encoded | undefined,
    wait?: Wait,
  ): void {
    this.#batch.add(command, subject, detail, to, payload, wait);
    if (!this.#isDelivering && !this.#isTickOpen) this.#openTick();
    if (this.#batch.mustLeave) this.flush();
  }

  // ---- When they leave

  /** Whether nothing waits. */
  get isEmpty(): boolean {
    return this.#batch.isEmpty;
  }

  /** Hands over all commands; called before any other use of the core, so that order is kept. */
  flush(): void {
    if (!this.#batch.isEmpty) this.#handOver();
    this.#rooms.tidy(this.#core);
  }

  /** The same, once the last batch is old enough. */
  flushIfOld(time: number): void {
    if (time - this.#flushedAt > GATHER_MS) this.flush();
  }

  /** Hands over the commands if it is time. The last one is for these receivers. */
  #flushIfDue(receivers: number | string): void {
    if (this.#batch.isEmpty) return;
    if (this.#nAtOnce > 0) {
      this.#nAtOnce -= this.#receivers.has(receivers) ? AGAIN : 1;
      this.#receivers.add(receivers);
      this.flush();
    } else {
      this.flushIfOld(now());
    }
  }

  #handOver(): void {
    try {
      if (this.#batch.handOver(this.#core, this.#turn)) this.#wake();
    } catch (error) {
      // Whoever called now has nothing to do with it, and perhaps nobody did.
      warn(String(error));
    }
    this.#flushedAt = now();
  }

  /** Records are being delivered: commands come from listeners, and leave with their turn. */
  beginTurn(): void {
    this.#isDelivering = true;
  }

  /** A batch of so many records is about to be delivered. */
  beginBatch(nRecords: number): void {
    this.#allowAtOnce(nRecords <= FEW ? AT_ONCE : 0);
  }

  /** The turn is over: all of its commands leave. */
  endTurn(): void {
    this.#isDelivering = false;
    this.#nextTurn();
  }

  #openTick(): void {
    this.#isTickOpen = true;
    this.#allowAtOnce(AT_ONCE);
    nextTick(this.#endTick);
  }

  #allowAtOnce(n: number): void {
    this.#nAtOnce = n;
    this.#receivers.clear();
  }

  #nextTurn(): void {
    this.flush();
    // The core knows it as 32 bits; 0 is none.
    this.#turn = this.#turn === MAX_TURN ? 1 : this.#turn + 1;
  }
}

const EVERYBODY: EncodedSelection = { rooms: undefined, except: undefined };

const MAX_TURN = 2 ** 32 - 1;

/**
 * Parsers of the application's own: they read the messages of clients, and write the packets for them.
 *
 * What a packet means is the core's business, in the same order as all that happens. What is in it stays here, so that
 * values arrive as the parser has made them, whether JSON knows such values or not; the core passes on a place for it.
 */

import type { PendingAcks } from "./ack";
import type { Bridge } from "./bridge";
import type { HandshakeRecord } from "./handshake";
import type { ExtendedError } from "./namespace";
import { Flag } from "./native";
import type { Server } from "./server";
import type { Socket } from "./socket";
import { bytesOf, type EncodedBinary, isBinary } from "./value";

/** A packet of Socket.IO, as parsers take and give it. */
export interface Packet {
  type: PacketType;
  nsp: string;
  data?: unknown;
  id?: unknown;
}

/** The types of packets, by their numbers in the protocol. */
export const enum PacketType {
  Connect = 0,
  Disconnect = 1,
  Event = 2,
  Ack = 3,
  ConnectError = 4,
  BinaryEvent = 5,
  BinaryAck = 6,
}

/** Writes packets. There is one for a server. */
export interface PacketEncoder {
  /** The messages of a packet, texts or bytes. */
  encode(packet: Packet): unknown;
}

/** Reads the messages of one client. Its event `decoded` brings a packet. */
export interface PacketDecoder {
  add(message: unknown): void;
  on(event: "decoded", listener: (packet: Packet) => void): unknown;
  removeListener(event: "decoded", listener: (packet: Packet) => void): unknown;
  destroy(): void;
}

/** A parser, as the option `parser` takes it. */
export interface Parser {
  Encoder: new () => PacketEncoder;
  Decoder: new () => PacketDecoder;
}

/** What a client has sent, while the core works out what is to happen. */
interface Received {
  args: unknown[];
  /** What the client calls the answer that it wants: a number, as a rule. */
  ack: number;
}

/** Where to find what was received: whose it is and, of an event, which. */
export interface Place {
  from: string;
  n: number;
}

/** A client whose messages are read here. */
class ParsedClient {
  /** The sockets that are connected, by namespace. */
  readonly sockets = new Map<string, Socket>();
  /** What it has sent to connect to namespaces, by their names. */
  readonly auths = new Map<string, unknown>();
  /** Its events that are with the core, in their order. */
  readonly events = new Map<number, Received>();
  nextEvent = 0;
  decoder: PacketDecoder | undefined = undefined;
  /** No message of it is read any more. */
  isOver = false;

  constructor(
    readonly id: string,
    readonly protocol: number,
    readonly onDecoded: (packet: Packet) => void,
  ) {}

  dropDecoder(): void {
    this.isOver = true;
    const { decoder } = this;
    this.decoder = undefined;
    decoder?.removeListener("decoded", this.onDecoded);
    decoder?.destroy();
  }
}

/** The application's parser at work for one server. */
export class PacketParser {
  readonly encoder: PacketEncoder;

  readonly #server: Server;
  readonly #Decoder: new () => PacketDecoder;
  readonly #clients = new Map<string, ParsedClient>();
  /** What clients have answered, by the number of the emit and then by client and namespace. */
  readonly #answers = new Map<number, Map<string, unknown[]>>();

  constructor(server: Server, parser: Parser) {
    this.#server = server;
    this.encoder = new parser.Encoder();
    this.#Decoder = parser.Decoder;
  }

  // ---- Out

  /** A packet for the core to send; `undefined` if the parser makes nothing of it. */
  encode(packet: Packet): EncodedBinary | undefined {
    const messages = this.#messagesOf(packet);
    if (messages.length === 0) return undefined;
    // The core knows by a letter which is text.
    const text = messages.map((message) => (typeof message === "string" ? "t" : "b")).join("");
    return { text, attachments: messages.map((message) => bytesOf(asBytes(message))) };
  }

  #messagesOf(packet: Packet): (string | Uint8Array)[] {
    return [this.encoder.encode(packet)].flat().map((message) => {
      const isBytes = typeof message === "object" && message !== null && isBinary(message);
      return isBytes ? bytesOf(message) : `${message}`;
    });
  }

  #send(session: string, packet: Packet): void {
    for (const message of this.#messagesOf(packet)) {
      this.#server._bridge?.commands.sendPacket(session, MESSAGE, Flag.Told, message);
    }
  }

  /** Tells a client that it is about to be connected. */
  welcome({ id, pid, nsp, conn }: Socket): void {
    const data = conn.protocol === 3 ? {} : { data: pid === undefined ? { sid: id } : { sid: id, pid } };
    this.#send(conn.id, { type: PacketType.Connect, ...data, nsp: nsp.name });
  }

  /** Tells a client that it is not connected. */
  refuse({ nsp, conn }: Socket, error: ExtendedError): void {
    const data =
      conn.protocol === 3 ? error.data || error.message : { message: error.message, data: error.data };
    this.#send(conn.id, { type: PacketType.ConnectError, data, nsp: nsp.name });
  }

  /** Tells a client that a namespace does not exist, after the core had thought that it does. */
  refuseNamespace(bridge: Bridge, key: number, nsp: string): void {
    const record = bridge.native.handshake(key);
    if (record === null) return;
    const data = { message: "Invalid namespace" };
    this.#send((JSON.parse(record) as HandshakeRecord).engine, { type: PacketType.ConnectError, data, nsp });
  }

  /** Tells clients that these sockets are about to be disconnected; with `close` all others of their connections, too. */
  dismiss(sockets: Socket[], close: boolean): void {
    const all = sockets.flatMap((socket) =>
      close ? [...(this.#clients.get(socket.conn.id)?.sockets.values() ?? [])] : [socket],
    );
    for (const { nsp, conn } of new Set(all)) {
      this.#send(conn.id, { type: PacketType.Disconnect, nsp: nsp.name });
    }
  }

  // ---- Sockets

  joined(socket: Socket): void {
    this.#clientOf(socket.conn.id, socket.conn.protocol).sockets.set(socket.nsp.name, socket);
  }

  left(socket: Socket): void {
    const sockets = this.#clients.get(socket.conn.id)?.sockets;
    if (sockets?.get(socket.nsp.name) === socket) sockets.delete(socket.nsp.name);
  }

  #clientOf(id: string, protocol: number): ParsedClient {
    const known = this.#clients.get(id);
    if (known !== undefined) return known;
    const client: ParsedClient = new ParsedClient(id, protocol, (packet) => this.#onDecoded(client, packet));
    this.#clients.set(id, client);
    return client;
  }

  // ---- In

  onMessage(bridge: Bridge, id: string, protocol: number, data: string | Buffer | undefined): void {
    // Of a server that was closed.
    if (bridge !== this.#server._bridge) return;
    const client = this.#clientOf(id, protocol);
    if (client.isOver) return;
    client.decoder ??= this.#makeDecoder(client);
    try {
      if (data === undefined) throw new RangeError("more data than JavaScript can hold");
      client.decoder.add(data === "" && protocol === 4 ? undefined : data);
    } catch (error) {
      this.#fail(client, error as Error);
    }
  }

  #makeDecoder(client: ParsedClient): PacketDecoder {
    try {
      const decoder = new this.#Decoder();
      decoder.on("decoded", client.onDecoded);
      return decoder;
    } catch (error) {
      // A mistake of the application's, not of the client.
      this.#close(client);
      throw error;
    }
  }

  /** A message cannot be read: the client's sockets hear of it, and its connection is closed. */
  #fail(client: ParsedClient, error: Error): void {
    try {
      for (const socket of client.sockets.values()) socket._onError(error);
    } finally {
      this.#close(client);
    }
  }

  #close(client: ParsedClient): void {
    try {
      client.dropDecoder();
    } finally {
      this.#server.engine._closeSession(client.id);
    }
  }

  #onDecoded(client: ParsedClient, packet: Packet): void {
    const bridge = this.#server._bridge;
    if (client.isOver || bridge === undefined) return;
    try {
      this.#receive(bridge, client, packet);
    } catch (error) {
      this.#fail(client, error as Error);
    }
  }

  #receive(bridge: Bridge, client: ParsedClient, packet: Packet): void {
    const { type, id } = packet;
    const [nsp, auth] = client.protocol === 3 ? splitQuery(packet.nsp) : [packet.nsp, packet.data];
    if (typeof nsp !== "string") throw new TypeError("the namespace of a packet is a text");
    const hand = (type: PacketType, place?: object, token = 0) =>
      bridge.commands.receive(client.id, type, nsp, JSON.stringify(place) ?? "", token);
    switch (type) {
      case PacketType.Connect:
        client.auths.set(nsp, auth === undefined ? {} : auth);
        hand(type, { from: client.id });
        break;
      case PacketType.Disconnect:
        hand(type);
        break;
      case PacketType.Event:
      case PacketType.BinaryEvent: {
        const place: Place = { from: client.id, n: client.nextEvent };
        client.nextEvent += 1;
        client.events.set(place.n, { args: listOf(packet), ack: (id ?? NO_ACK) as number });
        hand(PacketType.Event, place);
        break;
      }
      case PacketType.Ack:
      case PacketType.BinaryAck: {
        if (this.#isAwaitedBySocket(bridge.acks, client.sockets.get(nsp), packet)) break;
        const from = `${client.id} ${nsp}`;
        hand(PacketType.Ack, { from }, this.#keepAnswer(bridge.acks, from, packet));
        break;
      }
      default:
        // One that is not known is passed over.
        if (type === PacketType.ConnectError || !client.sockets.has(nsp)) hand(PacketType.ConnectError);
    }
  }

  /** Hands over an ack for which a socket waits, because JavaScript has made the packet. */
  #isAwaitedBySocket(acks: PendingAcks, socket: Socket | undefined, packet: Packet): boolean {
    const id = packet.id as number;
    if (!socket?._acks?.has(id) || acks.has(id)) return false;
    const args = listOf(packet);
    process.nextTick(() => socket._onAck(id, args));
    return true;
  }

  /** Returns the number of the emit that is answered; 0 if there is none. */
  #keepAnswer(acks: PendingAcks, from: string, packet: Packet): number {
    const token = packet.id as number;
    if (!acks.has(token)) return 0;
    const answers = this.#answers.get(token) ?? new Map<string, unknown[]>();
    this.#answers.set(token, answers);
    // The core takes the first as well.
    if (!answers.has(from)) answers.set(from, listOf(packet));
    return token;
  }

  // ---- What comes back from the core

  /** An event that the core has let through. */
  takeEvent({ from, n }: Place): Received | undefined {
    const events = this.#clients.get(from)?.events;
    const event = events?.get(n);
    for (const earlier of events?.keys() ?? []) {
      // Those before it were not let through: the order is kept.
      if (earlier > n) break;
      events?.delete(earlier);
    }
    return event;
  }

  /** The answers to an emit: all, or some of those that are still coming. */
  takeAnswers(token: number, places: Place[], areLast: boolean): unknown[][] {
    const answers = this.#answers.get(token);
    if (areLast) this.#answers.delete(token);
    return places.map(({ from }) => {
      const answer = answers?.get(from) ?? [];
      // Its place stays: a second answer of this client is none.
      answers?.set(from, []);
      return answer;
    });
  }

  /** What a client has sent to connect to a namespace. In the older protocol it does not ask for the main namespace. */
  authOf({ from }: Partial<Place>, nsp: string): object {
    const auths = from === undefined ? undefined : this.#clients.get(from)?.auths;
    return auths?.has(nsp) ? (auths.get(nsp) as object) : {};
  }

  /** The same, once: the core has found the namespace. */
  takeAuth(place: Partial<Place>, nsp: string): object {
    const auth = this.authOf(place, nsp);
    if (place.from !== undefined) this.#clients.get(place.from)?.auths.delete(nsp);
    return auth;
  }

  /** The core has refused a client by itself. */
  onRefused(id: string, nsp: string, data: string): void {
    this.#clients.get(id)?.auths.delete(nsp);
    this.#send(id, { type: PacketType.ConnectError, data: JSON.parse(data), nsp });
  }

  /** No more messages will come of a client; what was in those before is with the core. */
  onEnding(bridge: Bridge, id: string): void {
    bridge.commands.endSession(id);
    this.#clients.get(id)?.dropDecoder();
  }

  /** Nothing more will come of a client. */
  onEnded(id: string): void {
    this.#clients.delete(id);
  }

  /** The server is closed. */
  clear(): void {
    const clients = [...this.#clients.values()];
    this.#clients.clear();
    this.#answers.clear();
    for (const client of clients) client.dropDecoder();
  }

  /** How many objects are kept, by kind; for tests. */
  _held(): Record<string, number> {
    return { parsedClients: this.#clients.size, parsedAnswers: this.#answers.size };
  }
}

/** The client wants no ack. */
const NO_ACK = -1;

/** The type of a message among the engine's packets. */
const MESSAGE = 4;

function asBytes(message: string | Uint8Array): Uint8Array {
  return typeof message === "string" ? Buffer.from(message) : message;
}

function listOf({ data }: Packet): unknown[] {
  const args = data ?? [];
  if (!Array.isArray(args)) throw new TypeError("the arguments of a packet are a list");
  return args;
}

/** In the older protocol a namespace carries a query instead of authentication data. */
function splitQuery(nsp: string): [name: string, auth: object] {
  const { pathname, searchParams } = new URL(nsp, "https://socket.io");
  return [pathname, Object.assign(Object.create(null), Object.fromEntries(searchParams))];
}

/** One session of the engine, as applications see it: what engine.io calls a socket. */

import { debug, logsFrames, logsSessions } from "./debug";
import type { EngineServer } from "./engine-server";
import { Transport } from "./engine-transport";
import type { EngineRequest, HandshakeRecord } from "./handshake";
import { SessionSign, SessionState, Watch } from "./native";
import { runAll, throwLater } from "./run-all";
import { bytesOf, isBinary } from "./value";
import { WatchedEmitter } from "./watched-emitter";

/** What can be sent: text, bytes, or what is written as text. */
export type RawData = unknown;

/** How a packet is sent. */
export interface SendOptions {
  /** Whether it may be compressed. Default `true`. */
  compress?: boolean;
}

/** Called with the transport when a packet has left. */
export type SendCallback = (transport: Transport) => void;

/** A packet, in the words of engine.io. */
export interface Packet {
  /** Its type. */
  type: PacketType;
  /** How it is sent, of those that are. */
  options?: SendOptions;
  /** What it carries; absent where that is nothing. */
  data?: RawData;
}

/** The types of packets, by their digits. */
const PACKET_TYPES = ["open", "close", "ping", "pong", "message", "upgrade", "noop"] as const;

/** The type of a packet; `error` stands for one that cannot be read. */
export type PacketType = (typeof PACKET_TYPES)[number] | "error";

/** The events of a session, with their arguments. */
export interface SocketEvents {
  /** A packet has come. */
  packet: [packet: Packet];
  /** A message has come: text, bytes, or undefined for an empty one. */
  // biome-ignore lint/suspicious/noExplicitAny: as in engine.io, so that a listener may say what it expects.
  message: [data: any];
  /** The same. */
  // biome-ignore lint/suspicious/noExplicitAny: as in engine.io, so that a listener may say what it expects.
  data: [data: any];
  /** A packet is about to be sent. What is changed of it leaves so. */
  packetCreate: [packet: Packet];
  /** A sign of life has come. */
  heartbeat: [];
  /** Packets have left. */
  flush: [packets: Packet[]];
  /** Nothing waits any more. */
  drain: [];
  /** The probe of an upgrade was answered. */
  upgrading: [transport: Transport];
  /** The transport has changed. */
  upgrade: [transport: Transport];
  /** The session is over. */
  close: [reason: string, error: Error | undefined];
}

/** What each event needs to be told by the core. */
const WATCHED: Record<string | symbol, Watch | undefined> = {
  packet: Watch.Packet,
  data: Watch.Message,
  message: Watch.Message,
  packetCreate: Watch.PacketCreate,
  heartbeat: Watch.Heartbeat,
  flush: Watch.Drain | Watch.PacketCreate,
  drain: Watch.Drain | Watch.PacketCreate,
  upgrading: Watch.Upgrading,
  upgrade: Watch.Upgrade,
};

/** What every session with an object is watched for. */
const ALWAYS = Watch.Close | Watch.Told;

/** Sent packets are shown in `writeBuffer` until they have left. While nobody wants to hear of that, it is looked up when so many are there, or so much. */
const LOOK_AT = 16;
const LOOK_AT_LENGTH = 1 << 16;

/** The flag of a packet that is not to be compressed: the same as `Flag` in `native.ts`. */
const UNCOMPRESSED = 4;

/**
 * A session. Events: `packet`, `data` and `message` for what comes, `packetCreate`, `flush` and `drain` for what goes,
 * `heartbeat`, `upgrading`, `upgrade`, and `close` with a reason and, perhaps, an error.
 *
 * The core knows it by its id, which names nothing any more when the session is over. Only what has listeners is told by
 * the core.
 */
export class EngineSocket extends WatchedEmitter<SocketEvents> {
  /** The session's id: a secret, because whoever has it can act as the client. */
  readonly id: string;
  /** The engine. */
  readonly server: EngineServer;
  /** The Engine.IO protocol: 3 or 4. */
  readonly protocol: number;
  /** The client's address. */
  readonly remoteAddress: string;
  /** The request that opened the session. */
  request: EngineRequest;

  #readyState: "open" | "closing" | "closed" = "open";
  #transport: Transport;
  /** The WebSocket that is being probed. */
  #probe: Transport | undefined = undefined;
  #upgraded = false;
  #watched: Watch = Watch.Nothing;
  /** Whether callbacks wait, which need to be told of like a listener. */
  #hasCalled = false;
  #buffer: Packet[] = [];
  #bufferLength = 0;
  #lookAt = LOOK_AT;
  #callbacks: SendCallback[] = [];
  /** Packets that have left, of which no `drain` has been told. */
  #hasFlushed = false;
  /** While it is closing: when that has to be over. */
  #limit: NodeJS.Timeout | undefined = undefined;
  /** How much of its beginning has been told. */
  _opening: "unheard" | "answered" | "told" = "unheard";

  constructor(server: EngineServer, record: HandshakeRecord, request: EngineRequest) {
    super();
    this.server = server;
    this.id = record.engine;
    this.protocol = record.protocol;
    this.remoteAddress = record.address as string;
    this.request = request;
    this.#transport = new Transport(record.transport as Transport["name"], this);
    debug.session("readyState updated from opening to open");
  }

  // ---- State

  /** How far its life is: `closing` while a client that does not poll has not been told of the end. */
  get readyState(): "open" | "closing" | "closed" {
    if (this.#readyState === "open" && this.#state() === SessionState.Over) return "closed";
    return this.#readyState;
  }

  /** The transport that carries it, or did at the end. */
  get transport(): Transport {
    // With listeners it changes when they are told.
    if ((this.#watched & Watch.Upgrade) === 0 && this.#hasUpgraded()) this.#switch();
    return this.#transport;
  }

  /** Whether a WebSocket is there that may become the transport. */
  get upgrading(): boolean {
    // With listeners it changes when they are told.
    if (this.#probe !== undefined && (this.#watched & Watch.Upgrade) !== 0) return true;
    return (this.#state() & SessionState.Upgrading) !== 0;
  }

  /** Whether it has moved from long-polling to WebSocket. */
  get upgraded(): boolean {
    return this.transport.name === "websocket" && this.#upgraded;
  }

  /** The packets that were sent here and have not left. */
  get writeBuffer(): Packet[] {
    this.#look();
    return this.#buffer;
  }

  #state(): SessionState {
    if (this.#readyState !== "open") return SessionState.Over;
    return this.server._bridge?.flushed.sessionState(this.id) ?? SessionState.Over;
  }

  #hasUpgraded(): boolean {
    return this.#transport.name === "polling" && (this.#state() & SessionState.WebSocket) !== 0;
  }

  _isWritable(transport: Transport): boolean {
    return this.transport === transport && (this.#state() & SessionState.Writable) !== 0;
  }

  // ---- Sending

  /** Sends a message. The callback is called when it has left; never, if the session ends before. */
  send(data?: RawData, options?: SendOptions | SendCallback | null, callback?: SendCallback): this {
    this.sendPacket("message", data, options, callback);
    return this;
  }

  /** The same as `send`. */
  write(data?: RawData, options?: SendOptions | SendCallback | null, callback?: SendCallback): this {
    return this.send(data, options, callback);
  }

  /** Sends a packet of any type. */
  sendPacket(
    type: Exclude<PacketType, "error">,
    data?: RawData,
    given?: SendOptions | SendCallback | null,
    callback?: SendCallback,
  ): void {
    const [options, called] = typeof given === "function" ? [{}, given] : [given ?? {}, callback];
    const bridge = this.server._bridge;
    if (this.readyState !== "open" || bridge === undefined) return;
    options.compress = options.compress !== false;
    const packet: Packet = { type, options };
    if (data) packet.data = data;
    this.emit("packetCreate", packet);
    // A listener may have closed it.
    if (this.#readyState !== "open") return;
    if (logsFrames()) this.#logSent(packet);
    const content = contentOf(packet.data);
    if (called) this.#callbacks.push(called);
    if (called && !this.#hasCalled) {
      this.#hasCalled = true;
      this.#rewatch();
    }
    this.#keep(packet, content.length);
    const flags = packet.options?.compress === false ? UNCOMPRESSED : 0;
    bridge.commands.sendPacket(this.id, PACKET_TYPES.indexOf(type), flags, content);
  }

  #keep(packet: Packet, length: number): void {
    this.#buffer.push(packet);
    this.#bufferLength += length;
    const isTold = (this.#watched & Watch.Drain) !== 0;
    if (isTold) {
      this.server._flushing.add(this);
    } else if (this.#buffer.length > this.#lookAt || this.#bufferLength > LOOK_AT_LENGTH) {
      this.#look();
      this.#lookAt = Math.max(LOOK_AT, 2 * this.#buffer.length);
    }
  }

  /** Empties the buffer if nobody has to be told, and everything has left. */
  #look(): void {
    if (this.#buffer.length === 0 || (this.#watched & Watch.Drain) !== 0) return;
    if (this.#state() & SessionState.Drained) this.#empty();
  }

  #empty(): Packet[] {
    const packets = this.#buffer;
    this.#buffer = [];
    this.#bufferLength = 0;
    this.#lookAt = LOOK_AT;
    this.server._flushing.delete(this);
    return packets;
  }

  /** If everything has left, tells so. */
  _flush(): void {
    if (this.#buffer.length === 0 || (this.#state() & SessionState.Drained) === 0) return;
    this.#hasFlushed = true;
    const packets = this.#empty();
    runAll([() => this.emit("flush", packets), () => this.server.emit("flush", this, packets)]);
  }

  /** What was flushed is with the transport. */
  _drain(): void {
    if (!this.#hasFlushed) return;
    this.#hasFlushed = false;
    const callbacks = this.#callbacks;
    this.#callbacks = [];
    const { transport } = this;
    // Over WebSocket a packet has left when the kernel has it, and over long-polling with the answer.
    const isPolling = transport.name === "polling";
    const called = callbacks.map((callback) => () => callback(transport));
    const drained = [() => this.emit("drain"), () => this.server.emit("drain", this)];
    runAll(isPolling ? [...called, ...drained] : [...drained, ...called]);
  }

  // ---- Closing

  /**
   * Ends the session. What was sent before still leaves; with `discard` it does not. A client that does not poll is told by
   * its next poll, and until then the session is closing.
   */
  close(discard?: boolean): void {
    const bridge = this.server._bridge;
    if (this.#readyState === "closed" || bridge === undefined) return;
    if (this.#readyState === "closing" && !discard) return;
    const wasDue = this.#readyState === "open" && this.#state() === SessionState.Over;
    // Its end has come by itself, and is about to be told.
    if (wasDue) return;
    const { sockets, isTold } = bridge.flushed.closeSession(this.id, discard === true);
    this.#readyState = "closing";
    try {
      this.server._host.disconnected(bridge, sockets);
    } finally {
      if (isTold || discard) this._end("forced close");
      else this.#limitClosing();
    }
  }

  /** A client that has gone does not poll any more, and is not waited for longer than for the answer to a ping. */
  #limitClosing(): void {
    const { pingInterval, pingTimeout } = this.server.opts;
    const limit = setTimeout(() => {
      this.server._bridge?.native.closeSession(this.id, true);
      this._end("ping timeout");
    }, pingInterval + pingTimeout);
    limit.unref();
    this.#limit = limit;
  }

  /** It is over. */
  _end(reason: string, error?: Error): void {
    if (this.#readyState === "closed") return;
    debug.transport("readyState updated from open to closed (%s)", this.#transport.name);
    debug.session("readyState updated from %s to closed", this.#readyState);
    debug.client("client close with reason %s", reason);
    this.#readyState = "closed";
    clearTimeout(this.#limit);
    this.#callbacks = [];
    this.server._flushing.delete(this);
    this.server._forgetSocket(this.id);
    process.nextTick(() => this.#empty());
    runAll([
      () => this.emit("close", reason, error),
      () => this.#transport._end(),
      () => this.#probe?._end(),
    ]);
  }

  // ---- What the core tells

  _onMessage(data: string | Buffer): void {
    if (this.#readyState !== "open") return;
    const shown = data === "" && this.protocol === 4 ? undefined : data;
    try {
      this.emit("data", shown);
    } catch (error) {
      throwLater(error);
    }
    this.emit("message", shown);
  }

  _onPacket(type: number, data: string | Buffer): void {
    if (this.#readyState !== "open") return;
    if (logsFrames()) this.#logReceived(type, data);
    this.emit("packet", packetOf(type, data));
  }

  /** The core made a packet: a heartbeat, or an event of Socket.IO. */
  _onPacketCreate(type: number, data: string | Buffer, compress: boolean): void {
    if (this.#readyState !== "open") return;
    const packet = { options: { compress }, ...packetOf(type, data) };
    if (logsFrames()) this.#logSent(packet);
    if (this.#watched & Watch.Drain) this.#buffer.push(packet);
    this.emit("packetCreate", packet);
  }

  _onSign(sign: SessionSign): void {
    if (sign === SessionSign.Told) this._end("forced close");
    if (this.#readyState !== "open") return;
    switch (sign) {
      case SessionSign.Heartbeat:
        this.emit("heartbeat");
        break;
      case SessionSign.Drain:
        runAll([() => this._flush(), () => this._drain()]);
        break;
      case SessionSign.Upgrading:
        debug.engine("upgrading existing transport");
        debug.session("got probe ping packet, sending pong");
        this.#probe = new Transport("websocket", this);
        this.emit("upgrading", this.#probe);
        break;
      case SessionSign.Upgrade:
        this.#onUpgrade();
        break;
      case SessionSign.UpgradeFailed: {
        debug.session("client did not complete upgrade - closing transport");
        const probe = this.#probe;
        this.#probe = undefined;
        this.#rewatch();
        probe?._end();
        break;
      }
    }
  }

  #onUpgrade(): void {
    if (this.#readyState !== "open" || this.#transport.name === "websocket") return;
    debug.session("got upgrade packet - upgrading");
    const old = this.#switch();
    runAll([() => this.emit("upgrade", this.#transport), () => old._end()]);
  }

  #switch(): Transport {
    const old = this.#transport;
    old.discarded = true;
    this.#transport = this.#probe ?? new Transport("websocket", this);
    this.#probe = undefined;
    this.#upgraded = true;
    return old;
  }

  _onEnd(reason: string, fault: string | undefined): void {
    // At its own word: told when its client has been told.
    if (this.#readyState !== "open") return;
    try {
      if (reason === "parse error") this.emit("packet", { type: "error", data: "parser error" });
    } finally {
      this._end(reason, fault === undefined ? undefined : transportError(fault));
    }
  }

  // ---- The debug output

  get #wire() {
    return this.#transport.name === "polling" ? debug.polling : debug.websocket;
  }

  #logReceived(type: number, data: string | Buffer): void {
    this.#wire('received "%s%s"', type, data);
    debug.session("received packet %s", PACKET_TYPES[type]);
    if (type === PACKET_TYPES.indexOf("pong")) debug.session("got pong");
  }

  #logSent({ type, data = "" }: Packet): void {
    const { pingTimeout } = this.server.opts;
    if (type === "ping") debug.session("writing ping packet - expecting pong within %sms", pingTimeout);
    debug.session('sending packet "%s" (%s)', type, data);
    this.#wire('writing "%s%s"', PACKET_TYPES.indexOf(type as (typeof PACKET_TYPES)[number]), data);
  }

  // ---- Listeners

  /** Has the core tell what has listeners. Returns whether the session is still there. */
  _watch(): boolean {
    const needed = this.#needed();
    this.#watched = needed;
    return this.server._bridge?.native.watchSession(this.id, needed) ?? false;
  }

  #needed(): Watch {
    let needed = ALWAYS | this.server._watchedOfAll;
    for (const event of this.eventNames()) needed |= WATCHED[event] ?? Watch.Nothing;
    if (this.#hasCalled) needed |= Watch.Drain;
    if (logsSessions()) needed |= Watch.Upgrading | Watch.Upgrade;
    if (logsFrames()) needed |= Watch.Packet | Watch.PacketCreate;
    // Its transport emits an event when it is given up.
    if (this.#probe !== undefined) needed |= Watch.Upgrading;
    return needed;
  }

  protected override _onListeners(event?: string | symbol): void {
    if (event === undefined || WATCHED[event] !== undefined) this.#rewatch();
  }

  #rewatch(): void {
    if (this.#readyState !== "open") return;
    const before = this.#watched;
    if (this.#needed() === before) return;
    this._watch();
    // The upgrade may have happened a moment ago, unseen.
    const isNew = (this.#watched & ~before & Watch.Upgrade) !== 0;
    if (isNew && this.#hasUpgraded()) process.nextTick(() => this.#onUpgrade());
  }
}

/** The data of a packet as it is sent. */
function contentOf(data: RawData): string | Uint8Array {
  if (typeof data === "string") return data;
  if (typeof data === "object" && data !== null && isBinary(data)) return bytesOf(data);
  return data ? `${data}` : "";
}

function packetOf(type: number, data: string | Buffer): Packet {
  const packet: Packet = { type: PACKET_TYPES[type] as PacketType };
  if (data !== "") packet.data = data;
  return packet;
}

/** What was wrong with a transport, as engine.io says it. */
export function transportError(fault: string): Error {
  const error = new Error(fault);
  // As in engine.io, where only this mistake has no type.
  if (fault !== "invalid heartbeat direction") Object.assign(error, { type: "TransportError" });
  return error;
}

/** The sessions of an engine: from what the core tells of them to the objects that applications see. */

import type { HttpEntryPoint } from "./attach";
import type { Bridge } from "./bridge";
import { debug, logsSessions } from "./debug";
import type { EngineHost, ServerEvents } from "./engine-server";
import type { EngineSocket } from "./engine-socket";
import type { HandshakeRecord } from "./handshake";
import { type SessionSign, Watch } from "./native";
import { runAll, throwLater } from "./run-all";
import { WatchedEmitter } from "./watched-emitter";

/** Events for which sessions have to be told of as they open. */
const OF_SESSIONS = ["connection", "flush", "drain"];

/** The part of an engine that has the sessions. */
export abstract class EngineSessions extends WatchedEmitter<ServerEvents> {
  /** The sessions, by id. */
  readonly clients: Record<string, EngineSocket> = this.#showClients();
  /** Sockets that tell when what was sent has left, and have sent something. */
  readonly _flushing = new Set<EngineSocket>();
  readonly #sockets = new Map<string, EngineSocket>();
  /** Sessions that were told before the answer that opens them, by the number of its request. */
  readonly #openings = new Map<number, HandshakeRecord>();

  abstract readonly _host: EngineHost;
  abstract get _bridge(): Bridge | undefined;
  abstract _entry(): HttpEntryPoint;
  protected abstract _makeSocket(record: HandshakeRecord): EngineSocket;

  /** How many sessions there are. */
  get clientsCount(): number {
    return (this._bridge?.native.clientsCount() ?? 0) + this.#closing().length;
  }

  /** Whether WebSockets are refused until the HTTP server is closed and listens again. */
  _refusesWebSockets = false;

  /**
   * Ends all sessions, at once. New ones can be opened by long-polling, but no WebSockets until the HTTP server is
   * closed and listens again.
   */
  close(): this {
    this._refusesWebSockets = true;
    // The core's own port would take them.
    this._host.giveToNode();
    this._closeSessions();
    return this;
  }

  _closeSessions(): void {
    const bridge = this._bridge;
    if (bridge === undefined) return;
    const closeOne = (id: string) => {
      const socket = this.#sockets.get(id);
      if (socket !== undefined) socket.close(true);
      else this._host.disconnected(bridge, bridge.flushed.closeSession(id, true).sockets);
    };
    const ids = [...bridge.flushed.sessions(), ...this.#closing().map(({ id }) => id)];
    runAll(ids.map((id) => () => closeOne(id)));
  }

  /** Ends one session. What was sent before still leaves. */
  _closeSession(id: string): void {
    const bridge = this._bridge;
    const socket = this.#sockets.get(id);
    if (socket !== undefined) socket.close();
    else if (bridge !== undefined)
      this._host.disconnected(bridge, bridge.flushed.closeSession(id, false).sockets);
  }

  /** A session's object, made if there is none yet. */
  _socketOf(record: HandshakeRecord, isSureToEnd = false): EngineSocket {
    const known = this.#sockets.get(record.engine);
    if (known !== undefined) return known;
    debug.engine('handshaking client "%s" (%s)', record.engine, record.transport);
    const socket = this._makeSocket(record);
    // There will be no record of the end of one that has already ended.
    if (socket._watch() || isSureToEnd) this.#sockets.set(record.engine, socket);
    return socket;
  }

  #find(id: string): EngineSocket | undefined {
    const known = this.#sockets.get(id);
    if (known !== undefined) return known;
    const record = this._bridge?.native.session(id);
    return record ? this._socketOf(JSON.parse(record)) : undefined;
  }

  _forgetSocket(id: string): void {
    this.#sockets.delete(id);
  }

  /** Those whose clients have not been told of their end. */
  #closing(): EngineSocket[] {
    return [...this.#sockets.values()].filter((socket) => socket.readyState === "closing");
  }

  /** The sessions as an object that looks them up when it is asked. */
  #showClients(): Record<string, EngineSocket> {
    const find = (id: string | symbol) => (typeof id === "string" ? this.#find(id) : undefined);
    const ids = () =>
      new Set([...(this._bridge?.native.sessions() ?? []), ...this.#closing().map(({ id }) => id)]);
    return new Proxy<Record<string, EngineSocket>>(Object.create(null), {
      get: (_target, id) => find(id) as EngineSocket,
      has: (_target, id) => find(id) !== undefined,
      ownKeys: () => [...ids()],
      getOwnPropertyDescriptor: (_target, id) => {
        const value = find(id);
        return value && { value, enumerable: true, configurable: true };
      },
      set: () => false,
      deleteProperty: () => false,
    });
  }

  /** What all sessions have to be watched for. */
  get _watchedOfAll(): Watch {
    const isTold = this.listenerCount("flush") > 0 || this.listenerCount("drain") > 0;
    return isTold ? Watch.Drain | Watch.PacketCreate : Watch.Nothing;
  }

  /** What all sessions have to be watched for has changed. */
  protected _watchAll(): void {
    for (const socket of this.#sockets.values()) socket._watch();
  }

  /** Whether sessions are told of as they open. */
  protected get _hearsOpenings(): boolean {
    return logsSessions() || OF_SESSIONS.some((event) => this.listenerCount(event) > 0);
  }

  onSessionOpen(tag: number, record: HandshakeRecord): void {
    if (tag !== 0 && this._entry().isUnanswered(tag)) {
      // Its answer is still being made, and comes first.
      this.#openings.set(tag, record);
      return;
    }
    const socket = this._socketOf(record, true);
    runAll([() => this.#tellFlush(socket), () => this.#tellOpen(socket)]);
  }

  /** The answer that opens a session is about to be sent. Returns what is to be called when it is. */
  _onOpeningAnswer(tag: number, id: string): () => void {
    const known = this.#openings.get(tag);
    this.#openings.delete(tag);
    if (known === undefined && !this._hearsOpenings) return () => {};
    const record = known ?? JSON.parse(this._bridge?.native.session(id) ?? "null");
    if (record === null) return () => {};
    const socket = this._socketOf(record, known !== undefined);
    const whenSent = () => {
      if (known !== undefined) this.#tellOpen(socket);
    };
    try {
      this.#tellFlush(socket);
    } catch (error) {
      throwLater(error);
    }
    return whenSent;
  }

  /** The answer that would have opened a session will not be sent. */
  _onNoAnswer(tag: number): void {
    const record = this.#openings.get(tag);
    if (record === undefined) return;
    this.#openings.delete(tag);
    this.onSessionOpen(0, record);
  }

  #tellFlush(socket: EngineSocket): void {
    if (socket._opening !== "unheard") return;
    socket._opening = "answered";
    if (this.listenerCount("flush") > 0)
      this.emit("flush", socket, [{ type: "open", options: { compress: true } }]);
  }

  #tellOpen(socket: EngineSocket): void {
    if (socket._opening === "told") return;
    socket._opening = "told";
    debug.server("incoming connection with id %s", socket.id);
    runAll([() => this.emit("drain", socket), () => this.emit("connection", socket)]);
  }

  onSessionMessage(id: string, data: string | Buffer | undefined): void {
    const socket = this.#sockets.get(id);
    // Later messages may depend on one that is too large.
    if (data === undefined) socket?.close(true);
    else socket?._onMessage(data);
  }

  onSessionPacket(id: string, type: number, data: string | Buffer | undefined): void {
    if (data !== undefined) this.#sockets.get(id)?._onPacket(type, data);
  }

  onSessionPacketCreate(
    id: string,
    type: number,
    data: string | Buffer | undefined,
    compress: boolean,
  ): void {
    if (data !== undefined) this.#sockets.get(id)?._onPacketCreate(type, data, compress);
  }

  onSessionSign(id: string, sign: SessionSign): void {
    this.#sockets.get(id)?._onSign(sign);
  }

  onSessionEnd(id: string, reason: string, fault: string | undefined): void {
    try {
      if (!this.#sockets.has(id)) this.#tellOpeningOf(id);
    } finally {
      this.#onSessionEnd(id, reason, fault);
    }
  }

  /** A session whose first answer is still being made has ended: nothing else would tell of it before its end. */
  #tellOpeningOf(id: string): void {
    for (const [tag, { engine }] of this.#openings) if (engine === id) this._onNoAnswer(tag);
  }

  #onSessionEnd(id: string, reason: string, fault: string | undefined): void {
    this.#sockets.get(id)?._onEnd(reason === "forced server close" ? "forced close" : reason, fault);
  }

  /** An answer is about to be sent. Returns what is to be called when it is. */
  _onAnswer(sid: unknown): () => void {
    const socket = this._flushing.size > 0 ? this.#sockets.get(sid as string) : undefined;
    if (socket === undefined) return () => {};
    socket._flush();
    return () => socket._drain();
  }

  /** The host is closed, and all sessions with it. */
  _clear(): void {
    this.#openings.clear();
    this._flushing.clear();
    const sockets = [...this.#sockets.values()];
    this.#sockets.clear();
    // In ticks of their own, so that `close` does not throw what a listener throws.
    for (const socket of sockets) process.nextTick(() => socket._end("forced close"));
  }

  /** How many objects are kept for clients, by kind; for tests. */
  _held(): Record<string, number> {
    return {
      clients: this.#sockets.size,
      openings: this.#openings.size,
      flushing: this._flushing.size,
    };
  }
}

/** The connection that the sockets of one client share, as applications see it. */

import { EventEmitter } from "node:events";
import type { EngineRequest, HandshakeRecord } from "./handshake";
import type { Server } from "./server";
import type { DisconnectReason, Socket } from "./socket";

/** The low-level connection of a client. */
export class Connection extends EventEmitter {
  /** The session's id. Whoever knows it can speak for the client. */
  readonly id: string;
  /** The Engine.IO protocol: 3 or 4. */
  readonly protocol: number;
  /** The client's address. */
  readonly remoteAddress: string;
  /** The request that opened the connection. */
  readonly request: EngineRequest;
  /** Whether the connection is still there. */
  readyState: "open" | "closed" = "open";
  readonly #client: Client;
  readonly #transport: { name: string };

  constructor(client: Client, record: HandshakeRecord, request: EngineRequest) {
    super();
    this.#client = client;
    this.id = record.engine;
    this.protocol = record.protocol;
    this.remoteAddress = record.address as string;
    this.request = request;
    this.#transport = { name: record.transport };
  }

  /** What carries the connection at the moment: its `name` is `polling` or `websocket`. */
  get transport(): { name: string } {
    const socket = this.#client._anySocket();
    if (socket !== undefined) this.#transport.name = socket._transport();
    return this.#transport;
  }

  /** Whether the connection has moved from long-polling to WebSocket. */
  get upgraded(): boolean {
    return this.request._query.transport === "polling" && this.transport.name === "websocket";
  }

  /** Ends the connection, and with it all its sockets. */
  close(): this {
    this.#client._anySocket()?.disconnect(true);
    return this;
  }

  /** The connection has ended. */
  _onClose(reason: string): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.emit("close", reason);
  }
}

/** The sockets of one connection. */
export class Client {
  readonly conn: Connection;
  /** The number by which the request that opened the connection is kept, or 0. */
  readonly _tag: number;
  readonly #sockets = new Set<Socket>();

  constructor(
    readonly server: Server,
    record: HandshakeRecord,
    request: EngineRequest,
  ) {
    this._tag = record.tag;
    this.conn = new Connection(this, record, request);
  }

  /** The connection's id. */
  get id(): string {
    return this.conn.id;
  }

  /** The request that opened the connection. */
  get request(): EngineRequest {
    return this.conn.request;
  }

  _add(socket: Socket): void {
    this.#sockets.add(socket);
  }

  /** Takes out a socket that has left. Returns whether it was the last one. */
  _remove(socket: Socket, reason: DisconnectReason): boolean {
    this.#sockets.delete(socket);
    if (!reason.endsWith("namespace disconnect")) this.conn._onClose(reason);
    return this.#sockets.size === 0;
  }

  _anySocket(): Socket | undefined {
    for (const socket of this.#sockets) return socket;
    return undefined;
  }
}

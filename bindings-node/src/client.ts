/** The connection that the sockets of one client share, as applications see it. */

import { EventEmitter } from "node:events";
import type { EngineRequest, HandshakeRecord } from "./handshake";
import type { Server } from "./server";

/**
 * The low-level connection of a client. It knows the core's connection by its id, which is never used twice: once
 * that has closed, the id names nothing.
 */
export class Connection extends EventEmitter {
  /** The session's id: a secret, because whoever has it can act as the client. */
  readonly id: string;
  /** The Engine.IO protocol: 3 or 4. */
  readonly protocol: number;
  /** The client's address. */
  readonly remoteAddress: string;
  /** The request that opened the connection. */
  readonly request: EngineRequest;
  readonly #server: Server;
  readonly #transport: { name: string };
  #isClosed = false;

  constructor(server: Server, record: HandshakeRecord, request: EngineRequest) {
    super();
    this.#server = server;
    this.id = record.engine;
    this.protocol = record.protocol;
    this.remoteAddress = record.address as string;
    this.request = request;
    this.#transport = { name: record.transport };
  }

  /** Whether the connection is still open. */
  get readyState(): "open" | "closed" {
    return this.#look() === undefined ? "closed" : "open";
  }

  /** The current transport, or the last one: its `name` is `polling` or `websocket`. */
  get transport(): { name: string } {
    this.#transport.name = this.#look() ?? this.#transport.name;
    return this.#transport;
  }

  /** Whether the connection has moved from long-polling to WebSocket. */
  get upgraded(): boolean {
    return this.request._query.transport === "polling" && this.transport.name === "websocket";
  }

  /** The name of the transport; unset once the connection is closed. */
  #look(): string | undefined {
    if (this.#isClosed) return undefined;
    return this.#server._bridge?.native.transport(this.id) ?? undefined;
  }

  /** Ends the connection, and with it all its sockets. */
  close(): this {
    const bridge = this.#server._bridge;
    if (bridge === undefined || this.#isClosed) return this;
    try {
      this.#server._connectionHandler.disconnected(bridge, bridge.flushed.closeConnection(this.id));
    } finally {
      this._onClose("forced close");
    }
    return this;
  }

  /** The connection has ended. */
  _onClose(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.emit("close", reason);
  }
}

/** What the sockets of one connection share. */
export class Client {
  readonly conn: Connection;

  constructor(
    readonly server: Server,
    record: HandshakeRecord,
    request: EngineRequest,
  ) {
    this.conn = new Connection(server, record, request);
  }

  /** The connection's id. */
  get id(): string {
    return this.conn.id;
  }

  /** The request that opened the connection. */
  get request(): EngineRequest {
    return this.conn.request;
  }
}

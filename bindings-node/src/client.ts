/** What the sockets of one client share. */

import type { EngineSocket } from "./engine-socket";
import type { EngineRequest } from "./handshake";
import type { Server } from "./server";

/** The client of one connection. */
export class Client {
  constructor(
    readonly server: Server,
    /** The low-level connection. */
    readonly conn: EngineSocket,
  ) {}

  /** The connection's id. */
  get id(): string {
    return this.conn.id;
  }

  /** The request that opened the connection. */
  get request(): EngineRequest {
    return this.conn.request;
  }
}

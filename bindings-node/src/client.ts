/** What the sockets of one client share. */

import type { EngineSocket } from "./engine-socket";
import type { EngineRequest } from "./handshake";
import type { Packet, PacketEncoder } from "./parser";
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

  /** Writes packets as messages. */
  get encoder(): PacketEncoder {
    return this.server.encoder;
  }

  /** Sends messages that make a packet. */
  writeToEngine(messages: unknown, options: WriteOptions): void {
    if (options.volatile && !this.conn.transport.writable) return;
    const { compress } = options;
    for (const message of [messages].flat()) this.conn.write(message, { compress });
  }

  /** Sends a packet, or messages that make one. */
  _packet(packet: Packet | unknown[], options: WriteOptions = {}): void {
    if (this.conn.readyState !== "open") return;
    const messages = options.preEncoded ? packet : this.encoder.encode(packet as Packet);
    this.writeToEngine(messages, options);
  }
}

/** How messages are sent. */
export interface WriteOptions {
  /** Whether they are messages already, where a packet could be given. */
  preEncoded?: boolean;
  volatile?: boolean | undefined;
  compress?: boolean | undefined;
}

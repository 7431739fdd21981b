/** What carries a session, as applications see it. */

import { EventEmitter } from "node:events";

/** What a transport asks its session. */
interface Carried {
  readonly id: string;
  readonly protocol: number;
  /** Whether this transport would send a packet at once. */
  _isWritable(transport: Transport): boolean;
}

/**
 * One transport of a session: long-polling, or a WebSocket. It emits `close` when it is over. The core works with it; this
 * only shows it.
 */
export class Transport extends EventEmitter {
  /** Whether it is in use. */
  readyState: "open" | "closed" = "open";
  /** Whether another transport has taken its place. */
  discarded = false;
  /** Whether bytes go as bytes. */
  readonly supportsBinary: boolean;
  readonly #session: Carried;

  constructor(
    readonly name: "polling" | "websocket",
    session: Carried,
  ) {
    super();
    this.#session = session;
    this.supportsBinary = name === "websocket" || session.protocol === 3;
  }

  /** The id of the session. */
  get sid(): string {
    return this.#session.id;
  }

  /** The revision of the protocol. */
  get protocol(): number {
    return this.#session.protocol;
  }

  /** Whether a packet would leave at once: over long-polling, whether somebody polls. */
  get writable(): boolean {
    return this.readyState === "open" && this.#session._isWritable(this);
  }

  /** It is over. */
  _end(): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.emit("close");
  }
}

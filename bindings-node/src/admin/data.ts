/** What the application keeps with sockets, for the admin UI. */

import type { Namespace } from "../namespace";
import type { Server } from "../server";
import type { Socket } from "../socket";

/** So many sockets are looked at in one turn. */
const PIECE = 500;

/** Longer data is not shown: an admin client keeps that of all sockets in a page. */
const MAX_TEXT = 16 << 10;

/**
 * Tells the core of each socket's `data`, from time to time while an admin client is connected. The application's
 * objects stay as they are: they are not wrapped in order to notice a change.
 */
export class DataWatch {
  readonly #io: Server;
  readonly #namespace: Namespace;
  readonly #interval: number;
  #shown = new WeakMap<Socket, string>();
  #timer: NodeJS.Timeout | undefined = undefined;
  #round = 0;

  constructor(io: Server, namespace: Namespace, interval: number) {
    this.#io = io;
    this.#namespace = namespace;
    this.#interval = interval;
  }

  /** An admin client has come. */
  begin(): void {
    clearTimeout(this.#timer);
    // The core has forgotten it if nobody was there.
    if (this.#namespace.sockets.size <= 1) this.#shown = new WeakMap();
    this.#round += 1;
    this.#look(this.#round, this.#all());
  }

  #look(round: number, sockets: Iterator<Socket>): void {
    const bridge = this.#io._bridge;
    // Nobody is there to be shown anything, or a new round has begun.
    if (bridge === undefined || this.#namespace.sockets.size === 0 || round !== this.#round) return;
    for (let n = 0; n < PIECE; n += 1) {
      const { done, value: socket } = sockets.next();
      if (done) {
        this.#timer = setTimeout(() => this.#look(round, this.#all()), this.#interval).unref();
        return;
      }
      const text = textOf(socket.data);
      if (text === (this.#shown.get(socket) ?? "{}")) continue;
      this.#shown.set(socket, text);
      bridge.native.showData(socket._key, text);
    }
    setImmediate(() => this.#look(round, sockets));
  }

  /** The sockets of all namespaces, as they are when they are reached. */
  *#all(): Generator<Socket> {
    for (const namespace of this.#io._nsps.values()) {
      for (const socket of namespace.sockets.values()) yield socket as Socket;
    }
  }
}

/** Data as JSON text, where it can be said in JSON. */
function textOf(data: unknown): string {
  if (data === undefined || data === null) return "{}";
  try {
    const text = JSON.stringify(data) ?? "{}";
    return text.length <= MAX_TEXT ? text : JSON.stringify({ length: text.length });
  } catch {
    return "{}";
  }
}

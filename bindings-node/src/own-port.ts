/** A port that the core itself listens on, in the shape of an HTTP server. */

import { Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Bridge } from "./bridge";

/** A timer must have some interval: the longest there is. */
const FOREVER_MS = 2 ** 31 - 1;

/**
 * Stands for the core's port where applications expect an HTTP server: it listens, tells its address and closes.
 * Requests do not pass by here, so it has none for its listeners.
 */
export class OwnPort extends HttpServer {
  readonly #bridge: Bridge;
  #bound: AddressInfo | undefined = undefined;
  /** Keeps the process alive while the port is open, as a listening server of Node does. */
  #life: NodeJS.Timeout | undefined = undefined;

  constructor(bridge: Bridge) {
    super();
    this.#bridge = bridge;
    // Declared as a property by Node's types, though it is none.
    Object.defineProperty(this, "listening", { get: () => this.#bound !== undefined });
  }

  /** Opens the port. Like Node, it tells of success or failure in a later tick. */
  open(port: number): void {
    try {
      const address = this.#bridge.flushed.listen(undefined, port);
      this.#bound = { address: "::", family: "IPv6", port: address };
      this.#life = setInterval(() => {}, FOREVER_MS);
      process.nextTick(() => this.emit("listening"));
    } catch (error) {
      process.nextTick(() => this.emit("error", Object.assign(error as Error, { syscall: "listen", port })));
    }
  }

  override address(): AddressInfo | null {
    return this.#bound ?? null;
  }

  /** Lets the port go; the callback comes when others can have it. */
  override close(callback?: (err?: Error) => void): this {
    if (this.#bound === undefined) return super.close(callback);
    this.#bound = undefined;
    clearInterval(this.#life);
    this.#bridge.closePort(() => {
      this.emit("close");
      callback?.();
    });
    return this;
  }
}

/** The port of `new Server(port)`: the core's own as long as nothing needs Node's HTTP server. */

import cluster from "node:cluster";
import { Server as HttpServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { Bridge } from "./bridge";
import { debug } from "./debug";
import type { EngineServer } from "./engine-server";
import { locateClient } from "./serve-client";

/** The longest interval that a timer can have. */
const FOREVER_MS = 2 ** 31 - 1;

/** Whose port it is. */
export interface PortOwner {
  readonly engine: EngineServer;
  /** Whether the files of the browser's client are served. */
  serveClient?(): boolean;
}

/** Listeners that only Node's HTTP server calls. */
const NEEDS_NODE = new Set(["request", "upgrade", "connection", "checkContinue", "connect"]);

/**
 * An HTTP server that listens by the core, which serves long-polling and new connections much faster. As soon as the
 * application adds functions that must see the requests, the port is given to Node.
 */
export class OwnPort extends HttpServer {
  /** Node's listening handle. */
  declare _handle: { fd?: number; close(): void } | null;
  readonly #owner: PortOwner;
  /** The connection to the core that has the port. */
  #bridge: Bridge | undefined = undefined;
  #bound: AddressInfo | undefined = undefined;
  #needsNode = false;
  #isMoving = false;
  /** Set when `close` was called while the port moves to Node. */
  #whenMoved: (() => void) | undefined = undefined;
  /** Keeps the process and the server alive while the port is open, as a listening server of Node does. */
  #life: NodeJS.Timeout | undefined = undefined;

  /** `answer` is for requests of other paths. */
  constructor(owner: PortOwner, answer: RequestListener) {
    super(answer);
    this.#owner = owner;
    // Node's types declare a property, but it is an accessor.
    Object.defineProperty(this, "listening", { get: () => this.address() !== null });
  }

  /** Opens the port by Node. The core takes it over in the next tick, unless the application needs Node by then. */
  open(port: number, listener?: () => void): void {
    this.listen(port, listener);
    this.on("newListener", (event: string) => {
      if (NEEDS_NODE.has(event)) this.giveToNode();
    });
    process.nextTick(() => this.#giveToCore());
  }

  #giveToCore(): void {
    const address = super.address() as AddressInfo | null;
    // Listening may have failed, or the port is shared by the processes of a cluster.
    const descriptor = this._handle?.fd;
    if (address === null || this.#needsNode || this.#owner.engine._needsNode || cluster.isWorker) return;
    // Windows has no descriptors.
    if (descriptor === undefined || descriptor < 0) return;
    const client = this.#owner.serveClient?.() ? locateClient() : undefined;
    // The core has a descriptor of its own, so the port is open all the time. Node has not begun to accept connections:
    // that comes when this tick is over.
    this.#bridge = this.#owner.engine._bridge;
    if (this.#bridge === undefined) return;
    this.#bridge.flushed.listen(descriptor, client?.folder, client?.version);
    this._handle?.close();
    this._handle = null;
    this.#bound = address;
    debug.engine("own port: the core accepts connections to port %d", address.port);
    // Nothing else in Node refers to the open port, so this also keeps the server from being collected.
    this.#life = setInterval(() => void this.#owner, FOREVER_MS);
  }

  /**
   * Moves the port to Node, because something wants to see the requests. Connections that are open stay in the core.
   */
  giveToNode(): void {
    this.#needsNode = true;
    const bound = this.#bound;
    if (bound === undefined || this.#isMoving) return;
    this.#isMoving = true;
    debug.engine("port %d goes to Node, because something wants to see the requests", bound.port);
    this.#bridge?.closePort(() => {
      if (this.#whenMoved !== undefined) {
        this.#whenMoved();
        return;
      }
      clearInterval(this.#life);
      this.#bound = undefined;
      this.listen(bound.port);
    });
  }

  override address(): AddressInfo | string | null {
    return this.#bound ?? super.address();
  }

  /** Closes the port; the callback is called when it can be used again. */
  override close(callback?: (err?: Error) => void): this {
    if (this.#bound === undefined) return super.close(callback);
    this.#bound = undefined;
    const finish = () => {
      clearInterval(this.#life);
      if (callback !== undefined) this.once("close", () => callback());
      // Node's server still has a timer, which would keep everything alive.
      super.close();
    };
    if (this.#isMoving) this.#whenMoved = finish;
    else this.#bridge?.closePort(finish);
    return this;
  }
}

/** What lies below the sockets: connections and the HTTP requests that carry them, as applications see it. */

import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { EngineRequest } from "./handshake";
import { runMiddlewares } from "./middleware";
import type { Server } from "./server";

/** A function that sees each HTTP request of the engine. */
export type EngineMiddleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (err?: unknown) => void,
) => void;

/** The engine of a server. */
export class Engine extends EventEmitter {
  readonly #server: Server;
  readonly #middlewares: EngineMiddleware[] = [];
  /** Requests that may open a connection, by the number under which they went to the core: as long as it has them. */
  readonly #requests = new Map<number, EngineRequest>();
  #nextTag = 1;

  constructor(server: Server) {
    super();
    this.#server = server;
    this.on("newListener", (event: string) => {
      if (event === "headers" || event === "initial_headers") server._giveToNode();
    });
  }

  /** How many clients are connected. */
  get clientsCount(): number {
    return this.#server._bridge?.native.clientsCount() ?? 0;
  }

  /** Adds a function that sees each HTTP request of the engine before anything else. */
  use(fn: EngineMiddleware): this {
    this.#middlewares.push(fn);
    this.#server._giveToNode();
    return this;
  }

  /** Whether somebody may want to see the very request objects. */
  get _keepsRequests(): boolean {
    return this.#middlewares.length > 0 || this.#server.opts.allowRequest !== undefined;
  }

  /** Whether requests and answers pass by functions of the application. */
  get _isWatched(): boolean {
    return (
      this._keepsRequests || this.listenerCount("headers") > 0 || this.listenerCount("initial_headers") > 0
    );
  }

  /** Runs the functions of `use` for one request. */
  _run(request: EngineRequest, response: ServerResponse, done: (err?: unknown) => void): void {
    runMiddlewares(
      this.#middlewares.slice(),
      (middleware, next) => middleware(request, response, next),
      done,
    );
  }

  /** A number for a request on its way to the core. */
  _tag(): number {
    const tag = this.#nextTag;
    this.#nextTag += 1;
    return tag;
  }

  /** Keeps a request that may open a connection. Returns its number, or 0 when nobody will ask for it. */
  _keep(tag: number, request: EngineRequest): number {
    if (!this._keepsRequests || request._query.sid !== undefined) return 0;
    this.#requests.set(tag, request);
    return tag;
  }

  /** The request of this number, if it is kept. */
  _request(tag: number): EngineRequest | undefined {
    return this.#requests.get(tag);
  }

  /** The core has let go of the request. */
  _forget(tag: number): void {
    this.#requests.delete(tag);
  }

  /** No connection is left. */
  _clear(): void {
    this.#requests.clear();
  }

  /** How many requests are kept. */
  get _kept(): number {
    return this.#requests.size;
  }
}

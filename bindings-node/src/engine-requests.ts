/** The requests that open and carry the sessions of an engine: who sees them, and which are let in. */

import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { AnsweredHead, Bridge, RefusedHead } from "./bridge";
import { corsMiddleware } from "./cors-by-request";
import { debug } from "./debug";
import type { EngineOptions } from "./engine-options";
import type { ConnectionError, EngineMiddleware } from "./engine-server";
import { EngineSessions } from "./engine-sessions";
import { type EngineRequest, makeRequest, type RequestHead } from "./handshake";
import { runMiddlewares } from "./middleware";
import { asksForOrigins, type CorsOptions, decideOrigin } from "./options";
import { runAll } from "./run-all";

export const errors = {
  UNKNOWN_TRANSPORT: 0,
  UNKNOWN_SID: 1,
  BAD_HANDSHAKE_METHOD: 2,
  BAD_REQUEST: 3,
  FORBIDDEN: 4,
  UNSUPPORTED_PROTOCOL_VERSION: 5,
};

export const errorMessages: Record<number, string> = {
  0: "Transport unknown",
  1: "Session ID unknown",
  2: "Bad handshake method",
  3: "Bad request",
  4: "Forbidden",
  5: "Unsupported protocol version",
};

/** The part of an engine that handles requests, on top of the part that has the sessions. */
export abstract class EngineRequests extends EngineSessions {
  /** The options as they were given. */
  protected readonly _options: Partial<EngineOptions>;
  /** Those that have been changed since. */
  readonly _changes: Partial<EngineOptions> = {};
  /** Follows the cross-origin rules where the core cannot. */
  #cors: EngineMiddleware | undefined = undefined;
  protected readonly _middlewares: EngineMiddleware[] = [];
  /** Requests by the number under which they went to the core: as long as it has them. */
  readonly #requests = new Map<number, EngineRequest>();
  /** The headers that functions of `use` have set for WebSockets, by request. */
  readonly #ofMiddlewares = new WeakMap<EngineRequest, OutgoingHttpHeaders>();
  #nextTag = 1;

  abstract generateId: (request: IncomingMessage) => unknown;
  /** Whether the application makes the ids of sessions. */
  protected abstract get _isCustom(): boolean;

  constructor(options: Partial<EngineOptions>) {
    super();
    this._options = options;
    this._followCors();
  }

  /** Whether somebody may want to see the very request objects. */
  _keepsRequests = false;
  /** Whether somebody hears of the headers of answers. */
  _tellsHeaders = false;

  protected _option<Name extends keyof EngineOptions>(name: Name): EngineOptions[Name] | undefined {
    return name in this._changes ? this._changes[name] : this._options[name];
  }

  /** Whether functions of the application see the requests. */
  get _hasMiddlewares(): boolean {
    return this._middlewares.length > 0 || this.#cors !== undefined;
  }

  /** Whether Node has to see the requests. */
  get _needsNode(): boolean {
    return (
      this._hasMiddlewares || this._tellsHeaders || (this._option("allowRequest") ?? undefined) !== undefined
    );
  }

  /** The cross-origin rules are new. Returns whether functions of theirs see the requests. */
  protected _followCors(): boolean {
    this.#cors = corsMiddleware(this._option("cors"));
    return this.#cors !== undefined;
  }

  /** Runs the functions of `use` for one request. */
  _run(request: EngineRequest, response: ServerResponse, done: (err?: unknown) => void): void {
    runMiddlewares(
      this.#cors === undefined ? this._middlewares.slice() : [this.#cors, ...this._middlewares],
      (middleware, next) => middleware(request, response, next),
      done,
    );
  }

  /** The functions of `use` have set these headers for a WebSocket. */
  _keepHeaders(request: EngineRequest, headers: OutgoingHttpHeaders): void {
    this.#ofMiddlewares.set(request, headers);
  }

  /** A number for a request on its way to the core. */
  _tag(): number {
    const tag = this.#nextTag;
    this.#nextTag += 1;
    return tag;
  }

  /** Keeps a request for whoever asks for it. Returns its number, or 0 when nobody will. */
  _keep(tag: number, request: EngineRequest, isUpgrade: boolean): number {
    if (!this._keepsRequests) return 0;
    const isAsked =
      isUpgrade || request._query.sid === undefined || this.listenerCount("connection_error") > 0;
    if (!isAsked) return 0;
    this.#requests.set(tag, request);
    return tag;
  }

  /** The core has let go of the request. */
  _forget(tag: number): void {
    this.#requests.delete(tag);
  }

  protected _requestOf(tag: number, head: RequestHead): EngineRequest {
    return this.#requests.get(tag) ?? makeRequest(head);
  }

  onAskRequest(bridge: Bridge, question: number, tag: number, head: RequestHead): void {
    const request = this._requestOf(tag, head);
    const allowRequest = this._option("allowRequest");
    if (allowRequest === undefined || allowRequest === null) {
      this.#admit(bridge, question, tag, request);
      return;
    }
    let isAnswered = false;
    const answer = (message: unknown, isAllowed: unknown) => {
      if (isAnswered) return;
      isAnswered = true;
      if (isAllowed) {
        this.#admit(bridge, question, tag, request);
        return;
      }
      const text = message instanceof Error ? message.message : String(message ?? "");
      this.#refuse(bridge, question, text, request, errors.FORBIDDEN, { message });
    };
    try {
      allowRequest(request, answer);
    } catch (error) {
      answer(undefined, false);
      throw error;
    }
  }

  #admit(bridge: Bridge, question: number, tag: number, request: EngineRequest): void {
    const admit = (id?: unknown) => {
      let kept = 0;
      if (tag === 0 && this._keepsRequests) {
        // It came by the core's own port, which has no number for it.
        kept = this._tag();
        this.#requests.set(kept, request);
      }
      bridge.native.admitRequest(question, id === undefined ? undefined : String(id), kept);
    };
    if (!this._isCustom) {
      admit();
      return;
    }
    const fail = (error: unknown) => {
      const context = { name: "ID_GENERATION_ERROR", error };
      this.#refuse(bridge, question, undefined, request, errors.BAD_REQUEST, context);
    };
    try {
      const id = this.generateId(request);
      if (typeof (id as PromiseLike<unknown> | undefined)?.then !== "function") admit(String(id));
      else (id as PromiseLike<unknown>).then((late) => admit(String(late))).then(undefined, fail);
    } catch (error) {
      fail(error);
    }
  }

  #refuse(
    bridge: Bridge,
    question: number,
    text: string | undefined,
    request: EngineRequest,
    code: number,
    context: Record<string, unknown>,
  ): void {
    try {
      this._tellRefusal(request, code, context);
    } finally {
      bridge.native.refuseRequest(question, text);
    }
  }

  /** Tells of a request that is refused. */
  _tellRefusal(req: EngineRequest, code: number, context: Record<string, unknown>): void {
    this.#emitRefusal({ req, code, message: errorMessages[code] as string, context });
  }

  #emitRefusal(error: ConnectionError): void {
    debug.engine('refusing "%s": %s %j', error.req.url, error.message, error.context);
    this.emit("connection_error", error);
  }

  onRefused(tag: number, code: number, head: RefusedHead): void {
    const req = this._requestOf(tag, head);
    const context: Record<string, unknown> = head.context;
    if (code === errors.UNKNOWN_TRANSPORT) context.transport = req._query.transport;
    for (const name of ["protocol", "previousProtocol"]) {
      if (name in context) context[name] = Number(context[name]);
    }
    if (context.name === "ID_GENERATION_ERROR") context.error = new Error("the id is empty or in use");
    const message = code === errors.FORBIDDEN ? (errorMessages[code] as string) : head.message;
    this.#emitRefusal({ req, code, message, context });
  }

  onAskOrigin(bridge: Bridge, question: number, tag: number, head: RequestHead): void {
    const request = this._requestOf(tag, head);
    decideOrigin((this._option("cors") || {}) as CorsOptions, request.headers, (decision) =>
      bridge.native.answerOrigin(question, decision),
    );
  }

  onAskHeaders(bridge: Bridge, question: number, tag: number, head: AnsweredHead): void {
    const request = this._requestOf(tag, head);
    const headers = this.#ofMiddlewares.get(request) ?? {};
    try {
      this._tellHeaders(headers, request, head.isFirst);
    } finally {
      bridge.native.answerHeaders(question, fieldsOf(headers));
    }
  }

  /** Lets listeners change the headers of an answer. */
  _tellHeaders(headers: OutgoingHttpHeaders, request: EngineRequest, isFirst: boolean): void {
    runAll([
      () => isFirst && this.emit("initial_headers", headers, request),
      () => this.emit("headers", headers, request),
    ]);
  }

  /** Whether only JavaScript can tell which origins are allowed. */
  get _asksForOrigins(): boolean {
    return asksForOrigins(this._option("cors"));
  }

  override _clear(): void {
    this.#requests.clear();
    super._clear();
  }

  override _held(): Record<string, number> {
    return { ...super._held(), keptRequests: this.#requests.size };
  }
}

/** Names and values in turn. */
function fieldsOf(headers: OutgoingHttpHeaders): string[] {
  const fields: string[] = [];
  for (const [name, value] of Object.entries(headers)) {
    for (const one of [value].flat()) if (one !== undefined) fields.push(name, String(one));
  }
  return fields;
}

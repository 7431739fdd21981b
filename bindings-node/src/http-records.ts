/**
 * Records for Node's HTTP server: responses, and bytes of streams. They come first in a batch, and can also be
 * drained on their own at any time, so that they leave at once.
 */

import { nextTick } from "./clock";
import { Kind, type NativeServer } from "./native";
import { HEAD, RECORD } from "./record-batch";
import { throwLater } from "./run-all";

/** Has the requests and streams, which records refer to by number. */
export interface HttpHandler {
  /** With the id of the session that it opens, if it does. */
  onResponse(tag: number, status: number, headers: string[], body: string | Buffer, opened?: string): void;
  onResumeBody(tag: number): void;
  onStreamData(tag: number, chunk: Buffer): void;
  onStreamEnd(tag: number): void;
  onForgetRequest(tag: number): void;
}

const HTTP_KINDS: ReadonlySet<Kind | undefined> = new Set([
  Kind.Response,
  Kind.OpeningResponse,
  Kind.ResumeBody,
  Kind.StreamData,
  Kind.StreamEnd,
  Kind.ForgetRequest,
  Kind.PortClosed,
]);

/** Delivers such records to their handler. */
export class HttpRecords {
  readonly #core: NativeServer;
  readonly #handler: HttpHandler;
  #onPortClosed: (() => void) | undefined = undefined;

  constructor(core: NativeServer, handler: HttpHandler) {
    this.#core = core;
    this.#handler = handler;
  }

  /** Sets the listener that is called when the core's own port can be used again. */
  whenPortClosed(listener: () => void): void {
    this.#onPortClosed = listener;
  }

  /**
   * Drains and delivers such records, unless some of the batch in hand still have to be delivered before them:
   * `upcoming` is the kind of its next record.
   */
  drain(upcoming: Kind | undefined): void {
    if (HTTP_KINDS.has(upcoming)) return;
    const values: unknown[] = JSON.parse(this.#core.drainCarried());
    const beside = values[1] === 1 ? this.#core.beside() : NOTHING;
    for (let at = HEAD; at < values.length; at += RECORD) {
      try {
        this.deliver(
          values[at] as Kind,
          values[at + 1] as number,
          values[at + 2] as number,
          values[at + 3],
          beside,
        );
      } catch (error) {
        // From a listener for headers. The caller, who emits an event, has nothing to do with it.
        throwLater(error);
      }
    }
  }

  /** Delivers one record. */
  deliver(kind: Kind, subject: number, detail: number, data: unknown, beside: readonly unknown[]): void {
    switch (kind) {
      case Kind.Response: {
        const [body, ...headers] = data as [string | number, ...string[]];
        const whole = typeof body === "number" ? (beside[body] as Buffer) : body;
        this.#handler.onResponse(subject, detail, headers, whole);
        break;
      }
      case Kind.OpeningResponse: {
        const [opened, body, ...headers] = data as [string, string | number, ...string[]];
        const whole = typeof body === "number" ? (beside[body] as Buffer) : body;
        this.#handler.onResponse(subject, detail, headers, whole, opened);
        break;
      }
      case Kind.ResumeBody:
        this.#handler.onResumeBody(subject);
        break;
      case Kind.StreamData:
        this.#handler.onStreamData(subject, beside[data as number] as Buffer);
        break;
      case Kind.StreamEnd:
        this.#handler.onStreamEnd(subject);
        break;
      case Kind.ForgetRequest:
        this.#handler.onForgetRequest(subject);
        break;
      case Kind.PortClosed:
        // It calls the application.
        nextTick(() => this.#onPortClosed?.());
        break;
    }
  }
}

const NOTHING: never[] = [];

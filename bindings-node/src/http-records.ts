/**
 * What the core has for Node's HTTP server: answers of requests, and bytes of streams. It comes ahead of everything else in
 * a batch, and may be asked for in the middle of anything.
 */

import { nextTick } from "./clock";
import { Kind, type NativeServer } from "./native";
import { HEAD, RECORD } from "./record-batch";

/** Who has the requests and streams, which records name by their numbers. */
export interface HttpHandler {
  onResponse(tag: number, status: number, headers: string[], body: string | Buffer): void;
  onResumeBody(tag: number): void;
  onStreamData(tag: number, chunk: Buffer): void;
  onStreamEnd(tag: number): void;
  onForgetRequest(tag: number): void;
}

const HTTP_KINDS: ReadonlySet<Kind | undefined> = new Set([
  Kind.Response,
  Kind.ResumeBody,
  Kind.StreamData,
  Kind.StreamEnd,
  Kind.ForgetRequest,
  Kind.PortClosed,
]);

/** Delivers such records of one core. */
export class HttpRecords {
  readonly #core: NativeServer;
  readonly #handler: HttpHandler;
  #onPortClosed: (() => void) | undefined = undefined;

  constructor(core: NativeServer, handler: HttpHandler) {
    this.#core = core;
    this.#handler = handler;
  }

  /** Has a listener called when others can have the core's own port. */
  whenPortClosed(listener: () => void): void {
    this.#onPortClosed = listener;
  }

  /**
   * Takes from the core what is there by now, and delivers it. `upcoming` is the kind of the record that is delivered next:
   * what is for HTTP in that batch has to come first.
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
        // Of a listener for headers: whoever emits has nothing to do with it.
        nextTick(() => {
          throw error;
        });
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

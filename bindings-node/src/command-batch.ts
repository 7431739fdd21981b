/** A batch of commands to the core, in the form that `batch.rs` reads. */

import { type Command, type NativeServer, Text } from "./native";
import { type Encoded, SMALL_ATTACHMENT } from "./value";

/** Numbers of one command: the same as `FRAME` in `batch.rs`. */
const FRAME = 9;

/** Numbers in one batch. */
const MAX_NUMBERS = FRAME * 1024;

/** A batch ends beyond so many characters and bytes. */
const MAX_BYTES = 1 << 18;

/** A text of this length is passed on its own: the string for all texts could exceed the longest possible string. */
const LARGE_TEXT = 1 << 16;

/** Rooms, and those that are left out, as JSON texts. */
export interface EncodedSelection {
  rooms: string | undefined;
  except: string | undefined;
}

/** How long to wait for answers, and the number under which they are reported. */
export interface Wait {
  /** Milliseconds. */
  timeout: number | undefined;
  token: number;
}

/** Commands that are to be handed over together. */
export class CommandBatch {
  readonly #numbers = new Float64Array(MAX_NUMBERS);
  #length = 0;
  #texts = "";
  #large: string[] = [];
  #attachments: Uint8Array[] = [];
  /** Characters and bytes in the batch. */
  #nBytes = 0;
  #hasLent = false;

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /**
   * Whether they have to be handed over before anything else happens: there is no room for another, or some bytes are
   * only lent, which the core has to copy before the application goes on.
   */
  get mustLeave(): boolean {
    return this.#hasLent || this.#length === MAX_NUMBERS || this.#nBytes > MAX_BYTES;
  }

  /**
   * Adds a command. All is encoded by now, so that nothing in here calls the application or throws: a batch is never
   * left half written, and a command never gets between the parts of another.
   */
  add(
    command: Command,
    subject: number,
    detail: number,
    to: EncodedSelection,
    payload: Encoded | undefined,
    wait: Wait | undefined,
  ): void {
    const numbers = this.#numbers;
    const at = this.#length;
    const isText = typeof payload !== "object";
    numbers[at] = command;
    numbers[at + 1] = subject;
    numbers[at + 2] = detail;
    numbers[at + 3] = isText ? 0 : payload.attachments.length;
    numbers[at + 4] = this.#text(to.rooms);
    numbers[at + 5] = this.#text(to.except);
    numbers[at + 6] = this.#text(isText ? payload : payload.text);
    numbers[at + 7] = wait?.timeout ?? -1;
    numbers[at + 8] = wait?.token ?? 0;
    if (!isText) this.#attach(payload.attachments);
    this.#length = at + FRAME;
  }

  /**
   * Hands the commands over, and empties the batch even if that fails. Returns whether there is something to drain.
   */
  handOver(core: NativeServer, turn: number): boolean {
    const length = this.#length;
    const texts = this.#texts;
    const large = this.#large.length > 0 ? this.#large : undefined;
    const attachments = this.#attachments.length > 0 ? this.#attachments : undefined;
    this.#length = 0;
    this.#texts = "";
    this.#nBytes = 0;
    this.#hasLent = false;
    if (large !== undefined) this.#large = [];
    if (attachments !== undefined) this.#attachments = [];
    return core.flush(turn, this.#numbers, length, texts, large, attachments);
  }

  /** Returns the text's length, or what stands for it. */
  #text(text: string | undefined): number {
    if (text === undefined) return Text.Absent;
    this.#nBytes += text.length;
    if (text.length < LARGE_TEXT) {
      this.#texts += text;
      return text.length;
    }
    this.#large.push(text);
    return Text.Large;
  }

  #attach(attachments: Uint8Array[]): void {
    for (const bytes of attachments) {
      this.#attachments.push(bytes);
      this.#nBytes += bytes.byteLength;
      this.#hasLent ||= bytes.byteLength >= SMALL_ATTACHMENT;
    }
  }
}

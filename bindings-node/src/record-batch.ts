/** A batch of records of what happened, and the values that come beside it. */

import type { Kind, NativeServer } from "./native";
import { restoreBinary } from "./value";

/** Values in one record: its kind, a number, another, and what belongs to it. */
export const RECORD = 4;

/** Values ahead of the records: whether more waits, and whether values come beside the batch. */
export const HEAD = 2;

/**
 * Stands in a record for a value beside the batch: its index or, for one with binary parts, the index of the first
 * part, their number, and the rest of the value or its index.
 */
export type Beside = number | [first: number, n: number, rest: object | number];

/** The batch in hand, with one record of it at a time. */
export class RecordBatch {
  #values: readonly unknown[] = NOTHING;
  /** Where the current record begins. */
  #at = HEAD - RECORD;
  #beside: (string | Buffer | null)[] = NOTHING;

  /** Takes what happened since. Returns whether more waits. */
  take(core: NativeServer): boolean {
    const values: unknown[] = JSON.parse(core.drain());
    this.#values = values;
    this.#at = HEAD - RECORD;
    this.#beside = values[1] === 1 ? core.beside() : NOTHING;
    return values[0] === 1;
  }

  /** Moves to the next record. Returns whether there is one; if not, the batch is dropped. */
  next(): boolean {
    if (this.hasMore) {
      this.#at += RECORD;
      return true;
    }
    this.#values = NOTHING;
    this.#at = HEAD - RECORD;
    this.#beside = NOTHING;
    return false;
  }

  /** How many records the batch has. */
  get nRecords(): number {
    return (this.#values.length - HEAD) / RECORD;
  }

  /** How many records have been taken, with the current one. */
  get nTaken(): number {
    return (this.#at + RECORD - HEAD) / RECORD;
  }

  get hasMore(): boolean {
    return this.#at + RECORD < this.#values.length;
  }

  /** The kind of the record after the current one. */
  get upcoming(): Kind | undefined {
    return this.#values[this.#at + RECORD] as Kind | undefined;
  }

  get kind(): Kind {
    return this.#values[this.#at] as Kind;
  }

  get subject(): number {
    return this.#values[this.#at + 1] as number;
  }

  get detail(): number {
    return this.#values[this.#at + 2] as number;
  }

  get data(): unknown {
    return this.#values[this.#at + 3];
  }

  get beside(): readonly unknown[] {
    return this.#beside;
  }

  /** A message of the engine: a text, or what is beside the batch; `undefined` if it is too large for JavaScript. */
  readMessage(value: string | number): string | Buffer | undefined {
    return typeof value === "string" ? value : (this.#beside[value] ?? undefined);
  }

  /** A value beside the batch; `undefined` if it is too large for JavaScript. */
  read(place: Beside): unknown {
    try {
      if (typeof place === "number") return this.#parse(place);
      const [first, n, rest] = place;
      const attachments = this.#beside.slice(first, first + n);
      if (attachments.includes(null)) return undefined;
      return restoreBinary(typeof rest === "number" ? this.#parse(rest) : rest, attachments as Buffer[]);
    } catch {
      return undefined;
    }
  }

  /**
   * The same for an object that may also stand in the record itself, which a list or number says that it does not.
   */
  readObject(value: object | Beside): object | undefined {
    const isBeside = typeof value === "number" || Array.isArray(value);
    return isBeside ? (this.read(value as Beside) as object | undefined) : value;
  }

  #parse(place: number): unknown {
    const text = this.#beside[place] as string | null;
    // It may be large, and the rest of the batch may take a while.
    this.#beside[place] = null;
    return text === null ? undefined : JSON.parse(text);
  }
}

const NOTHING: never[] = [];

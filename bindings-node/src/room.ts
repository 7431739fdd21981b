/** Rooms, which in JavaScript may be any value. */

import type { NativeServer } from "./native";
import { isWellFormed } from "./value";

/** So many values get numbers before unused ones are looked for. */
const MIN_TIDY = 1024;

/**
 * Rooms as they cross the border, in JSON: a text stands for itself, a number is a list of its digits, and any other
 * value is known by a number that it gets here. Two values are the same room when they are the same key of a `Map`.
 */
export class Rooms {
  /** At most twice as many as are in use, or as `MIN_TIDY`. */
  readonly #numbers = new Map<unknown, number>();
  readonly #values = new Map<number, unknown>();
  #next = 1;
  #tidyAt = MIN_TIDY;

  /** The JSON text of one room. */
  toCore(room: unknown): string {
    return JSON.stringify(this.#write(room));
  }

  /** The JSON text of several rooms. */
  listToCore(rooms: Iterable<unknown>): string {
    return JSON.stringify(Array.from(rooms, (room) => this.#write(room)));
  }

  /** A room as the core writes it. */
  fromCore(room: CoreRoom): string {
    if (typeof room === "string") return room;
    // The types allow texts only, but applications get back whatever value they joined.
    return (typeof room === "number" ? this.#values.get(room) : Number(room[0])) as string;
  }

  /** Forgets unused values, if there may be many. No command may be waiting that names one. */
  tidy(core: NativeServer): void {
    if (this.#numbers.size < this.#tidyAt) return;
    for (const number of core.unusedRooms()) {
      this.#numbers.delete(this.#values.get(number));
      this.#values.delete(number);
    }
    this.#tidyAt = Math.max(MIN_TIDY, 2 * this.#numbers.size);
  }

  #write(room: unknown): CoreRoom {
    // A text with half of a surrogate pair has no form in UTF-8.
    if (typeof room === "string" && isWellFormed(room)) return room;
    if (typeof room === "number") return [String(room)];
    let number = this.#numbers.get(room);
    if (number === undefined) {
      number = this.#next;
      this.#next += 1;
      this.#numbers.set(room, number);
      this.#values.set(number, room);
    }
    return number;
  }
}

/** A room as it crosses the border. */
export type CoreRoom = string | [digits: string] | number;

/** How long events are delivered before the rest of the process gets its turn. */

import { now } from "./clock";

/**
 * How long one turn delivers before timers and HTTP requests of the application get theirs. Long enough that a busy
 * server drains in batches, short enough that nobody notices.
 */
const TURN_MS = 4;

/**
 * Turns that follow each other sooner than this are one: Node hands on up to a thousand wake-ups before it looks at
 * anything else.
 */
const GAP_MS = 0.5;

/** Measures turns. */
export class TurnClock {
  #began = 0;
  /** When something was last delivered. */
  #ended = 0;

  /** Delivery begins, or goes on. */
  begin(): void {
    const time = now();
    if (time - this.#ended > GAP_MS) this.#began = time;
  }

  /** Whether the turn has to end. */
  isUp(time: number): boolean {
    this.#ended = time;
    return time - this.#began > TURN_MS;
  }

  /** Timers and I/O had their turn: the next one is a new one. */
  renew(): void {
    this.#ended = 0;
  }
}

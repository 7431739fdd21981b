/** Limits how long events are delivered in one go. */

import { now } from "./clock";

/**
 * How long one turn delivers before timers and HTTP requests of the application get theirs. Long enough that a busy
 * server drains in batches, short enough that nobody notices.
 */
const TURN_MS = 4;

/**
 * Turns with a shorter gap than this count as one: Node handles up to a thousand wake-ups before anything else.
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

  /** Timers and I/O have run, so a new turn begins. */
  renew(): void {
    this.#ended = 0;
  }
}

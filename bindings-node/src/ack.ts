/** Acknowledgements of what the server emits. */

import { AckStatus } from "./native";

/** Called with the outcome of an emit that asked for acks. */
export type AckListener = (status: AckStatus, answers: unknown[][]) => void;

/** Listeners that wait for acks, by the numbers under which the core reports these. */
export class PendingAcks {
  readonly #listeners = new Map<number, AckListener>();
  #next = 1;

  /** How many wait. */
  get size(): number {
    return this.#listeners.size;
  }

  /** Whether a listener waits under this number. */
  has(token: number): boolean {
    return this.#listeners.has(token);
  }

  /** A number that is no listener's, for an ack that waits elsewhere. */
  reserve(): number {
    this.#next += 1;
    return this.#next - 1;
  }

  /** The listener of this number. */
  find(token: number): AckListener | undefined {
    return this.#listeners.get(token);
  }

  /** Keeps a listener. Returns its number. */
  add(listener: AckListener): number {
    const token = this.reserve();
    this.#listeners.set(token, listener);
    return token;
  }

  /** The listener of this number, which is then forgotten. */
  take(token: number): AckListener | undefined {
    const listener = this.#listeners.get(token);
    this.#listeners.delete(token);
    return listener;
  }
}

/** The error for an application whose wait for acks ended like this, if that is one. */
export function errorOf(status: AckStatus): Error | null {
  if (status === AckStatus.Complete) return null;
  return new Error(status === AckStatus.TooLarge ? "the answers are too large" : "operation has timed out");
}

/** The longest time that a timer of Node can wait; a longer one fires at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** The time that a timer of Node would wait for a given value. */
export function timeoutOf(milliseconds: unknown): number {
  const value = Number(milliseconds);
  return value >= 1 && value <= MAX_TIMEOUT_MS ? value : 1;
}

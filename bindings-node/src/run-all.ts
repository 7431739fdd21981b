/** Calls functions of the application, none of which keeps the others from being called by what it throws. */

import { nextRound } from "./clock";

/** Calls all of them. The first error is thrown at the end; any other is an uncaught exception of its own. */
export function runAll(actions: Iterable<() => void>): void {
  const errors: unknown[] = [];
  for (const action of actions) {
    try {
      action();
    } catch (error) {
      errors.push(error);
    }
  }
  for (const error of errors.slice(1)) throwLater(error);
  if (errors.length > 0) throw errors[0];
}

/**
 * Makes an error an uncaught exception of its own, so that the caller can go on. Not in this tick: what is thrown in one
 * that belongs to the reading of an HTTP request costs that request its body.
 */
export function throwLater(error: unknown): void {
  nextRound(() => {
    throw error;
  });
}

/**
 * Timeouts of acks while a test has replaced the timers.
 *
 * The core keeps the time of acks, by a clock that no test can move. A test that has replaced `setTimeout` means this
 * time as well: then the waits are kept here, by the timers of the test.
 */

import type { AckListener } from "./ack";
import { AckStatus } from "./native";

/** As it was when this was loaded, perhaps by a test that had replaced it before. */
const loaded = globalThis.setTimeout;

/** What the replacements of sinon, vitest and jest have, and of jest's older ones. */
interface Replaced {
  clock?: unknown;
  _isMockFunction?: boolean;
}

/** Whether a test has replaced the timers. */
export function areTimersReplaced(): boolean {
  const { setTimeout } = globalThis;
  if (setTimeout !== loaded) return true;
  const { clock, _isMockFunction } = setTimeout as Replaced;
  return clock !== undefined || _isMockFunction === true;
}

/** Calls the listener with the answer or, if that does not come in time, with none. */
export function limited(listener: AckListener, milliseconds: number): AckListener {
  let isOver = false;
  const timer = setTimeout(() => {
    isOver = true;
    listener(AckStatus.TimedOut, []);
  }, milliseconds);
  return (status, answers) => {
    // A client that has left is waited for, too.
    if (isOver || status === AckStatus.Disconnected) return;
    clearTimeout(timer);
    listener(status, answers);
  };
}

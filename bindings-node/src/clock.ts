/** Time and its functions as they were before any test replaced them, which would stop the bridge. */

import { performance } from "node:perf_hooks";

/** Milliseconds since the process began. */
export const now = performance.now.bind(performance);

/** Calls a function once the current one is done. */
export const { nextTick } = process;

/** Calls a function once timers and I/O had their turn. */
export const nextRound = setImmediate;

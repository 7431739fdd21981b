"use strict";

/** Waiting for what shall happen, always with a deadline. */

/** Long enough for a busy machine; a test that passes never waits for it. */
const DEADLINE_MS = 10000;

/** Rejects when `promise` is not settled in time; `what` names the missing thing in the error. */
function within(promise, what, ms = DEADLINE_MS) {
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms in vain for ${what}`)), ms);
  });
  return Promise.race([promise, deadline]).finally(() => clearTimeout(timer));
}

/** Resolves with the list of arguments of the next `event`. */
function once(emitter, event, ms = DEADLINE_MS) {
  let listener;
  const heard = new Promise((resolve) => {
    listener = (...args) => resolve(args);
    emitter.on(event, listener);
  });
  return within(heard, `event "${event}"`, ms).finally(() => {
    // A bare WebSocket of `ws` and a socket.io client name it differently.
    (emitter.off || emitter.removeListener).call(emitter, event, listener);
  });
}

/** Resolves with the result of `check` as soon as it is truthy and does not throw. */
async function eventually(check, ms = DEADLINE_MS) {
  const end = Date.now() + ms;
  for (;;) {
    let failure = "nothing truthy";
    try {
      const result = await check();
      if (result) return result;
    } catch (error) {
      failure = error.message;
    }
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain: ${failure}\n${check}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A promise with its functions outside. */
function deferred() {
  const self = {};
  self.promise = new Promise((resolve, reject) => Object.assign(self, { resolve, reject }));
  return self;
}

module.exports = { DEADLINE_MS, within, once, eventually, deferred };

"use strict";

/** The functions by which native code can wake JavaScript: each holds all that it can reach until it is let go. */

const { createHook } = require("node:async_hooks");

const functions = new Set();

createHook({
  init(id, type) {
    if (/threadsafe/i.test(type)) functions.add(id);
  },
  destroy(id) {
    functions.delete(id);
  },
}).enable();

module.exports = functions;

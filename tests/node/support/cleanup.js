"use strict";

/** Runs what each test left to undo, last first, after the test; a failing undo fails the test. */

const undo = [];

/** Has `action` run after the current test. */
function afterThisTest(action) {
  undo.push(action);
}

if (typeof afterEach === "function") {
  afterEach(async () => {
    const failures = [];
    while (undo.length > 0) {
      try {
        await undo.pop()();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  });
}

module.exports = { afterThisTest };

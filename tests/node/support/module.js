"use strict";

/**
 * The package under test: ferrio from the repository root, or what `FERRIO_TEST_MODULE` names.
 *
 * `FERRIO_TEST_MODULE=socket.io` runs the suite against the official server, which proves the tests themselves.
 */
const path = require("node:path");

const name = process.env.FERRIO_TEST_MODULE || path.resolve(__dirname, "../../..");
const isOfficial = name === "socket.io";

/**
 * Declares scenarios that the official server fails, by fault or on purpose; `reason` says which in one sentence.
 * They are not declared at all when the official server is under test, so that nothing is reported as skipped.
 */
function ferrioOnly(reason, declare) {
  if (!isOfficial) describe(`where ferrio differs: ${reason}`, declare);
}

/** Loads the package, or says what is missing. */
function load() {
  try {
    return require(name);
  } catch (error) {
    throw new Error(`cannot load ${name}: ${error.message}; "make build" builds the package in place`, {
      cause: error,
    });
  }
}

module.exports = { isOfficial, ferrioOnly, moduleName: name, underTest: load() };

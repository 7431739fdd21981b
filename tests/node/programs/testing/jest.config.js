"use strict";

/** An application's own tests: `open-handles.test.js` runs them with jest, and looks at what jest says. */

const path = require("node:path");

const root = path.resolve(__dirname, "../../../..");
const official = process.env.FERRIO_TEST_MODULE;

/** @type {import("jest").Config} */
module.exports = {
  testMatch: ["<rootDir>/*.test.{js,mjs}"],
  transform: {},
  moduleNameMapper: {
    "^under-test$": official || root,
    "^under-test/esm$": official || path.join(root, "bindings-node/dist/wrapper.mjs"),
  },
};

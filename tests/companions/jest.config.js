"use strict";

/** @type {import("jest").Config} */
module.exports = {
  displayName: "companions",
  testEnvironment: "node",
  testMatch: ["<rootDir>/*.test.js"],
  setupFilesAfterEnv: ["<rootDir>/../node/support/cleanup.js"],
  // Every wait in the suite has its own, shorter deadline; this one only ends a test that waits without any.
  testTimeout: 60_000,
  maxWorkers: 2,
  // An adapter keeps a timer for each broadcast with acks until its time is up, even if all have answered.
  forceExit: true,
};

"use strict";

const isOfficial = process.env.FERRIO_TEST_MODULE === "socket.io";

/** @type {import("jest").Config} */
module.exports = {
  displayName: "companions",
  testEnvironment: "node",
  testMatch: ["<rootDir>/*.test.js"],
  setupFilesAfterEnv: ["<rootDir>/../node/support/cleanup.js"],
  // Every wait in the suite has its own, shorter deadline; this one only ends a test that waits without any.
  testTimeout: 60_000,
  maxWorkers: 2,
  // The official server and some adapters keep timers for a while after their end.
  forceExit: isOfficial,
};

"use strict";

/** Every scenario runs twice: on an HTTP server that the test made, and on a port that the server opened itself. */
const project = (door) => ({
  displayName: door,
  testEnvironment: "node",
  testMatch: ["<rootDir>/*.test.js"],
  setupFilesAfterEnv: ["<rootDir>/support/cleanup.js"],
  globals: { FERRIO_TEST_DOOR: door },
});

/** The same for the Engine.IO server alone. */
const engineProject = (door) => ({
  ...project(door),
  displayName: `engine-${door}`,
  testMatch: ["<rootDir>/engine/*.test.js"],
});

/** The official Socket.IO server has no such module; then they run on the one that is named, if any is. */
const hasEngine =
  process.env.FERRIO_TEST_MODULE === undefined || process.env.ENGINE_TEST_MODULE !== undefined;
const isOfficial = [process.env.FERRIO_TEST_MODULE, process.env.ENGINE_TEST_MODULE].some((name) =>
  ["socket.io", "engine.io"].includes(name),
);

/** @type {import("jest").Config} */
module.exports = {
  projects: [
    project("attach"),
    project("listen"),
    ...(hasEngine ? [engineProject("attach"), engineProject("listen")] : []),
  ],
  // Every wait in the suite has its own, shorter deadline; this one only ends a test that waits without any.
  testTimeout: 30000,
  maxWorkers: 2,
  // The official server keeps a timer of 30 s for each polling session that it closed while no poll was waiting.
  forceExit: isOfficial,
};

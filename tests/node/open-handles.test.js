"use strict";

/** What jest says of the handles that an application's own tests leave open. */

const { execFile } = require("node:child_process");
const path = require("node:path");
const { within } = require("./support");

/** Runs tests of `programs/testing` with jest, to jest's own end. Resolves with its exit code and what it said. */
async function runJest(...args) {
  const jest = require.resolve("jest/bin/jest");
  const config = path.join(__dirname, "programs/testing/jest.config.js");
  const command = ["--no-warnings", "--experimental-vm-modules", jest, "--config", config, "--ci", ...args];
  // Colours would stand between the words.
  const env = { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" };
  const ended = new Promise((resolve) =>
    execFile(process.execPath, command, { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, said: stdout + stderr }),
    ),
  );
  return within(ended, "jest to end", 25000);
}

const COMPLAINT = /open handle|did not exit|torn down|failed to exit/;

describe("open handles", () => {
  test.each([
    ["an HTTP server of the test's own", "common.test.js"],
    ["a port of the server's own", "port.test.js"],
    ["ES modules", "module.test.mjs"],
  ])("jest finds none after a test that closes its server: %s", async (_name, file) => {
    const { code, said } = await runJest("--detectOpenHandles", file);
    expect(said).toContain("Tests:");
    expect(said).not.toMatch(COMPLAINT);
    expect(code).toBe(0);
  });

  test("jest ends by itself when all servers were closed", async () => {
    const { code, said } = await runJest("--runInBand", "common", "port", "module");
    expect(said).toMatch(/5 passed, 5 total/);
    expect(said).not.toMatch(COMPLAINT);
    expect(code).toBe(0);
  });

  test("a server that stays open is found by its HTTP server alone", async () => {
    const { said } = await runJest("--detectOpenHandles", "--forceExit", "left-open");
    expect(said).toMatch(/1 open handle /);
    expect(said).toMatch(/●\s+TCPSERVERWRAP/);
  });
});

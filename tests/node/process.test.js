"use strict";

/** How a server goes with its process: exceptions, signals, the end, and threads that are ended from outside. */

const { execFile, spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { DOOR, afterThisTest, connected, deferred, once, within } = require("./support");
const clients = require("./support/client");

const PROGRAMS = path.join(__dirname, "programs");

/** Runs a program to its own end. Resolves with how it ended and what it said. */
function run(name, ...args) {
  const ended = new Promise((resolve) =>
    execFile(process.execPath, [path.join(PROGRAMS, name), ...args], (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, signal: error?.signal ?? null, stdout, stderr }),
    ),
  );
  return within(ended, `${name} to end`, 25000);
}

describe("process", () => {
  const closed = { code: 0, signal: null, stdout: "server shutting down\nclosed\nbeforeExit\nexit 0\n" };
  const again = "closed\nbeforeExit\nlistens\nclosed again\nbeforeExit\nexit 0\n";
  test.each([
    ["exits in a handler", { code: 3, signal: null, stdout: "exit 3\n" }],
    ["exits when the client is there", { code: 4, signal: null, stdout: "exit 4\n" }],
    ["is killed by SIGTERM", { code: null, signal: "SIGTERM", stdout: "" }],
    ["closes in a handler", closed],
    ["closes on SIGTERM", closed],
    ["listens again before the exit", { code: 0, signal: null, stdout: again }],
  ])("a process with a server %s", async (way, expected) => {
    expect(await run("manners.js", way, DOOR)).toEqual({ ...expected, stderr: "" });
  });

  test.each(["throws in a handler", "rejects in a handler"])("a process that %s ends", async (way) => {
    const { stderr, ...outcome } = await run("manners.js", way, DOOR);
    expect(outcome).toEqual({ code: 1, signal: null, stdout: "exit 1\n" });
    expect(stderr).toContain("Error: nobody catches it\n    at ");
  });

  const PLACES = [
    "join-room",
    "onAny",
    "onAnyOutgoing",
    "socket middleware",
    "event",
    "ack",
    "timed out ack",
    "ack of many",
    "connection",
    "disconnecting",
    "disconnect",
  ];

  test("what is thrown anywhere is an uncaught exception, and the server serves on", async () => {
    const { stdout, stderr } = await run("throws-anywhere.js", "now", ...PLACES);
    expect(stdout.split("\n")).toEqual([
      ...PLACES.map((place) => `uncaughtException of ${place}, heard`),
      "",
    ]);
    expect(stderr).toBe("");
  });

  test("a rejection anywhere is unhandled, and the server serves on", async () => {
    const places = [...PLACES, "middleware"];
    const { stdout, stderr } = await run("throws-anywhere.js", "later", ...places);
    expect(stdout.split("\n")).toEqual([
      ...places.map((place) => `unhandledRejection of ${place}, heard`),
      "",
    ]);
    expect(stderr).toBe("");
  });

  test("what a middleware throws is an unhandled rejection", async () => {
    const { stdout } = await run("throws-anywhere.js", "now", "middleware");
    expect(stdout).toBe("unhandledRejection of middleware, heard\n");
  });

  test("threads that are ended in the middle of everything leave nothing", async () => {
    expect(await run("ends-threads.js", DOOR)).toMatchObject({ code: 0, stdout: "nothing is left" });
  });

  test("a server comes back on its port whenever node --watch starts it anew", async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ferrio-watch-"));
    afterThisTest(() => fs.rmSync(folder, { recursive: true }));
    const program = path.join(folder, "server.js");
    const source = (version, port) =>
      `require(${JSON.stringify(path.join(PROGRAMS, "watched.js"))})(${version}, ${port}, "${DOOR}");\n`;
    fs.writeFileSync(program, source(1, 0));
    const watcher = spawn(process.execPath, ["--no-warnings", "--watch", program]);
    const ended = once(watcher, "exit");
    afterThisTest(async () => {
      watcher.kill();
      await ended;
    });
    let said = "";
    let heard = deferred();
    watcher.stdout.on("data", (chunk) => {
      said += chunk;
      heard.resolve();
    });
    const port = async (version) => {
      for (;;) {
        const found = new RegExp(`version ${version} on (\\d+)\\n`).exec(said);
        if (found) return Number(found[1]);
        await within(heard.promise, `version ${version}; it said ${said}`, 20000);
        heard = deferred();
      }
    };
    const first = await port(1);
    for (const version of [2, 3]) {
      const client = clients.open(`http://127.0.0.1:${first}`, "/", { transports: ["websocket"] });
      await connected(client);
      const left = once(client, "disconnect");
      fs.writeFileSync(program, source(version, first));
      expect(await port(version)).toBe(first);
      await left;
      client.close();
    }
  });
});

"use strict";

/** The debug output. */

const { execFile } = require("node:child_process");
const path = require("node:path");
const { DOOR, ferrioOnly, within } = require("./support");

const ALL = "socket.io:*,socket.io-parser,engine,engine:*";

/** Runs the program with these variables. Resolves with what it printed. */
async function output(how, env = {}) {
  const program = path.join(__dirname, "programs/says-debug.js");
  const own = { DEBUG: "", DEBUG_COLORS: "no", DEBUG_HIDE_DATE: "yes", ...env };
  const done = new Promise((resolve, reject) =>
    execFile(
      process.execPath,
      [program, DOOR, how],
      { env: { ...process.env, ...own } },
      (error, stdout, stderr) => (error ? reject(error) : resolve({ stdout, stderr })),
    ),
  );
  return within(done, "the program to end", 20000);
}

/** What can be read in it, whoever words it: the logger, and the facts. */
const FACTS = [
  [/^socket.io:server initializing namespace \/$/m, "a namespace"],
  [/^socket.io:server initializing parent namespace \/_0$/m, "a parent namespace"],
  [/^socket.io:server .*opts.*"pingInterval":200/m, "the options"],
  [/^socket.io:server incoming connection with id \S{20}$/m, "a session"],
  [/^socket.io:server dynamic namespace \/dynamic-1 was created$/m, "a dynamic namespace"],
  [/^socket.io:parent-namespace creating child namespace \/dynamic-1$/m, "a child namespace"],
  [/^socket.io:client connecting to namespace \/$/m, "a client that connects"],
  [/^socket.io:client client close with reason transport close$/m, "a client that leaves"],
  [/^socket.io:namespace adding socket to nsp \/$/m, "a socket"],
  [/^socket.io:namespace middleware error, sending CONNECT_ERROR packet to the client$/m, "a refusal"],
  [/^socket.io:socket socket connected - writing packet$/m, "a socket that is connected"],
  [/^socket.io:socket join room \S{20}$/m, "its own room"],
  [/^socket.io:socket join room greeted$/m, "a room"],
  [/^socket.io:socket leave room greeted$/m, "a room that is left"],
  [/^socket.io:socket got packet \{"type":2,"nsp":"\/","id":0,"data":\["greet","hello"\]\}$/m, "an event"],
  [/^socket.io:socket dispatching an event \["greet","hello",null\]$/m, "an event for listeners"],
  [/^socket.io:socket sending ack \["hello"\]$/m, "an answer"],
  [/^socket.io:socket emitting packet with ack( id)? \d$/m, "a question"],
  [/^socket.io:socket calling ack \d with \[+"fine"\]+$/m, "its answer"],
  [/^socket.io:socket got disconnect packet$/m, "a client that disconnects"],
  [/^socket.io:socket closing socket - reason client namespace disconnect$/m, "a socket that leaves"],
  [/^socket.io-parser encoding packet \{"type":2,.*\["news","for all"\]/m, "a packet that is encoded"],
  [/^socket.io-parser decoded .*\{"type":2,"nsp":"\/","id":0,"data":\["greet","hello"\]\}$/m, "a packet"],
  [/^engine handshaking client "\S{20}"/m, "a handshake"],
  [/^engine upgrading existing transport$/m, "an upgrade"],
  [/^engine:socket readyState updated from opening to open$/m, "an open session"],
  [/^engine:socket received packet message$/m, "a message"],
  [/^engine:socket sending packet "message" \(2\["news","for all"\]\)$/m, "a message that is sent"],
  [/^engine:socket writing ping packet - expecting pong within 20000ms$/m, "a ping"],
  [/^engine:socket got pong$/m, "a pong"],
  [/^engine:socket got probe ping packet, sending pong$/m, "a probe"],
  [/^engine:socket got upgrade packet - upgrading$/m, "the end of an upgrade"],
  [/^engine:socket readyState updated from open to closed$/m, "the end of a session"],
  [/^engine:transport readyState updated from open to closed \(websocket\)$/m, "the end of a transport"],
  [/^engine:polling received "40"/m, "what has come"],
  [/^engine:polling writing "40\{"sid":"\S{20}"\}/m, "what is written"],
];

describe("debug", () => {
  test("the familiar names tell of the familiar facts", async () => {
    const { stderr } = await output("by DEBUG", { DEBUG: ALL });
    const lines = stderr.replace(/^ {2}/gm, "");
    const missing = FACTS.filter(([line]) => !line.test(lines)).map(([, fact]) => fact);
    expect(missing).toEqual([]);
  });

  test("it is silent unless it is asked for", async () => {
    expect(await output("by DEBUG")).toEqual({ stdout: "", stderr: "" });
    expect(await output("by DEBUG", { DEBUG: "express:*" })).toEqual({ stdout: "", stderr: "" });
  });

  test("one name can be asked for alone", async () => {
    const { stderr } = await output("by DEBUG", { DEBUG: "engine:ws" });
    const lines = stderr.split("\n").filter((line) => line !== "");
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.filter((line) => !/^ *engine:ws (received|writing) "/.test(line))).toEqual([]);
  });

  test("it has colours, and goes where the application wants it", async () => {
    const { stderr } = await output("by DEBUG", { DEBUG: "socket.io:client", DEBUG_COLORS: "yes" });
    const esc = String.fromCharCode(27);
    expect(stderr).toContain(`1msocket.io:client ${esc}[0m`);
    const { stdout } = await output("enabled at run time");
    expect(stdout).toMatch(/^own log: *socket.io:client connecting to namespace \/$/m);
    expect(stdout).toMatch(/^own log: *socket.io:socket got disconnect packet$/m);
  });

  ferrioOnly("it has several ways to take a connection", () => {
    test("the way of each connection is told", async () => {
      const { stderr } = await output("by DEBUG", { DEBUG: "engine" });
      expect(stderr).toMatch(
        DOOR === "listen"
          ? /own port: the core accepts connections to port \d+/
          : /upgrade "\/socket.io\/\?EIO=4\S*": taken over, the core has the connection/,
      );
    });
  });
});

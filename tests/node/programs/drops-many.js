"use strict";

/** Makes servers that nobody closes or holds, and sees whether the garbage collector takes them. */

const http = require("node:http");
const { io: connect } = require("socket.io-client");
const { underTest } = require("../support/module");
const functions = require("./functions");

const SERVERS = 50;

function makeAndForget() {
  for (let n = 0; n < SERVERS; n += 1) {
    const io = new underTest.Server(http.createServer());
    io.on("connection", (socket) => socket.on("event", () => io.emit("event")));
    io.of(/^\/dynamic-\d+$/).use((_socket, next) => next());
  }
}

/** A server of which the application keeps nothing, but to which clients can still connect, stays. */
async function portOfForgotten() {
  const io = new underTest.Server(0);
  io.on("connection", (socket) => socket.on("ping me", (answer) => answer("pong")));
  while (!io.httpServer.listening) await new Promise((resolve) => setImmediate(resolve));
  return io.httpServer.address().port;
}

async function collect(enough) {
  for (let n = 0; n < 500 && !enough(); n += 1) {
    global.gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function main() {
  const port = await portOfForgotten();
  makeAndForget();
  await collect(() => functions.size <= 1);
  for (const transports of [["websocket"], ["polling"]]) {
    const client = connect(`http://127.0.0.1:${port}`, { transports, reconnection: false, forceNew: true });
    await client.timeout(5000).emitWithAck("ping me");
    global.gc();
    await client.timeout(5000).emitWithAck("ping me");
    client.close();
  }
  process.stdout.write(functions.size > 1 ? `${functions.size} are left` : "nothing is left");
  process.exit();
}

main();

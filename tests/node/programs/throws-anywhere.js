"use strict";

/**
 * Throws in one function of the application after the other, at once or by a promise as the first argument says, and
 * prints what the process hears of it, and whether the server serves on.
 */

const http = require("node:http");
const { io: connect } = require("socket.io-client");
const { underTest } = require("../support/module");

const [, , way, ...places] = process.argv;

let armed;
let heard;

for (const event of ["uncaughtException", "unhandledRejection"]) {
  process.on(event, (error) => {
    process.stdout.write(`${event} of ${error.message}, `);
    heard();
  });
}

/** Fails the first time that it is called in this place. */
function fail(place) {
  if (place !== armed) return;
  armed = undefined;
  const error = new Error(place);
  if (way === "later") return Promise.reject(error);
  throw error;
}

/** Makes a server with functions everywhere. `acked` is called when all that are for acks have been called. */
function makeServer(httpServer, acked) {
  const io = new underTest.Server(httpServer);
  let nWaiting = 3;
  const ack = (place) => () => {
    nWaiting -= 1;
    if (nWaiting === 0) setImmediate(acked);
    return fail(place);
  };
  io.use((_socket, next) => {
    next();
    return fail("middleware");
  });
  io.of("/").adapter.on("join-room", () => fail("join-room"));
  io.on("connection", (socket) => {
    socket.onAny(() => fail("onAny"));
    socket.onAnyOutgoing(() => fail("onAnyOutgoing"));
    socket.use((_event, next) => {
      next();
      return fail("socket middleware");
    });
    socket.on("event", () => fail("event"));
    socket.on("event", (answer) => answer("heard"));
    socket.on("ask me", () => {
      socket.emit("question", ack("ack"));
      socket.timeout(10).emit("unanswered", ack("timed out ack"));
      io.timeout(10).emit("unanswered", ack("ack of many"));
    });
    socket.on("disconnecting", () => fail("disconnecting"));
    socket.on("disconnect", () => fail("disconnect"));
    return fail("connection");
  });
  return io;
}

async function round(place) {
  armed = place;
  const httpServer = http.createServer();
  let acked;
  const allAcked = new Promise((resolve) => {
    acked = resolve;
  });
  const hasFailed = new Promise((resolve) => {
    heard = resolve;
  });
  const io = makeServer(httpServer, acked);
  await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${httpServer.address().port}`;
  const open = () => connect(url, { transports: ["websocket"], reconnection: false, forceNew: true });
  const first = open();
  first.on("question", (answer) => answer());
  first.emit("event", () => {});
  first.emit("ask me");
  // What is thrown may keep the acks from being asked for.
  await Promise.race([allAcked, hasFailed]);
  first.close();
  const second = open();
  process.stdout.write(`${await second.emitWithAck("event")}\n`);
  await io.close();
}

async function main() {
  for (const place of places) await round(place);
}

main();

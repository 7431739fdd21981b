"use strict";

/**
 * A server whose process comes to an end, in the way that the first argument names, while a client is connected. Prints
 * what the process notices of it; the second argument is the way of the server's port.
 */

const http = require("node:http");
const { io: connect } = require("socket.io-client");
const { underTest } = require("../support/module");

const [, , way, door] = process.argv;

const say = (text) => process.stdout.write(`${text}\n`);

process.on("beforeExit", () => say("beforeExit"));
process.on("exit", (code) => say(`exit ${code}`));

const ways = {
  "exits in a handler": ({ socket }) => socket.on("go", () => process.exit(3)),
  "exits when the client is there": () => process.exit(4),
  "throws in a handler": ({ socket }) => {
    socket.on("go", () => {
      throw new Error("nobody catches it");
    });
  },
  "rejects in a handler": ({ socket }) => {
    socket.on("go", async () => {
      throw new Error("nobody catches it");
    });
  },
  "closes in a handler": ({ io, socket }) => {
    socket.on("disconnect", (reason) => say(reason));
    socket.on("go", () => io.close(() => say("closed")));
  },
  "closes on SIGTERM": ({ io, socket }) => {
    socket.on("disconnect", (reason) => say(reason));
    process.on("SIGTERM", () => io.close(() => say("closed")));
    socket.on("go", () => process.kill(process.pid, "SIGTERM"));
  },
  "is killed by SIGTERM": ({ socket }) => socket.on("go", () => process.kill(process.pid, "SIGTERM")),
  "listens again before the exit": ({ io, socket }) => {
    process.once("beforeExit", () => {
      io.attach(http.createServer().listen(0, "127.0.0.1"));
      say("listens");
      setTimeout(() => io.close(() => say("closed again")), 10);
    });
    socket.on("go", () => io.close(() => say("closed")));
  },
};

function serve(io, port) {
  const client = connect(`http://127.0.0.1:${port}`, { transports: ["websocket"], reconnection: false });
  client.on("disconnect", () => client.close());
  io.on("connection", (socket) => {
    ways[way]({ io, socket });
    client.emit("go");
  });
}

if (door === "listen") {
  const io = new underTest.Server(0);
  const ready = () => serve(io, io.httpServer.address().port);
  if (io.httpServer.listening) ready();
  else io.httpServer.once("listening", ready);
} else {
  const httpServer = http.createServer();
  const io = new underTest.Server(httpServer);
  httpServer.listen(0, "127.0.0.1", () => serve(io, httpServer.address().port));
}
